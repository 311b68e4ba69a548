"""The port to a mirror's storage: what the stories need of it, whether it is a folder (`folder.py`) or S3 (`s3.py`).

Keys are relative, with `/`. An object appears whole or not at all. Knows nothing of build caches.
"""

import concurrent.futures
import queue
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

ABSENT = ""
"""The condition of a write that must not replace anything (If-None-Match: *)."""
CHUNK_BYTES = 1 << 20
LARGEST_DOCUMENT_BYTES = 16 << 20
"""What `read` takes unless told otherwise: documents, not binaries."""


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """An object's content and the tag that names this very content in a condition."""

    data: bytes
    etag: str


class ObjectInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An object in a listing."""

    key: str
    size_bytes: int
    modified_seconds: float
    """Since the epoch, by the storage's clock."""


class LocalFile(msgspec.Struct, frozen=True, kw_only=True):
    """A local file to be sent, with what it is known to be."""

    path: Path
    size_bytes: int
    sha256: str
    """Hexadecimal; the storage is told, and refuses what arrived changed."""


class Store(Protocol):
    """A mirror's storage. Every method may raise StoreError; what is told about errors names the key."""

    url: str
    """The mirror as Spack names it, without a slash at its end."""

    def read(self, key: str, *, limit_bytes: int = LARGEST_DOCUMENT_BYTES) -> StoredObject:
        """Return an object. Raises NotFound, and StoreError if it is larger than the limit."""

    def download(self, key: str, path: Path) -> str:
        """Write an object of any size to a local file; return its SHA-256. Raises NotFound."""

    def digest(self, key: str) -> tuple[int, str]:
        """Read an object of any size; return its size and SHA-256. Raises NotFound."""

    def stat(self, key: str) -> ObjectInfo | None:
        """Return what is known of an object without reading it; None if there is none."""

    def has_content(self, key: str, blob: LocalFile) -> bool:
        """Say whether the object there is this blob, as far as the storage can tell without sending it."""

    def write(self, key: str, data: bytes, *, only_if: str | None = None) -> str:
        """Write an object; return its tag.

        `only_if` is a tag (replace exactly that content), ABSENT, or None (whatever is there). Raises Conflict if the
        condition does not hold, Unsupported if the storage has no conditions.
        """

    def upload(self, key: str, blob: LocalFile, *, if_absent: bool = False) -> None:
        """Write a local file, checked end to end; whatever is there is replaced.

        `if_absent`, for what goes in one piece, replaces nothing: raises Conflict and Unsupported as `write` does.
        """

    def delete(self, key: str) -> None:
        """Delete an object; its absence is success."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose key begins with the prefix, in the order of their keys, never all in memory."""

    def copy(self, key: str, source: "Store") -> bool:
        """Copy an object of another store under the same key without passing it through here; False if that can't be."""

    def reopened(self) -> "Store":
        """Return the same storage for a process that was forked from this one: nothing that is connected may be shared."""


_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_parallel(
    items: Iterable[_Item], work: Callable[[_Item], _Result], *, workers: int
) -> Iterator[tuple[_Item, _Result]]:
    """Yield each item with what the work made of it, in any order, `workers` at a time and never many more in memory.

    The first exception ends it: what runs is finished, what waits is not begun.
    """
    with concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="publish") as pool:
        running: dict[concurrent.futures.Future[_Result], _Item] = {}
        ended: queue.SimpleQueue[concurrent.futures.Future[_Result]] = queue.SimpleQueue()
        try:
            for item in items:
                future = pool.submit(work, item)
                running[future] = item
                future.add_done_callback(ended.put)
                if len(running) >= 2 * workers:
                    future = ended.get()
                    yield running.pop(future), future.result()
            while running:
                future = ended.get()
                yield running.pop(future), future.result()
        finally:
            for future in running:
                future.cancel()
