"""Writes private files: a temporary name in the same folder, mode 0600, then a rename. Knows nothing of their contents."""

import os
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Write `content` to `path` by rename, readable by the owner only. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
