"""Runs inside Spack's own Python (`spack python install.py HASHES ARGUMENT…`): `spack install` that marks what it is told.

ARGUMENTS are options of `spack install`, and files with concrete specs; HASHES are the DAG hashes, by ',', of the specs to
mark as explicitly installed, or `none`. `spack install` itself marks all that it is given: a dependency that is installed by
itself would never be garbage, and would get a module file where implicit packages have none. Like `concretize.py` it uses
Spack's Python interface, is written for Spack 1.1 and imports nothing of ours.
Source: Spack 1.1, lib/spack/spack/cmd/install.py (`install_without_active_env`).
"""

import argparse
import sys

import spack.cmd.install
import spack.installer
import spack.spec
from spack.llnl.util import tty


def main(hashes, *arguments):
    parser = argparse.ArgumentParser()
    spack.cmd.install.setup_parser(parser)
    args = parser.parse_args(arguments)
    args.verbose = False  # an option of `spack` itself, not of `install`
    tty.set_verbose(args.install_verbose)
    # not by Spack's parser of specs, which refuses two versions of a package in one call where the concretizer would
    specs = [spack.spec.Spec.from_specfile(path) for path in args.spec]
    options = spack.cmd.install.install_kwargs_from_args(args)
    if args.overwrite:
        options["overwrite"] = [spec.dag_hash() for spec in specs]
    explicit = set() if hashes == "none" else set(hashes.split(","))
    packages = [spec.package for spec in specs]
    spack.installer.PackageInstaller(packages, explicit=explicit, **options).install()


if __name__ == "__main__":  # not where `multiprocessing` imports this file again for the process that builds
    main(*sys.argv[1:])
