"""The port to storage: what a build cache needs of it, whether it is a folder (`folder.py`) or S3 (`s3.py`).

Keys are relative, with `/`. An object appears whole or not at all. Knows nothing of build caches.
"""

import base64
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from buildjob import files

ABSENT = ""
"""The condition of a write that must not replace anything (If-None-Match: *)."""
CHUNK_BYTES = 1 << 20
LARGEST_DOCUMENT_BYTES = 16 << 20
"""The default limit of `read`: it is for documents, not for binaries."""

Unlisted = list[str]
"""Receives the keys of what a listing comes upon and can't read; what may hide further objects has a slash at its end."""


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """An object's content."""

    data: bytes
    etag: str
    """Names exactly this content in the condition of a write."""


class ObjectInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a listing says of an object."""

    key: str
    size_bytes: int
    modified_seconds: float
    """Since the epoch, by the storage's clock."""


class LocalFile(msgspec.Struct, frozen=True, kw_only=True):
    """A local file to upload, with its size and checksum."""

    path: Path
    size_bytes: int
    sha256: str
    """Hexadecimal. The storage receives it too, and rejects content that does not have it."""

    @classmethod
    def of(cls, path: Path) -> "LocalFile":
        """Return a file as it is now, which is read for its checksum."""
        return cls(path=path, size_bytes=path.stat().st_size, sha256=files.sha256(path))


class Store(Protocol):
    """The storage of one build cache. Every method may raise StoreError; its message names the key."""

    url: str
    """The address as Spack writes it, without a slash at its end."""

    def read(self, key: str, *, limit_bytes: int = LARGEST_DOCUMENT_BYTES) -> StoredObject:
        """Return an object. Raises NotFound, and StoreError if it is larger than the limit."""

    def download(self, key: str, path: Path) -> str:
        """Write an object of any size to a local file; return its SHA-256. Raises NotFound."""

    def digest(self, key: str) -> tuple[int, str]:
        """Read an object of any size; return its size and SHA-256. Raises NotFound."""

    def stat(self, key: str) -> ObjectInfo | None:
        """Return size and time of an object without reading it; None if there is none."""

    def has_content(self, key: str, file: LocalFile) -> bool:
        """Return whether the object has the file's content, as far as the storage knows that without sending it."""

    def write(self, key: str, data: bytes, *, only_if: str | None = None) -> str:
        """Write an object; return its ETag.

        `only_if` is an ETag (replace exactly that content), ABSENT, or None (replace anything). Raises Conflict if the
        condition does not hold, Unsupported if the storage has no conditional writes.
        """

    def upload(self, key: str, file: LocalFile, *, if_absent: bool = False) -> None:
        """Write a local file, checked end to end; replaces any object there.

        With `if_absent`, only for files that are uploaded in one piece: raises Conflict if there is an object, and
        Unsupported as `write` does.
        """

    def delete(self, key: str) -> None:
        """Delete an object; its absence is success."""

    def list(self, prefix: str, *, unlisted: Unlisted | None = None) -> Iterator[ObjectInfo]:
        """Yield the objects whose key begins with the prefix, in the order of their keys, never all in memory.

        Without `unlisted`, a folder that can't be read raises StoreError.
        """

    def copy(self, key: str, source: "Store") -> bool:
        """Copy an object of another store under the same key without passing it through here; False if that can't be."""

    def reopened(self) -> "Store":
        """Return the same storage for a process that was forked from this one: they must not share connections."""


class Readable(Protocol):
    """A stream of bytes: a file, or the body of an answer."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, empty at the end."""


def chunks_of(stream: Readable) -> Iterator[bytes]:
    """Yield what is left of a stream, 1 MiB at a time."""
    return iter(functools.partial(stream.read, CHUNK_BYTES), b"")


def base64_of(sha256: str) -> str:
    """Return a hexadecimal checksum as S3's headers have it."""
    return base64.b64encode(bytes.fromhex(sha256)).decode()
