"""Bodies and answers as files without names, bounded all together: they vanish with the process, however it ends."""

import errno
import os
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

_CHUNK = 1 << 16


class SpoolFullError(Exception):
    """No room for a body: the bound is reached, or the disk is full."""


class TooLargeError(Exception):
    """One body is larger than is allowed."""


class Spool:
    """The room that all spooled files share."""

    def __init__(self, folder: str, most_bytes: int) -> None:
        self._folder = folder or None
        self._most_bytes = most_bytes
        self.used_bytes = 0

    def open(self, most_bytes: int) -> "SpooledFile":
        """Return an empty file of at most so many bytes. Raises SpoolFullError if none can be made."""
        try:
            file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 (SpooledFile closes it)
        except OSError as error:
            raise SpoolFullError(error.strerror) from error
        return SpooledFile(self, file, most_bytes)

    def reserve(self, count: int) -> None:
        """Count bytes that are about to be written. Raises SpoolFullError."""
        if self.used_bytes + count > self._most_bytes:
            raise SpoolFullError(f"{self.used_bytes} of {self._most_bytes} bytes are in use")
        self.used_bytes += count

    def release(self, count: int) -> None:
        """Give bytes back."""
        self.used_bytes -= count


class SpooledFile:
    """One body: appended to, then read any number of times, then closed."""

    def __init__(self, spool: Spool, file: BinaryIO, most_bytes: int) -> None:
        self._spool = spool
        self._file = file
        self._most_bytes = most_bytes
        self.size = 0

    def append(self, data: bytes) -> None:
        """Write. Raises TooLargeError, or SpoolFullError also if the disk is full."""
        if self.size + len(data) > self._most_bytes:
            raise TooLargeError(f"more than {self._most_bytes} bytes")
        self._spool.reserve(len(data))
        self.size += len(data)
        try:
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}:
                raise SpoolFullError(error.strerror) from error
            raise

    def chunks(self) -> Iterator[bytes]:
        """Yield the content from its start. Several readers do not disturb each other."""
        offset = 0
        while data := os.pread(self._file.fileno(), _CHUNK, offset):
            yield data
            offset += len(data)

    def close(self) -> None:
        """Give the room back. Closing again does nothing."""
        if not self._file.closed:
            self._file.close()
            self._spool.release(self.size)
