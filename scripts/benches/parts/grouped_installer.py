"""Runs inside Spack's Python (`spack python grouped_installer.py FOLDERS FILE…`): one call of Spack 1.2's new installer.

FILE are concrete specs, all built from source in this one call. Each process that builds a package joins cgroups of its own
before it does anything: FOLDERS (by ',') have a folder with the package's name in them.
Source: Spack 1.2.0.dev0, lib/spack/spack/new_installer.py.
"""

import importlib
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any


def main(folders: str, *files: str) -> None:
    """Build the packages."""
    names = ("binary_distribution", "new_installer", "spec")
    modules: list[Any] = [importlib.import_module(f"spack.{name}") for name in names]
    binaries, installer, specs = modules
    multiprocessing.set_start_method("fork", force=True)
    binaries.BINARY_INDEX.update = lambda *_, **__: None
    reading, _ = os.pipe()
    os.dup2(reading, 0)
    build = installer.worker_function

    def build_in_groups(spec: Any, *rest: Any) -> None:
        for folder in () if spec.external else folders.split(","):
            (Path(folder) / spec.name / "cgroup.procs").write_text("0")
        build(spec, *rest)

    installer.worker_function = build_in_groups
    packages = [specs.Spec.from_specfile(path).package for path in files]
    installer.PackageInstaller(
        packages, explicit=True, root_policy="source_only", dependencies_policy="source_only"
    ).install()


if __name__ == "__main__":
    main(*sys.argv[1:])
