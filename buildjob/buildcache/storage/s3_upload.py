"""A part of a local file, for uploads in parts: it reads like a file of its own, and is never held in memory."""

from collections.abc import Iterator
from typing import BinaryIO

from buildjob.buildcache.storage.store import CHUNK_BYTES


class Part:
    """A window of an open file that reads like a file of its own; what boto3 needs of a body, and no more."""

    def __init__(self, file: BinaryIO, number: int, part_bytes: int) -> None:
        self._file = file
        self.number = number
        self._start = (number - 1) * part_bytes
        file.seek(0, 2)
        self._size = min(part_bytes, file.tell() - self._start)
        self._at = 0

    def __len__(self) -> int:
        return self._size

    def tell(self) -> int:
        """Return where the next read begins, from the part's start."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place, as of any file; return it."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes, all that are left if no size is given."""
        left = self._size - self._at
        size = left if size is None or size < 0 else min(size, left)
        self._file.seek(self._start + self._at)
        data = self._file.read(size)
        self._at += len(data)
        return data

    def chunks(self) -> Iterator[bytes]:
        """Yield the whole part from its start, 1 MiB at a time."""
        self.seek(0)
        while chunk := self.read(CHUNK_BYTES):
            yield chunk
