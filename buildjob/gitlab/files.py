"""Writes what GitLab reads beside a job's log: a test of each package, and links to the packages' pages.

Both are reports: what cannot be written is a sentence, and changes no outcome.
"""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from buildjob.files import write_whole
from buildjob.gitlab import annotations, junit
from buildjob.run_folder import INDEX_PAGE, RunResult

_LARGEST_BYTES = 1 << 20


def write(results: Sequence[RunResult], out: Path, variables: Mapping[str, str]) -> list[str]:
    """Write `junit.xml` into each run's folder, and `annotations.json` beside them; return each fault in a sentence.

    A folder that an earlier call has filled keeps its report.
    """
    faults = []
    for result in results:
        path = result.folder / junit.FILE
        try:
            if not path.exists():
                write_whole(path, junit.render(result))
        except OSError as error:
            faults.append(f"{path} could not be written: {error.strerror or error}")
    path = out / annotations.FILE
    try:
        index = out / INDEX_PAGE if (out / INDEX_PAGE).exists() else None
        content = annotations.merged(_earlier(path), results, variables, index=index)
        if content is not None:
            write_whole(path, content)
    except OSError as error:
        faults.append(f"{path} could not be written: {error.strerror or error}")
    return faults


def _earlier(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                return file.read(_LARGEST_BYTES)
    return b""
