"""A folder with a Spack environment, its own repository and its own mirror."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.labs.checkout import ROOT
from tests.labs.spack.lab import SpackLab

# A recipe that only the environment's own repository has.
RECIPE = """
from spack_repo.builtin_mock.build_systems.generic import Package
from spack.package import *


class {name}(Package):
    has_code = False
    version("1.0")
    {more}

    def install(self, spec, prefix):
        with open(join_path(prefix, "made"), "w") as file:
            file.write(spec.name)
"""
MANIFEST: dict[str, object] = {
    "specs": ["top-thing", "gcc"],
    "repos:": {"mine": "spack_repo/mine", "builtin_mock": "$spack/var/spack/test_repos/spack_repo/builtin_mock"},
    "mirrors": {"beside": {"url": "./beside", "signed": False}},
    "view": False,
}


class Project:
    """A folder with an environment, its repository and its mirror; the lab's configuration is the user's."""

    def __init__(self, lab: SpackLab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.environment = lab.environment | {"SPACK_USER_CONFIG_PATH": str(lab.scope)}
        del self.environment["SPACK_DISABLE_LOCAL_CONFIG"]

    def write(self, **changes: object) -> None:
        """Write the manifest, changed."""
        (self.folder / "spack.yaml").write_text(json.dumps({"spack": MANIFEST | changes}))

    def run(self, *argv: str | Path, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program with the user's configuration."""
        return subprocess.run(
            [str(word) for word in argv],
            input="",  # a pipe, as in the lab
            capture_output=True,
            text=True,
            env=self.environment | variables,
            cwd=cwd or self.lab.folder,
            timeout=100,
            check=False,
        )

    def spack(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run stock Spack, which is to succeed."""
        done = self.run(self.lab.spack.program, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def build(self, *words: str | Path, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the agent."""
        return self.run(sys.executable, ROOT / "spack_farm/__main__.py", "build", *words, cwd=cwd, **variables)

    def hashes(self) -> Mapping[str, str]:
        """Name -> DAG hash of everything in the lock."""
        lock = json.loads((self.folder / "spack.lock").read_text())
        return {node["name"]: dag_hash for dag_hash, node in lock["concrete_specs"].items()}
