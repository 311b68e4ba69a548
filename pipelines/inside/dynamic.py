"""Asks the server of a dynamic mapping for the attributes of a job, as spack-gantry answers them.

Source: Spack 1.1, lib/spack/spack/ci/common.py (`generate_ir`); the query is gantry's. Headers expand variables, which
Spack means to do. A server that does not answer costs a job its attributes, never the pipeline.
"""

import json
import os
import re
import ssl
import urllib.parse
import urllib.request

from .specs import BadRequest

_SECONDS = 10
_LARGEST = 1 << 20


class Server:
    """Remembers what it was asked, and does not ask a dead server for each of a thousand jobs."""

    def __init__(self, specs, skipped):
        self.specs = specs
        self.skipped = skipped
        self.warnings = []
        self.dead = set()

    def attributes(self, mapping, key):
        """The attributes for a spec; none if the mapping is skipped, or the server gives none."""
        check(mapping)
        endpoint = mapping["endpoint"]
        if endpoint in self.dead or (self.skipped and re.match(self.skipped, mapping.get("name") or "")):
            return {}
        try:
            answer = self.ask(mapping, self.specs[key])
        except (OSError, ValueError) as error:
            self.dead.add(endpoint)
            self.warnings.append(f"dynamic-mapping {endpoint}: no answer ({error}); jobs get nothing from it")
            return {}
        required = set(mapping.get("require", []))
        allowed = set(mapping.get("allow", [])) | required
        kept = {
            name: value
            for name, value in sorted(answer.items())
            if name not in mapping.get("ignore", []) and (not allowed or name in allowed)
        }
        if required - set(kept):
            self.warnings.append(
                "dynamic-mapping {}: the answer lacks {}".format(endpoint, ", ".join(sorted(required - set(kept))))
            )
        return kept

    def ask(self, mapping, spec):
        query = "{}@{} {} arch={}%{}@{}".format(
            spec.name,
            spec.version,
            spec.variants,
            spec.architecture,
            spec.compiler_name or "none",
            spec.compiler_version or "none",
        )
        url = urllib.parse.urlsplit(mapping["endpoint"])._replace(query="spec=" + urllib.parse.quote(query)).geturl()
        headers = {name: os.path.expandvars(value) for name, value in mapping.get("header", {}).items()}
        context = None
        if url.startswith("https") and not mapping.get("verify_ssl", True):
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        request = urllib.request.Request(url, headers=dict({"User-Agent": "spack-farm"}, **headers))
        with urllib.request.urlopen(request, timeout=mapping.get("timeout") or _SECONDS, context=context) as answer:
            found = json.loads(answer.read(_LARGEST).decode("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("the answer is no JSON object")
        return found


def check(mapping):
    endpoint = mapping.get("endpoint", "") if isinstance(mapping, dict) else ""
    if not str(endpoint).startswith(("http://", "https://")):
        raise BadRequest("ci: a dynamic-mapping needs an endpoint with http:// or https://")
    both = set(mapping.get("require", [])) & set(mapping.get("ignore", []))
    if both:
        raise BadRequest(f"ci: a dynamic-mapping requires and ignores '{min(both)}'")
