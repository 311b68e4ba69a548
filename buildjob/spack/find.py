"""Finds the Spack to use: `--spack`, `$SPACK_ROOT`, PATH, then the user's cache, in this order.

Knows where Spack may lie; starts nothing.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from buildjob.errors import SpackError
from buildjob.paths import Paths

PINNED = "v1.1.0"
"""What `scripts/get-spack` fetches by default."""


class SpackInstallation(msgspec.Struct, frozen=True, kw_only=True):
    """A Spack on this machine."""

    root: Path
    """The checkout; `bin/spack` is below it."""
    found: str
    """How it was found, for messages."""
    python: Path | None = None
    """The interpreter to run it with; None leaves the choice to Spack."""
    tools: Path | None = None
    """A folder with programs that Spack needs (patchelf), for the end of its PATH."""

    @property
    def program(self) -> Path:
        """The executable."""
        return self.root / "bin" / "spack"


def find(named: str, environment: Mapping[str, str], paths: Paths) -> SpackInstallation:
    """Return the first Spack of the search order; `named` is what `--spack` says, empty if it is absent.

    Raises SpackError if what is named is not a Spack, or nothing is found.
    """
    choose = not environment.get("SPACK_PYTHON")
    if named:
        return _at(Path(named), f"--spack {named}", choose_python=choose)
    if root := environment.get("SPACK_ROOT"):
        return _at(Path(root), f"$SPACK_ROOT = {root}", choose_python=choose)
    if program := shutil.which("spack", path=environment.get("PATH", os.defpath)):
        return _at(Path(program), f"PATH ({program})", choose_python=choose)
    cached = paths.cache / "spack" / PINNED
    if (cached / "complete").exists():
        return _at(cached / "spack", f"the cache folder ({cached})", choose_python=choose)
    raise SpackError(
        "no Spack found. Name one with --spack FOLDER, or set SPACK_ROOT (or put it on PATH), "
        f"or run scripts/get-spack, which puts {PINNED} into {cached}"
    )


def _at(place: Path, found: str, *, choose_python: bool) -> SpackInstallation:
    """Return the installation that `place` names: a checkout, or its `bin/spack`. Raises SpackError if it is neither."""
    program = place / "bin" / "spack" if place.is_dir() else place
    program = program.resolve()
    if not (program.is_file() and os.access(program, os.X_OK) and (program.parents[1] / "lib" / "spack").is_dir()):
        raise SpackError(f"{found}: this is not a Spack; it should be a checkout with bin/spack and lib/spack in it")
    ours = program.parents[2]
    if not (ours / "complete").exists():
        return SpackInstallation(root=program.parents[1], found=found)
    python = ours / "venv" / "bin" / "python" if choose_python else None
    return SpackInstallation(root=program.parents[1], found=found, python=python, tools=ours / "tools")
