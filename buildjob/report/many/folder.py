"""Finds the telemetry documents of builds in a folder, and reads what a page of them needs.

A folder may hold run folders, as `--out` does, artifacts of jobs with run folders anywhere below, or uploaded telemetry.
Whatever else lies there is left alone; what should be a document and is none becomes a fault. Writes nothing.
"""

import glob
import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from buildjob.report.many.entries import LARGEST_BYTES, Entry, Link, Refused, read_entry
from buildjob.run_folder import CDASH, LOG, LOG_PAGE, PAGE, TELEMETRY, folder_name

MOST_BUILDS = 5_000
"""What a page shows: the newest ones."""
_MOST_FOLDERS = 200_000
_DEEPEST = 12
_EARLIER = 40
"""So many of the newest runs of packages with a name like this are looked at."""
_RECEIPTS = "receipts.jsonl"
_LARGEST_RECEIPTS = 1 << 20
_UPLOADED = ("protected", "other")
"""Folders of uploaded telemetry: below them every .json is a document."""


class Fault(msgspec.Struct, frozen=True):
    """A file that should be a document and is none."""

    name: str
    """Below the folder, or the object's key."""
    reason: str


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    entries: tuple[Entry, ...]
    """The newest ones, newest first."""
    faults: tuple[Fault, ...] = ()
    left_out: int = 0
    """Older builds that are not among the entries."""


class _File(msgspec.Struct, frozen=True):
    path: Path
    place: str
    """The folder it lies in, below the top, with `/`."""
    modified: float
    size_bytes: int
    is_run: bool


class Reader:
    """Reads a folder, and again when it has changed: documents that are as before are not read a second time."""

    def __init__(self, folder: Path, *, most: int = MOST_BUILDS) -> None:
        self._folder = folder
        self._most = most
        self._known: dict[tuple[Path, float, int, int], Entry | Fault] = {}

    def read(self) -> Collection:
        """Return what the folder holds now. Raises OSError if the folder itself can't be read."""
        os.scandir(self._folder).close()
        faults: list[Fault] = []
        files = sorted(_files(self._folder, faults), key=lambda file: -file.modified)
        kept: dict[tuple[Path, float, int, int], Entry | Fault] = {}
        for file in files[: self._most]:
            key = (file.path, file.modified, file.size_bytes, _beside(file))
            kept[key] = self._known.get(key) or _read(file)
        self._known = kept
        found = kept.values()
        return collected(
            [each for each in found if isinstance(each, Entry)],
            [*faults, *(each for each in found if isinstance(each, Fault))],
            left_out=max(len(files) - self._most, 0),
        )


def earlier_of(folder: Path, name: str) -> list[Entry]:
    """Return the other runs of a package beside a run folder, newest first; of the newest 40 files."""
    stem = glob.escape(folder_name(name, ""))
    files = []
    for path in folder.parent.glob(f"{stem}*/{TELEMETRY}"):
        try:
            status = path.stat()
        except OSError:  # another process tidies up
            continue
        if path.parent != folder and stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST_BYTES:
            files.append(_File(path, path.parent.name, status.st_mtime, status.st_size, is_run=True))
    newest = sorted(files, key=lambda file: -file.modified)[:_EARLIER]
    entries = [read for file in newest if isinstance(read := _read(file), Entry) and read.name == name]
    return sorted(entries, key=lambda entry: -entry.ended)


def collected(entries: Iterable[Entry], faults: Iterable[Fault], *, left_out: int = 0) -> Collection:
    """Return entries in order, newest first; of equal times by name."""
    ordered = sorted(entries, key=lambda entry: (-entry.ended, entry.name, entry.version, entry.hash, entry.place))
    return Collection(entries=tuple(ordered), faults=tuple(sorted(faults, key=lambda fault: fault.name)), left_out=left_out)


def _files(top: Path, faults: list[Fault]) -> Iterator[_File]:
    """Yield the documents below a folder. What can't be looked at is a fault."""
    waiting, seen = [(top, "", 0)], 0
    while waiting:
        folder, place, depth = waiting.pop()
        seen += 1
        if seen > _MOST_FOLDERS:
            faults.append(Fault(place, f"more than {_MOST_FOLDERS:,} folders: those from here on were not looked at"))
            return
        try:
            with os.scandir(folder) as listing:
                found = {entry.name: entry for entry in listing if not entry.name.startswith(".")}
        except OSError as error:
            if depth:  # the folder itself is there: `read` has looked
                faults.append(Fault(place, f"can't be read: {error.strerror or error}"))
            continue
        is_run = TELEMETRY in found
        if LOG in found and not is_run:
            faults.append(Fault(place, f"there is a {LOG} and no {TELEMETRY}: the run did not begin, or its disk was full"))
        uploaded = any(part in _UPLOADED for part in place.split("/")) or (not is_run and folder == top)
        for name in sorted(found):
            entry = found[name]
            if name == TELEMETRY or (uploaded and not is_run and name.endswith(".json")):
                yield from _file(entry, place, faults, is_run=is_run)
            # a run folder's own folders hold documents of other kinds
            elif not is_run and depth < _DEEPEST and entry.is_dir(follow_symlinks=False):
                waiting.append((folder / name, f"{place}/{name}".lstrip("/"), depth + 1))


def _file(entry: "os.DirEntry[str]", place: str, faults: list[Fault], *, is_run: bool) -> Iterator[_File]:
    name = f"{place}/{entry.name}".lstrip("/")
    try:
        status = entry.stat()
    except OSError as error:
        faults.append(Fault(name, f"can't be read: {error.strerror or error}"))
        return
    if not stat.S_ISREG(status.st_mode):  # a pipe would never end
        faults.append(Fault(name, "not a file"))
    elif status.st_size > LARGEST_BYTES:
        faults.append(Fault(name, f"larger than {LARGEST_BYTES >> 20} MiB, the most that telemetry may be"))
    else:
        yield _File(Path(entry.path), place, status.st_mtime, status.st_size, is_run)


def _beside(file: _File) -> int:
    """Return what lies beside a document, as a number that changes with it: pages and receipts come after the document."""
    if not file.is_run:
        return 0
    folder = file.path.parent
    pages = sum(1 << bit for bit, name in enumerate((PAGE, LOG_PAGE)) if (folder / name).exists())
    try:
        return pages + ((folder / CDASH / _RECEIPTS).stat().st_size << 2)
    except OSError:
        return pages


def _read(file: _File) -> Entry | Fault:
    name = f"{file.place}/{file.path.name}".lstrip("/")
    try:
        content = file.path.read_bytes()
    except OSError as error:
        return Fault(name, f"can't be read: {error.strerror or error}")
    folder = file.path.parent
    try:
        entry = read_entry(content, place=file.place if file.is_run else "", links=_cdash(folder) if file.is_run else ())
    except Refused as refused:
        return Fault(name, str(refused))
    if not file.is_run:
        return entry
    return msgspec.structs.replace(entry, has_page=(folder / PAGE).exists(), has_log_page=(folder / LOG_PAGE).exists())


def _cdash(folder: Path) -> list[Link]:
    """Return the link to the build on CDash, from the receipts of its documents."""
    try:
        with (folder / CDASH / _RECEIPTS).open("rb") as file:
            lines = file.read(_LARGEST_RECEIPTS).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    for line in reversed(lines):
        try:
            link = json.loads(line).get("link")
        except (ValueError, AttributeError, RecursionError):
            continue
        if isinstance(link, str) and link.startswith(("http://", "https://")):
            return [Link("CDash", link)]
    return []
