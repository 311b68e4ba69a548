"""A build cache in a folder: files appear by rename, "only if absent" is a hard link, "only if unchanged" holds a lock.

The ETag of an object is the SHA-256 of its content. Works on any POSIX file system that several machines may share, as long
as it has links, renames and flock(2).
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from buildjob.buildcache.storage.store import (
    ABSENT,
    LARGEST_DOCUMENT_BYTES,
    LocalFile,
    ObjectInfo,
    Store,
    StoredObject,
    Unlisted,
    chunks_of,
)
from buildjob.errors import Conflict, NotFound, StoreError

_LOCK = "spack-farm/v1/lock"
"""Held while a file's content is compared and replaced."""


class FolderStore:
    """The storage below one folder, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.url = self.root.as_uri()

    def read(self, key: str, *, limit_bytes: int = LARGEST_DOCUMENT_BYTES) -> StoredObject:
        """Return an object."""
        with self._faults(key), self._opened(key) as file:
            data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise StoreError(f"{self.url}/{key}: larger than {limit_bytes} bytes, the most that such an object may be")
        return StoredObject(data=data, etag=_etag_of(data))

    def download(self, key: str, path: Path) -> str:
        """Copy an object to a local file; return its SHA-256."""
        digest = hashlib.sha256()
        with self._faults(key), self._opened(key) as source, path.open("wb") as target:
            for chunk in chunks_of(source):
                digest.update(chunk)
                target.write(chunk)
        return digest.hexdigest()

    def digest(self, key: str) -> tuple[int, str]:
        """Return an object's size and SHA-256."""
        digest, size = hashlib.sha256(), 0
        with self._faults(key), self._opened(key) as file:
            for chunk in chunks_of(file):
                digest.update(chunk)
                size += len(chunk)
        return size, digest.hexdigest()

    def stat(self, key: str) -> ObjectInfo | None:
        """Return size and time of an object; None if there is none."""
        try:
            with self._faults(key):
                state = self._path(key).stat()
        except NotFound:
            return None
        return ObjectInfo(key=key, size_bytes=state.st_size, modified_seconds=state.st_mtime)

    def is_broken_link(self, key: str) -> bool:
        """Return whether an object's place has a link that leads to nothing: it counts as absent, and is in the way."""
        path = self._path(key)
        return path.is_symlink() and not path.exists()

    def has_content(self, key: str, file: LocalFile) -> bool:
        """Return whether the object has the file's size and content; it is read, because disks rot."""
        info = self.stat(key)
        return info is not None and info.size_bytes == file.size_bytes and self.digest(key)[1] == file.sha256

    def write(self, key: str, data: bytes, *, only_if: str | None = None) -> str:
        """Write an object; return its ETag."""
        with self._faults(key), self._temporary(key) as temporary:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if only_if is None:
                temporary.replace(self._path(key))
            elif only_if == ABSENT:
                os.link(temporary, self._path(key))
            else:
                with self._lock():
                    if self.read(key).etag != only_if:
                        raise Conflict(f"{self.url}/{key}: another writer has changed it")
                    temporary.replace(self._path(key))
        return _etag_of(data)

    def upload(self, key: str, file: LocalFile, *, if_absent: bool = False) -> None:
        """Copy a local file in, and check what was copied."""
        digest = hashlib.sha256()
        with self._faults(key), self._temporary(key) as temporary:
            with file.path.open("rb") as source, temporary.open("xb") as target:
                for chunk in chunks_of(source):
                    digest.update(chunk)
                    target.write(chunk)
                target.flush()
                os.fsync(target.fileno())
            if digest.hexdigest() != file.sha256:
                raise StoreError(f"{file.path}: its content does not have the checksum in its name")
            if if_absent:
                os.link(temporary, self._path(key))
            else:
                temporary.replace(self._path(key))

    def delete(self, key: str) -> None:
        """Delete an object; its absence is success."""
        with contextlib.suppress(NotFound), self._faults(key):
            self._path(key).unlink()

    def list(self, prefix: str, *, unlisted: Unlisted | None = None) -> Iterator[ObjectInfo]:
        """Yield the objects whose key begins with the prefix, in the order of their keys."""
        top = self._path(prefix.rpartition("/")[0]) if "/" in prefix else self.root
        with self._faults(prefix):
            yield from (info for info in self._walk(top, unlisted) if info.key.startswith(prefix))

    def copy(self, key: str, source: Store) -> bool:
        """Copy from another folder; False if the source is not a folder. Never a link: its owner could change it later."""
        if not isinstance(source, FolderStore):
            return False
        with self._faults(key), self._temporary(key) as temporary:
            source.download(key, temporary)
            temporary.replace(self._path(key))
        return True

    def reopened(self) -> Store:
        """Return this very storage: it has no connections."""
        return self

    @contextlib.contextmanager
    def _opened(self, key: str) -> Iterator[BinaryIO]:
        """Open an object to read it. Raises StoreError for what is no file: pipes and devices may have no end."""
        # to open a pipe waits for a writer, unless one does not wait; for files the flag means nothing
        with open(self._path(key), "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise StoreError(f"{self.url}/{key}: not a file")
            yield file

    def _path(self, key: str) -> Path:
        if "\0" in key or ".." in key.split("/") or key.startswith("/"):
            raise StoreError(f"{key!r} is not a key of a build cache")
        return self.root / key

    def _walk(self, folder: Path, unlisted: Unlisted | None) -> Iterator[ObjectInfo]:
        key = folder.relative_to(self.root).as_posix()
        try:
            # the order of keys, in which a folder's name continues with "/", as S3 lists them
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name + "/" * _is_folder(entry))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError:
            if unlisted is None:
                raise
            unlisted.append(f"{key}/")
            return
        for entry in entries:
            if _is_folder(entry) and not _leads_back(entry):
                yield from self._walk(folder / entry.name, unlisted)
            elif not entry.name.startswith("."):
                yield from self._seen(entry, f"{key}/{entry.name}".removeprefix("./"), unlisted)

    def _seen(self, entry: "os.DirEntry[str]", key: str, unlisted: Unlisted | None) -> Iterator[ObjectInfo]:
        """Yield what a listing says of an entry: nothing if it was deleted meanwhile, or can't be read."""
        try:
            state = entry.stat()
        except FileNotFoundError:
            if unlisted is not None and entry.is_symlink():
                unlisted.append(f"{key}/")  # perhaps to a disk that is not mounted
        except OSError as error:
            if unlisted is None and error.errno != errno.ELOOP:
                raise
            if unlisted is not None:
                unlisted.append(key if error.errno == errno.ELOOP else f"{key}/")
        else:
            if stat.S_ISREG(state.st_mode):
                yield ObjectInfo(key=key, size_bytes=state.st_size, modified_seconds=state.st_mtime)
            elif unlisted is not None:  # a link to a folder above it; a socket, a pipe, a device
                unlisted.append(key)

    @contextlib.contextmanager
    def _temporary(self, key: str) -> Iterator[Path]:
        """Give the path of a file that does not exist, in the key's folder; delete it afterwards."""
        if not key.isprintable():  # others may have made such a one, and it can be read
            raise StoreError(f"{key!r} is not a key of a build cache")
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise StoreError(f"build cache {self.url}: {error.filename} is not a folder") from error
        temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        path = self._path(_LOCK)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _faults(self, key: str) -> Iterator[None]:
        """Translate the operating system's errors."""
        try:
            yield
        except FileNotFoundError as error:
            raise NotFound(f"{self.url}/{key}: there is no such object") from error
        except FileExistsError as error:
            raise Conflict(f"{self.url}/{key}: it exists already") from error
        except OSError as error:
            raise StoreError(f"build cache {self.url}/{key}: {error.strerror or error}") from error


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Return whether an entry is a folder, or a link to one; of a link that leads round in a circle: no."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _leads_back(entry: "os.DirEntry[str]") -> bool:
    """Return whether a folder is a link to one in which it lies."""
    path = Path(entry.path)
    return entry.is_symlink() and path.parent.resolve().is_relative_to(path.resolve())


def _etag_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
