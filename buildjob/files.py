"""Files that appear whole (temporary name in the same folder, fsync, rename), whether a file has a given content, and room.

Knows nothing of what they contain. Source: rename(2), fsync(2), posix_fallocate(3).
"""

import errno
import hashlib
import os
import tempfile
from pathlib import Path
from typing import BinaryIO

_CHUNK_BYTES = 1 << 20


def write_whole(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write `data` to `path` by rename; the old file stays until the new one is complete. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def reserve(folder: Path, size_bytes: int) -> BinaryIO:
    """Return a file without a name that holds so much of the folder's disk until it is closed. Raises OSError.

    The file ends with this process, however that ends. It shows what no figure of a file system does: quotas, and folders
    that take no files.
    """
    file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  the caller closes it
    try:
        os.posix_fallocate(file.fileno(), 0, size_bytes)
    except OSError as error:
        file.close()
        if error.errno in {errno.EOPNOTSUPP, errno.EINVAL}:  # the file system cannot promise room: nothing is known
            return tempfile.TemporaryFile(dir=folder, buffering=0)
        raise
    return file


def has_content(path: Path, *, size_bytes: int, checksum: str) -> bool:
    """Return whether there is a file of that size and SHA-256."""
    try:
        return path.stat().st_size == size_bytes and sha256(path) == checksum
    except FileNotFoundError:
        return False


def sha256(path: Path) -> str:
    """Return the hex digest of a file of any size."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
