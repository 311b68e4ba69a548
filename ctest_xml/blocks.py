"""Cuts a stream of bytes into blocks of whole lines, whatever the chunks and however long the lines.

Knows nothing of rules. Obeys: CMake 4.4, Source/CTest/cmCTestBuildHandler.cxx, ProcessBuffer: NUL ends a line as LF does,
CR does not. Ours: a line over the limit keeps its head and a note; the rest is counted and dropped as it is read.
"""

from collections.abc import Iterable, Iterator

BLOCK_BYTES = 1 << 18


def blocks(chunks: Iterable[bytes], *, line_bytes: int, last_line: bool) -> Iterator[bytes]:
    """Yield blocks of whole lines, each line ended by LF; memory stays below a chunk, a block and a line.

    `last_line`: a last line without an end gets one; else it is dropped.
    """
    rest = bytearray()
    dropped = 0  # bytes of the line in `rest` that were not kept
    for chunk in _pieces(chunks):
        end = chunk.rfind(b"\n") + 1
        if not end:
            dropped += _append(rest, chunk, line_bytes)
            continue
        first = chunk.index(b"\n")
        dropped += _append(rest, chunk[:first], line_bytes)
        _note_dropped(rest, dropped)
        body = chunk[first + 1 : end]  # split into lines only if one of them is too long
        yield b"%s\n%s" % (rest, body if _is_short(body, line_bytes) else _shortened(body, line_bytes))
        rest = bytearray()
        dropped = _append(rest, chunk[end:], line_bytes)
    if rest and last_line:
        _note_dropped(rest, dropped)
        yield bytes(rest) + b"\n"


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the stream in pieces of about a block, with line ends for NULs."""
    small = bytearray()
    for chunk in chunks:
        if len(small) + len(chunk) < BLOCK_BYTES:
            small += chunk
            continue
        whole = bytes(small) + chunk
        small.clear()
        for start in range(0, len(whole), BLOCK_BYTES):
            yield whole[start : start + BLOCK_BYTES].replace(b"\0", b"\n")
    if small:
        yield bytes(small).replace(b"\0", b"\n")


def _append(line: bytearray, more: bytes, line_bytes: int) -> int:
    """Add to a line what it may hold; return how many bytes were dropped."""
    room = max(0, line_bytes - len(line))
    line += more[:room]
    return len(more) - len(more[:room])


def _note_dropped(line: bytearray, dropped: int) -> None:
    if dropped:
        line += b" [... %d bytes of this line left out ...]" % dropped


def _is_short(body: bytes, line_bytes: int) -> bool:
    """Return whether every line of the body is short enough."""
    at = 0
    # One line end within each stretch of the limit's length proves it, so a block of short lines costs a few searches.
    while len(body) - at > line_bytes:
        end = body.rfind(b"\n", at, at + line_bytes + 1)
        if end < 0:
            return False
        at = end + 1
    return True


def _shortened(body: bytes, line_bytes: int) -> bytes:
    lines = []
    for line in body[:-1].split(b"\n"):
        kept = bytearray(line[:line_bytes])
        _note_dropped(kept, len(line) - len(kept))
        lines.append(bytes(kept))
    return b"\n".join(lines) + b"\n"
