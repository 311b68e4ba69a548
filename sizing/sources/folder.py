"""Documents in files and folders: run folders of builds, the driver's folder, a build cache that is a folder.

Below a folder that has a `telemetry.json`, as run folders have, only this file counts; elsewhere all `*.json` do. Folders
are not entered through links: they may lead in circles. What is no regular file is passed over.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from sizing.documents import LARGEST_BYTES
from sizing.errors import SourceError
from sizing.sources.source import TELEMETRY, TOO_LARGE, Document, IsKnown, digest_in, place_of

_RUN = "telemetry.json"


class Folder:
    """A folder, or one file."""

    def __init__(self, path: Path, *, trusted: bool | None = None) -> None:
        """Take the place of protected builds where `path` is a build cache. `trusted` None leaves it to the place."""
        telemetry = path / TELEMETRY
        if telemetry.is_dir():
            path = telemetry / "protected"
        elif path.is_dir() and path.absolute().as_posix().endswith(f"/{TELEMETRY}".rstrip("/")):
            path /= "protected"
        self._path = path
        self.name = str(path.absolute())
        place = place_of(path.absolute().as_posix())
        self.trusted = place == "protected" if trusted is None else trusted
        self.has_days = path.is_dir() and path.name == place != ""

    def documents(self, *, since: str, is_known: IsKnown) -> Iterator[Document]:
        """Yield the documents, folder by folder in the order of names. Raises SourceError if the folder can't be read."""
        for path in self._paths(since, is_known):
            yield _read(path)

    def count(self, *, since: str, is_known: IsKnown) -> int:
        """Return how many documents there are. Raises SourceError."""
        return sum(1 for _ in self._paths(since, is_known))

    def _paths(self, since: str, is_known: IsKnown) -> Iterator[str]:
        try:
            mode = self._path.stat().st_mode
        except OSError as error:
            raise SourceError(f"{self._path} can't be read: {error.strerror}") from error
        if not stat.S_ISDIR(mode):
            yield str(self._path)
            return
        for folder in self._days(since) if self.has_days else [str(self._path)]:
            yield from (path for path in _files(folder) if not is_known(digest_in(path)))

    def _days(self, since: str) -> list[str]:
        """Return the folders of the days."""
        days = [entry for entry in _entries(str(self._path)) if entry.is_dir(follow_symlinks=False) and entry.name >= since]
        return sorted(entry.path for entry in days)


def _files(top: str) -> Iterator[str]:
    """Yield the paths of possible documents below a folder."""
    waiting = [top]
    while waiting:
        entries = sorted(_entries(waiting.pop()), key=lambda entry: entry.name)
        waiting += [entry.path for entry in reversed(entries) if entry.is_dir(follow_symlinks=False)]
        names = {entry.name for entry in entries}
        for entry in entries:
            wanted = entry.name == _RUN if _RUN in names else entry.name.endswith(".json")
            if wanted and not entry.is_dir():
                yield entry.path


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError as error:
        raise SourceError(f"{folder} can't be read: {error.strerror}") from error


def _read(path: str) -> Document:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a named pipe would wait for a writer
    except OSError as error:
        return Document(place=path, fault=f"can't be read: {error.strerror}")
    with open(file, "rb", buffering=0) as opened:  # noqa: PTH123 (it is a descriptor)
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            return Document(place=path, fault="not a regular file")
        if status.st_size > LARGEST_BYTES:
            return Document(place=path, fault=TOO_LARGE)
        try:
            return Document(place=path, content=opened.read(LARGEST_BYTES))
        except OSError as error:
            return Document(place=path, fault=f"can't be read: {error.strerror}")
