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
        if ".." in path.parts:
            path = Path(os.path.realpath(path))  # the place is read from the name
        named, telemetry = path, path / TELEMETRY
        if _is_folder(telemetry):
            path = telemetry / "protected"
        elif _is_folder(path) and path.absolute().as_posix().endswith(f"/{TELEMETRY}".rstrip("/")):
            path /= "protected"
        self._path = path
        self._may_be_missing = path != named
        """A build cache to which no protected job has uploaded yet."""
        self.name = os.fsencode(path.absolute()).decode("utf-8", "backslashreplace")
        place = place_of(path.absolute().as_posix())
        self.trusted = place == "protected" if trusted is None else trusted
        self.has_days = _is_folder(path) and path.name == place != ""

    def documents(self, *, since: str, is_known: IsKnown) -> Iterator[Document]:
        """Yield the documents, folder by folder in the order of names. Raises SourceError if the folder can't be read."""
        for found in self._found(since, is_known):
            yield found if isinstance(found, Document) else _read(found)

    def count(self, *, since: str, is_known: IsKnown) -> int:
        """Return how many documents there are. Raises SourceError."""
        return sum(1 for _ in self._found(since, is_known))

    def _found(self, since: str, is_known: IsKnown) -> Iterator[str | Document]:
        """Yield paths of documents, and what is no document and says why."""
        try:
            is_folder = stat.S_ISDIR(self._path.stat().st_mode)
            entries = _entries(str(self._path)) if is_folder else []
        except OSError as error:
            if self._may_be_missing and isinstance(error, FileNotFoundError):
                return
            raise SourceError(f"{self._path} can't be read: {error.strerror}") from error
        if not is_folder:
            yield str(self._path)
            return
        days = [entry for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name >= since]
        for folder in sorted(entry.path for entry in days) if self.has_days else [str(self._path)]:
            for found in _files(folder):
                if isinstance(found, Document) or not is_known(digest_in(found)):
                    yield found


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  what can't be seen is an error to pathlib; the reading names it


def _files(top: str) -> Iterator[str | Document]:
    """Yield the paths of possible documents below a folder, and folders that can't be read."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            entries = sorted(_entries(folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            continue  # deleted meanwhile
        except OSError as error:
            yield Document(place=folder, fault=f"can't be read: {error.strerror}")
            continue
        waiting += [entry.path for entry in reversed(entries) if entry.is_dir(follow_symlinks=False)]
        names = {entry.name for entry in entries}
        for entry in entries:
            wanted = entry.name == _RUN if _RUN in names else entry.name.endswith(".json")
            if wanted and not entry.is_dir(follow_symlinks=False):
                yield entry.path


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return list(found)


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
