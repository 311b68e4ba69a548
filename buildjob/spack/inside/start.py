"""Runs with the Python that Spack runs with, when Spack does not start: says whether its configuration is to blame.

    python start.py SPACK_ROOT [OPTION...]        the options before a command

Prints {"error": text, "is_fetch": bool}, as `exchange` words it; nothing if Spack starts, or is broken itself. What Spack
prints does not have the kind of its error. `spack.main._main` is `main` without its handling of errors. Written for Spack
1.1, 1.2.
"""

import json
import os
import sys


def main(root, *options):
    sys.path.insert(0, os.path.join(root, "lib", "spack"))
    import exchange
    import spack.main

    try:
        spack.main._main([*options, "python", "-c", ""])
    except Exception as error:
        if exchange.is_of_configuration(error) or exchange.failed_to_fetch(error):
            sys.stdout.write(json.dumps(exchange.rejection(error)) + "\n")


main(*sys.argv[1:])
