"""The request for a generator elsewhere: the environment's files are in it, and nothing that differs from run to run."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.cli.files import read_text
from pipelines.errors import BadRequest
from pipelines.inside import inputs

_SPACK_FILES = ("spack.yaml", "spack.lock")
_OF_THIS_RUN = ("CI_PROJECT_DIR", "CI_PIPELINE_CREATED_AT")
"""Variables that change nothing where the files are in the request; they would give each run another request."""
_STAMP, _CDASH = "SPACK_CDASH_BUILD_STAMP", re.compile(r"\bcdash\b")


def printed_request(request: Mapping[str, Any], place: Path) -> dict[str, Any]:
    """Return the request with the environment's files in it. Raises BadRequest, naming what can't be sent."""
    if place.is_file():
        found = {"spack.lock": read_text(place)}
    else:
        found = {name: read_text(place / name) for name in _SPACK_FILES if (place / name).is_file()}
    if not found:
        raise BadRequest(f"{place}: there is neither a spack.yaml nor a spack.lock in it")
    if "spack.yaml" in found:
        for path in _included(place / "spack.yaml", place):
            found[str(path.relative_to(place))] = read_text(path)
    variables = dict(request["variables"])
    # builds of one pipeline have one stamp on CDash: its time is a part of the answer
    needs_time = _STAMP not in variables and any(_CDASH.search(text) for text in found.values())
    for name in _OF_THIS_RUN:
        if name != "CI_PIPELINE_CREATED_AT" or not needs_time:
            variables.pop(name, None)
    return {**request, "environment": "", "files": found, "variables": variables}


def _included(file: Path, place: Path) -> Iterator[Path]:
    """Yield the files of the environment's folder that a file includes, and those that these include."""
    seen = {file}
    waiting = [file]
    while waiting:
        current = waiting.pop()
        for path in _named(current, place):
            for each in sorted(path.rglob("*.yaml")) if path.is_dir() else [path]:
                if each not in seen:
                    seen.add(each)
                    waiting.append(each)
                    yield each


def _named(file: Path, place: Path) -> Iterator[Path]:
    """Yield what a file includes by a relative path. Others are the generator's: addresses, absolute paths, `$spack`."""
    inside = place.resolve()
    for section in inputs.sections(read_text(file), "include"):
        for word in inputs.words(section):
            text = word.removeprefix("$env/")
            if "://" in text or text.startswith(("/", "$", "~")) or not Path(file.parent, text).exists():
                continue
            path = Path(file.parent, text).resolve()
            if path == inside or not path.is_relative_to(inside):
                raise BadRequest(
                    f"{file} includes {text}, which is outside of the environment's folder: a generator elsewhere can't read"
                    " it; move it into the folder, or make it a configuration scope of the generator"
                )
            yield place / path.relative_to(inside)
