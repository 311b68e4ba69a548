"""Runs inside Spack's own Python (`spack python pack.py`): writes binaries of installed packages into a folder.

Loads what that takes, then waits for one line of JSON on its input; without a line there is nothing to do: {"url": the
folder's, "pack": [hash], "copied": [path of a concrete spec], "left_out": [hash], "private": bool}. The last line of its
output is {"packed": [hash], "not_redistributable": [hash]}: what of the first two lists must not be redistributed, as that
of the third; unless `private`, it is not packed. It does what `spack buildcache push --unsigned --only=package` does, which
could only be started after the build. Like `concretize.py` it uses Spack's Python interface, is written for Spack 1.1, 1.2,
and imports nothing of ours.
"""

import json
import multiprocessing
import os
import sys

import spack.binary_distribution
import spack.cmd.buildcache
import spack.error
import spack.hooks.sbang
import spack.mirrors.mirror
import spack.repo
import spack.spec
import spack.store
import spack.url_buildcache
import spack.util.archive
import spack.util.gpg
import spack.util.url
import spack.util.web

MARK = "spack-farm-not-redistributable"
"""Our property in a binary's manifest; Spack's schema allows more properties. buildcache/manifest.py reads it."""


def main():
    _ = spack.store.STORE.layout  # reads the configuration now; the database is read after the build
    line = sys.stdin.readline()
    code = 0
    if line:
        try:
            sys.stdout.write("\n" + json.dumps(pack(json.loads(line))) + "\n")
        except (spack.error.SpackError, OSError, ValueError) as error:
            sys.stdout.write(f"==> Error: {str(error).strip() or type(error).__name__}\n")
            code = 1
    sys.stdout.flush()
    os._exit(code)  # all is written and closed; to free all of this large program would take as long as the packing


def pack(wanted):
    specs = [installed(dag_hash) for dag_hash in wanted["pack"]]
    others = [spack.spec.Spec.from_specfile(path) for path in wanted["copied"]]
    forbidden = [spec.dag_hash() for spec in (*specs, *others) if not is_redistributable(spec, wanted["private"])]
    packed = [spec for spec in specs if wanted["private"] or spec.dag_hash() not in forbidden]
    # few packages need no pool of processes; Spack makes none if processes are not forked
    multiprocessing.set_start_method("spawn", force=True)
    mirror = spack.mirrors.mirror.Mirror.from_url(wanted["url"])
    if packed:
        with spack.binary_distribution.make_uploader(mirror=mirror, force=False, update_index=False) as uploader:
            uploader.push_or_raise(packed)
    if forbidden or wanted["left_out"] or wanted["private"]:
        for spec in packed:
            mark(spec, mirror, forbidden + wanted["left_out"])
    return {"packed": [spec.dag_hash() for spec in packed], "not_redistributable": forbidden}


def installed(dag_hash):
    specs = spack.store.STORE.db.get_by_hash(dag_hash) or []
    if len(specs) != 1 or not specs[0].installed:
        raise ValueError(f"/{dag_hash} is not installed")
    return specs[0]


def is_redistributable(spec, private):
    # one developer's state of a folder is not the package, and a hash does not say which state it was
    if any("dev_path" in node.variants for node in spec.traverse()):
        return False
    try:
        return bool(spec.package.redistribute_binary)
    except spack.repo.UnknownEntityError as error:
        if private:
            return False
        raise ValueError(
            f"{spec.name}: no package repository has its recipe, so nothing says whether its binary may be redistributed"
        ) from error


def mark(spec, mirror, forbidden):
    """Name in a binary's manifest what must not be redistributed, of itself and of what was wanted with it; maybe nothing.

    The notary, which has no recipes, then knows; and `verify` knows why a dependency is missing.
    """
    url = spack.url_buildcache.URLBuildcacheEntry.get_manifest_url(spec, mirror.push_url)
    path = spack.util.url.local_file_path(url)
    with open(path, encoding="utf-8") as file:
        manifest = json.load(file)
    related = {node.dag_hash() for node in spec.traverse(deptype=("link", "run"))}
    manifest[MARK] = sorted(related.intersection(forbidden))
    with open(path, "w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=0, separators=(",", ":"))  # as Spack: gpg cuts long lines


if __name__ == "__main__":  # `successor.py` imports it
    main()
