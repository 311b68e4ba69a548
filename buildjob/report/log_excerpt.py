"""The part of the build log that the page shows: the lines around the first error, or the log's end.

Streams over a log of any size and any bytes in bounded memory. Knows neither errors, which others find, nor pages.
"""

import io
from pathlib import Path

import msgspec

LINE_LIMIT = 4000
# A character takes up to four bytes, so this many hold one character more than a line keeps.
_LINE_BYTES = 4 * (LINE_LIMIT + 1)
_BLOCK = 1 << 16


class LogExcerpt(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive lines of the build log."""

    first_line: int
    """Number of the first of `lines` in the log, from 1."""
    lines: list[str]
    """Without their ends; bytes that are not UTF-8 read as `\\xff`. Empty if the log has no such lines."""
    error_line: int | None = None
    """Number of the line with the first error; None if the excerpt shows no error."""
    truncated: bool = False
    """A line was longer than `LINE_LIMIT` characters and lost its end."""


def take(log: Path, *, error_line: int, before: int = 10, after: int = 10) -> LogExcerpt:
    """Return the lines around line `error_line` of the log, fewer where the log begins or ends.

    If the log has no such line, the excerpt has neither lines nor an error line. Lines end with a line feed; a carriage
    return before it is dropped. Raises OSError if the log cannot be read.
    """
    first_line = max(1, error_line - before)
    with log.open("rb") as file:
        lines, truncated = _read_lines(file, skip=first_line - 1, count=max(1, error_line) + after - first_line + 1)
    found = first_line <= error_line < first_line + len(lines)
    return LogExcerpt(
        first_line=first_line,
        lines=lines if found else [],
        error_line=error_line if found else None,
        truncated=truncated,
    )


def take_end(log: Path, *, count: int = 20) -> LogExcerpt:
    """Return the log's last `count` lines: for a failed build whose log names no error. Raises OSError."""
    with log.open("rb") as file:
        total = count_lines(file)
        file.seek(0)
        first_line = max(1, total - count + 1)
        lines, truncated = _read_lines(file, skip=first_line - 1, count=count)
    return LogExcerpt(first_line=first_line, lines=lines, truncated=truncated)


def count_lines(file: io.BufferedReader) -> int:
    """Count to the end of the file; a last line without line feed counts."""
    total, last = 0, b"\n"
    while block := file.read(_BLOCK):
        total += block.count(b"\n")
        last = block[-1:]
    return total + (last != b"\n")


def _read_lines(file: io.BufferedReader, *, skip: int, count: int) -> tuple[list[str], bool]:
    """Return up to `count` lines after the first `skip`, and whether one of them lost its end."""
    skip_lines(file, skip)
    lines: list[str] = []
    truncated = False
    while len(lines) < count and (raw := file.readline(_LINE_BYTES)):
        if not raw.endswith(b"\n"):
            skip_lines(file, 1)
        text = raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "backslashreplace")
        truncated |= len(text) > LINE_LIMIT
        lines.append(text[:LINE_LIMIT])
    return lines, truncated


def skip_lines(file: io.BufferedReader, count: int) -> None:
    """Move past the next `count` line feeds, or to the end of the file."""
    while count > 0 and (block := file.read(_BLOCK)):
        found = block.count(b"\n")
        if found < count:
            count -= found
            continue
        position = -1
        for _ in range(count):
            position = block.index(b"\n", position + 1)
        file.seek(position + 1 - len(block), io.SEEK_CUR)
        return
