"""A run folder: its name, the names of the files in it, and the result of its run. Knows nothing of what the files hold."""

import contextlib
import glob
import re
from pathlib import Path

import msgspec

from buildjob.files import reserve
from buildjob.outcome import Outcome
from buildjob.telemetry import Telemetry

LOG = "build.log"
LOG_INDEX = "build.log.index.json"
TELEMETRY = "telemetry.json"
CDASH = "cdash"
PAGE = "report.html"
LOG_PAGE = "log.html"
INDEX_PAGE = "index.html"
"""Of all run folders, in the folder above them."""
SPEC = "spec.json"
REPRODUCE = "reproduce"
ROOM_BYTES = 4 << 20
"""What a run folder needs at least: telemetry, page and documents, without the log."""
FETCH_REPORT = ".fetch-report.json"
"""There only until the run is over."""


class PhaseStart(msgspec.Struct, frozen=True):
    """Where in the log a phase begins."""

    name: str
    offset: int
    """Byte of the log, from 0."""
    line: int
    """Line of the log, from 1."""


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one run ended."""

    folder: Path
    telemetry: Telemetry
    """The document in the folder; it holds no secret."""
    command: str
    """What was run, as people write it."""
    is_root: bool
    """The user asked for this package; all others are dependencies."""
    notes: list[str] = []
    """What the reader should know beside the outcome."""
    phases: list[PhaseStart] = []
    """Where in the log each phase begins."""
    test_outputs: dict[str, str] = {}
    """What the stand-alone tests printed, by name."""

    @property
    def outcome(self) -> Outcome:
        """How the run ended."""
        return Outcome(self.telemetry.outcome)


class LogIndex(msgspec.Struct, frozen=True, kw_only=True):
    """`build.log.index.json`, version 1: where in the log each phase begins."""

    version: int = 1
    complete: bool
    bytes: int
    lines: int
    phases: list[dict[str, str | int]]


def folder_name(name: str, version: str, dag_hash: str = "") -> str:
    """Return the name of a package's run folder. It is a plain name of at most 200 bytes, whatever the version holds."""
    stem = re.sub(r"[^A-Za-z0-9_+.-]", "_", f"{name}-{version}")[:190]
    return f"{stem}-{dag_hash[:7]}" if dag_hash else stem


def new_folder(out: Path, name: str, version: str, dag_hash: str = "") -> Path:
    """Make and return a folder for one run; the second has `-2` at its end: nothing is ever overwritten.

    Raises OSError, and leaves nothing behind, if it cannot be made, or if there is no room for what a run writes at least.
    """
    made = _make(out)
    try:
        folder = first_free(out, folder_name(name, version, dag_hash))
        try:
            reserve(folder, ROOM_BYTES).close()
        except OSError:
            folder.rmdir()
            raise
    except OSError:
        _remove(made)
        raise
    return folder


def find_folder(out: Path, name: str, version: str, dag_hash: str = "") -> Path | None:
    """Return the folder that the last run of this package left in `out`; None if there is none."""
    name = folder_name(name, version, dag_hash)
    left = [path for path in (out / name, *out.glob(f"{glob.escape(name)}-*")) if (path / TELEMETRY).is_file()]
    return max(left, key=lambda path: (path / TELEMETRY).stat().st_mtime, default=None)


def require_room(out: Path) -> None:
    """Raise OSError if no run folder can be made in `out`; leave everything as it was."""
    made = _make(out)
    try:
        reserve(out, ROOM_BYTES).close()
    finally:
        _remove(made)


def _make(out: Path) -> list[Path]:
    """Make the folder and the missing ones above it; return those that were missing, the deepest first."""
    missing = []
    for folder in (out, *out.parents):
        if folder.is_dir():
            break
        missing.append(folder)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError:
        _remove(missing)
        raise
    return missing


def _remove(made: list[Path]) -> None:
    """Remove folders that were made, the deepest first, as far as they are empty."""
    for folder in made:
        with contextlib.suppress(OSError):
            folder.rmdir()


def first_free(out: Path, name: str) -> Path:
    """Make and return a folder below `out`, with `-2` and so on at its end if the name is taken."""
    for number in range(1, 1_000_000):
        folder = out / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError
