"""Files that appear whole (temporary name in the same folder, fsync, rename), and whether a file has a given content.

Knows nothing of what they contain. Source: rename(2), fsync(2).
"""

import hashlib
import os
from pathlib import Path

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
