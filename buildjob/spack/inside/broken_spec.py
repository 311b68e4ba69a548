"""Runs inside Spack's own Python (`spack python broken_spec.py QUESTION ANSWER`): the list of broken specs.

QUESTION is JSON: {"url": the list's, "hash": text, "name": text, "stack": text, "job_url": text, "pipeline_url": text,
"spec_file": path}; without a "spec_file" the entry is deleted, if it is there. ANSWER gets {"changed": bool}.
`environment` has the credentials of the list's storage. Written for Spack 1.1, 1.2.
Source: Spack 1.1, lib/spack/spack/ci/__init__.py (`write_broken_spec`): `spack ci generate` reads the entries.
"""

import os
import sys

import spack.ci
import spack.hash_types
import spack.spec
import spack.util.url
import spack.util.web

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # `spack python` leaves it as it is
import exchange


def answer(question):
    url = spack.util.url.join(question["url"], question["hash"])
    if question.get("spec_file"):
        spec = spack.spec.Spec.from_specfile(question["spec_file"])
        names = ("name", "stack", "job_url", "pipeline_url")
        facts = [question[name] or None for name in names]
        spack.ci.write_broken_spec(url, *facts, spec.to_dict(hash=spack.hash_types.dag_hash))
        # Spack only warns where it could not write
        return {"changed": spack.util.web.url_exists(url)}
    if not spack.util.web.url_exists(url):
        return {"changed": False}
    spack.util.web.remove_url(url)
    return {"changed": True}


exchange.answer_file(*sys.argv[1:], answer)
