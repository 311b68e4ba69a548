"""Finds the Spack to use, and runs the generator in its Python: `--spack`, `$SPACK_ROOT`, PATH, then the user's cache.

The generator is `inside/`; it is given a request and answers with files. Everything that Spack prints goes to our stderr.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pipelines.errors import BadRequest, BugInGenerator, FetchFailed, PipelineError, SpackUnusable

PINNED = "v1.1.0"
"""What `scripts/get-spack` fetches by default."""
GENERATOR = Path(__file__).resolve().parent / "inside" / "generate.py"
_ERRORS: dict[int, type[PipelineError]] = {2: BadRequest, 3: SpackUnusable, 4: FetchFailed, 70: BugInGenerator}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the generator answers: files by path, and what to tell people."""

    version: int
    files: dict[str, str] = {}
    stack: str = ""
    digest: str = ""
    counts: dict[str, int] = {}
    pipelines: int = 0
    warnings: list[str] = []
    error: str = ""
    code: int = 0


class SpackInstallation(msgspec.Struct, frozen=True, kw_only=True):
    """A Spack on this machine."""

    program: Path
    """The executable."""
    python: Path | None = None
    """The interpreter to run it with; None leaves the choice to Spack."""


def find(named: str, environment: Mapping[str, str]) -> SpackInstallation:
    """Return the first Spack of the search order. Raises SpackUnusable if what is named is none, or nothing is found."""
    home = Path(environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME") or "/") / ".cache")
    cached = home / "spack-farm" / "spack" / PINNED
    on_path = shutil.which("spack", path=environment.get("PATH", os.defpath))
    places = {
        f"--spack {named}": named,
        "$SPACK_ROOT": environment.get("SPACK_ROOT", ""),
        "PATH": on_path or "",
        "the cache": str(cached / "spack") if (cached / "complete").exists() else "",
    }
    for found, place in places.items():
        if place:
            return _at(Path(place), found, choose_python=not environment.get("SPACK_PYTHON"))
    raise SpackUnusable(
        "no Spack found. Name one with --spack FOLDER, or set SPACK_ROOT (or put it on PATH), "
        f"or run scripts/get-spack, which puts {PINNED} into {cached}"
    )


def _at(place: Path, found: str, *, choose_python: bool) -> SpackInstallation:
    program = (place / "bin" / "spack" if place.is_dir() else place).resolve()
    if not (program.is_file() and os.access(program, os.X_OK) and (program.parents[1] / "lib" / "spack").is_dir()):
        raise SpackUnusable(f"{found}: {place} is not a Spack; it should be a checkout with bin/spack and lib/spack in it")
    python = program.parents[2] / "venv" / "bin" / "python"
    ours = choose_python and (program.parents[2] / "complete").exists() and python.exists()
    return SpackInstallation(program=program, python=python if ours else None)


def generate(
    request: Mapping[str, Any], spack: SpackInstallation, scopes: Sequence[str], environment: Mapping[str, str]
) -> Answer:
    """Return the generator's answer to a request. Raises the error that its exit code stands for."""
    argv = [str(spack.program), *(word for scope in scopes for word in ("-C", scope)), "python", str(GENERATOR), "--quiet"]
    own = {"SPACK_PYTHON": str(spack.python)} if spack.python else {}
    try:
        done = subprocess.run(
            argv, input=json.dumps(request).encode(), stdout=subprocess.PIPE, env={**environment, **own}, check=False
        )
    except OSError as error:
        raise SpackUnusable(f"{spack.program} can't be run: {error.strerror}") from error
    if not done.stdout:
        raise SpackUnusable(f"{spack.program} gave no answer; it ended with {done.returncode}")
    return read_answer(done.stdout)


def read_answer(content: bytes) -> Answer:
    """Return an answer. Raises the error that it reports, BadRequest for what is no answer."""
    try:
        answer = msgspec.json.decode(content, type=Answer)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadRequest(f"this is no answer of a generator: {error}") from error
    if answer.version != 1:
        raise BadRequest(f"the answer has version {answer.version}; this spack-farm reads version 1")
    if answer.code or answer.error:
        raise _ERRORS.get(answer.code, PipelineError)(answer.error)
    return answer
