"""Runs inside Spack's own Python (`spack python provenance.py QUESTION ANSWER`): where binaries come from, and may go to.

QUESTION is JSON with a list of files that hold concrete specs: {"origins": [path]}, {"redistribution": [path]}, or
{"download": [path], "folder": path}. ANSWER gets {"origins": {hash: {"kind": "built" | "mirror" | "none", "reason": text}}},
{"not_redistributable": [hash], "unknown": [hash]}, or {}. Only "redistribution" reads recipes and so runs package code; the
others may have the mirrors' credentials. Like `concretize.py` it is written for Spack 1.1, 1.2 and imports nothing of ours
but what lies beside it.
"""

import json
import os
import shutil
import sys

import spack.binary_distribution
import spack.repo
import spack.spec
import spack.store
import spack.url_buildcache
import spack.util.web

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # `spack python` leaves it as it is
import exchange
import mirror_access


def answer(question):
    if "origins" in question:
        faults = mirror_access.Faults()
        return {"origins": {spec.dag_hash(): origin(spec, faults) for spec in read(question["origins"])}}
    if "download" in question:
        download(read(question["download"]), question["folder"])
        return {}
    return redistribution(question["redistribution"])


def read(paths):
    return [spack.spec.Spec.from_specfile(path) for path in paths]


def origin(spec, faults):
    """Built here, else from a signed mirror that has it; and if neither, why."""
    reason = why_not_built_here(spec)
    if not reason:
        return {"kind": "built"}
    if mirror_with(spec, faults):
        return {"kind": "mirror"}
    # a mirror that does not answer may have it; the target's folder need not exist yet
    silent = [fault for fault in faults.all() if fault["kind"] not in (*mirror_access.PARTIAL, "no_folder")]
    unasked = "".join(f"; mirror {fault['mirror']}: {fault['text']}" for fault in silent)
    return {"kind": "none", "reason": reason + unasked}


def why_not_built_here(spec):
    """Empty if Spack built the package from source in this very tree."""
    upstream, record = spack.store.STORE.db.query_by_spec_hash(spec.dag_hash())
    if not record or not record.installed:
        return "no mirror with a trusted signature has it"
    if upstream:
        return "it is installed in an upstream tree"
    if spec.spliced:
        return "it was spliced together from other binaries"
    metadata = os.path.join(record.path, ".spack")
    # a binary brings the first file along; Spack writes the second one, also for an installation from a build cache
    if os.path.exists(os.path.join(metadata, "binary_distribution")):
        return "it was installed from a build cache without a signature that is trusted now"
    try:
        with open(os.path.join(metadata, "install_times.json"), encoding="utf-8") as file:
            times = json.load(file)
    except FileNotFoundError:  # the new installer of Spack 1.2 does not write it; nor does it install from a binary without
        is_new = spack.spack_version_info[:2] >= (1, 2)  # that binary's own copies of the other two files
        times = {"cache": False, "hash": spec.dag_hash()} if is_new else {}
    except (OSError, ValueError):
        times = {}
    if times.get("cache") is not False or times.get("hash") != spec.dag_hash():
        return "nothing in its prefix says that Spack built it"
    # an installation that Spack only pretended (--fake) has no log
    if not os.path.exists(os.path.join(metadata, "spack-build-out.txt.gz")):
        return "there is no log of its build in its prefix"
    return ""


def mirror_with(spec, faults):
    """The first signed mirror that has a binary with a signature that is trusted."""
    for mirror in mirror_access.binary_mirrors():
        is_asked = mirror.signed and not mirror.fetch_url.startswith("oci")
        if is_asked and mirror_access.state(mirror, spec, faults) == "available":
            return mirror
    return None


def download(specs, folder):
    """Put the signed manifest and the blobs of each binary below the folder; who reads the manifest checks it again."""
    faults = mirror_access.Faults()
    for spec in specs:
        mirror = mirror_with(spec, faults)
        if mirror is None:
            raise ValueError(f"{spec.name}/{spec.dag_hash()[:7]}: no mirror with a trusted signature has it any more")
        entry = spack.url_buildcache.URLBuildcacheEntry(mirror.fetch_url, spec, allow_unsigned=False)
        try:
            for record in entry.read_manifest().data:
                components = entry.get_blob_path_components(record)
                put(entry.fetch_blob(record), os.path.join(folder, *components))
            _, _, stream = spack.util.web.read_from_url(entry.remote_manifest_url)
            text = stream.read()
        finally:
            entry.destroy()
        kind = spack.url_buildcache.BuildcacheComponent.SPEC
        path = os.path.join(folder, *entry.get_relative_path_components(kind), spec.name, entry.get_manifest_filename(spec))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text)


def put(source, path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    shutil.move(source, path)


def redistribution(paths):
    """Whose recipes say that their binary must not be redistributed, of the specs and of what they need at run time.

    And of which specs there is no recipe that says.
    """
    answer = {"not_redistributable": [], "unknown": []}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            root, *others = json.load(file)["spec"]["nodes"]
        try:
            says_something = recipe_of(root).disable_redistribute
        except Exception:  # a recipe is any code
            answer["unknown"].append(root["hash"])
            says_something = False
        try:
            # to read the whole spec takes longer than all else here, and hardly any recipe says anything
            if says_something or any(says(node) for node in others):
                spec = spack.spec.Spec.from_specfile(path)
                for node in spec.traverse(deptype=("link", "run")):
                    if says({"namespace": node.namespace, "name": node.name}) and not node.package.redistribute_binary:
                        answer["not_redistributable"].append(node.dag_hash())
        except Exception:  # as above
            answer["unknown"].append(root["hash"])
    return {key: list(dict.fromkeys(hashes)) for key, hashes in answer.items()}


def says(node):
    """Whether a dependency's recipe says anything; one without a recipe says nothing."""
    try:
        return bool(recipe_of(node).disable_redistribute)
    except Exception:  # as above
        return False


def recipe_of(node):
    return spack.repo.PATH.get_pkg_class(f"{node['namespace']}.{node['name']}")


exchange.answer_file(*sys.argv[1:], answer)
