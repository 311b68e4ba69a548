"""Runs inside Spack's own Python (`spack python pack.py`): writes the binary of an installed package into a folder.

Loads what that takes, then waits for one line of JSON on its input, {"hash": text, "url": the folder's}; without a line
there is nothing to do. It does what `spack buildcache push --unsigned --only=package --private` does, which could only be
started after the build. Like `concretize.py` it uses Spack's Python interface, is written for Spack 1.1, and imports
nothing of ours.
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
import spack.store
import spack.util.archive
import spack.util.gpg
import spack.util.web


def main():
    _ = spack.store.STORE.layout  # reads the configuration now; the database is read after the build
    line = sys.stdin.readline()
    code = 0
    if line:
        try:
            pack(json.loads(line))
        except (spack.error.SpackError, OSError, ValueError) as error:
            sys.stdout.write(f"==> Error: {str(error).strip() or type(error).__name__}\n")
            code = 1
    sys.stdout.flush()
    os._exit(code)  # all is written and closed; to free all of this large program would take as long as the packing


def pack(wanted):
    specs = spack.store.STORE.db.get_by_hash(wanted["hash"]) or []
    if len(specs) != 1 or not specs[0].installed:
        raise ValueError(f"/{wanted['hash']} is not installed")
    # one package needs no pool of processes; Spack makes none if processes are not forked
    multiprocessing.set_start_method("spawn", force=True)
    mirror = spack.mirrors.mirror.Mirror.from_url(wanted["url"])
    with spack.binary_distribution.make_uploader(mirror=mirror, force=False, update_index=False) as uploader:
        uploader.push_or_raise(specs)


main()
