"""Reads an index in windows of whole entries: one of 100,000 is 126 MiB of JSON and 1 GB of Python objects.

Pure but for the file given. Every window is decoded as JSON: a cut within an entry is noticed and moved, whatever a string
contains. Source: Spack 1.1, lib/spack/spack/database.py (`_write_to_file`, database version 8).
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from buildjob.errors import PublishError

VERSION = "8"
_WINDOW_BYTES = 1 << 20
_SHORTEST_READ_BYTES = 256
_LARGEST_ENTRY_BYTES = 64 << 20
_LARGEST_TAIL_BYTES = 1 << 16
_HEAD = re.compile(rb'\s*\{\s*"database"\s*:\s*\{\s*"version"\s*:\s*"([0-9.]+)"\s*,\s*"installs"\s*:\s*\{\s*')
# Where one entry ends and the next begins. A quote between these structural characters can only begin a key.
_BOUNDARY = re.compile(rb'\}(\s*,\s*)"[a-z2-7]{32}"\s*:\s*\{')
# The end of the last entry, followed by those of `installs` and of `database`.
_INSTALLS_END = re.compile(rb"\}(?=\s*\}\s*\}\s*[,}])")


def windows(old: BinaryIO | None, *, window_bytes: int = _WINDOW_BYTES) -> Iterator[tuple[dict[str, msgspec.Raw], bytes]]:
    """Yield an index in windows of about 1 MiB: entries by DAG hash, and the bytes that hold them. None is an empty index.

    Raises PublishError if it is not an index as Spack writes it.
    """
    if old is None:
        return
    old.seek(0)
    buffer = old.read(max(window_bytes, _SHORTEST_READ_BYTES))
    head = _HEAD.match(buffer)
    if head is None:
        raise PublishError("the index is not in Spack's form; make a new one with publish index --rebuild")
    if head[1].decode() != VERSION:
        raise PublishError(f"the index has database version {head[1].decode()}, Spack 1.1 writes {VERSION}")
    buffer = buffer[head.end() :]
    while True:
        more = old.read(window_bytes)
        if not more:
            break
        rows, used, skip = _cut(buffer)
        if used:
            yield rows, buffer[:used]
            buffer = buffer[used + skip :]
        buffer += more
        if len(buffer) > _LARGEST_ENTRY_BYTES:
            raise PublishError("the index has an entry of more than 64 MiB, or is not an index")
    yield from _last(buffer)


def _cut(buffer: bytes) -> tuple[dict[str, msgspec.Raw], int, int]:
    """Return the complete entries, how many bytes they take, and how many separate them from the next one."""
    # What looks like a boundary may stand within an entry, in a spec that has a hash as a key: then the text before it is
    # not JSON, and an earlier boundary is tried.
    for boundary in reversed(list(_BOUNDARY.finditer(buffer))[-3:]):
        used = boundary.start() + 1
        rows = _rows(buffer[:used])
        if rows is not None:
            return rows, used, len(boundary[1])
    return {}, 0, 0


def _rows(window: bytes) -> dict[str, msgspec.Raw] | None:
    try:
        return msgspec.json.decode(b"{" + window + b"}", type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        return None


def _last(buffer: bytes) -> Iterator[tuple[dict[str, msgspec.Raw], bytes]]:
    """Yield the last window: it ends where `installs` does; a short tail follows."""
    if re.match(rb"\}\s*\}", buffer):  # no entries at all
        return
    before = max(len(buffer) - _LARGEST_TAIL_BYTES, 0)
    for end in _INSTALLS_END.finditer(buffer, before):
        used = end.start() + 1
        rows = _rows(buffer[:used])
        if rows is not None and _rows(b'"database":{"installs":{' + buffer[used:].rstrip()[:-1]) is not None:
            yield rows, buffer[:used]
            return
    raise PublishError("the index ends too early; make a new one with publish index --rebuild")
