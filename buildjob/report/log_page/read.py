"""Reads lines of a build log of any size and any bytes, in bounded memory: those that are asked for, one after the other."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from buildjob.report.log_page.windows import Window

LONGEST_LINE = 1_000
_LINE_BYTES = 4 * (LONGEST_LINE + 1)
_BLOCK = 1 << 16


def measure(log: Path) -> tuple[int, int]:
    """Return how many lines a log has, a last one without line feed included, and its bytes. Raises OSError."""
    lines, size, last = 0, 0, b"\n"
    with log.open("rb") as file:
        while block := file.read(_BLOCK):
            lines += block.count(b"\n")
            size += len(block)
            last = block[-1:]
    return lines + (last != b"\n"), size


def lines_of(log: Path, windows: Sequence[Window]) -> Iterator[tuple[int, str, Window]]:
    r"""Yield the lines of the windows, which are in order: number, text, window. Raises OSError.

    A text is without its end, and cut a little above `LONGEST_LINE` characters; bytes that are not UTF-8 read as `\xff`.
    """
    number = 1
    with log.open("rb") as file:
        for window in windows:
            _skip_lines(file, window.first - number)
            for number in range(window.first, window.last + 1):
                raw = file.readline(_LINE_BYTES)
                if not raw:
                    return
                if not raw.endswith(b"\n"):
                    _skip_lines(file, 1)
                yield number, raw.rstrip(b"\n").decode("utf-8", "backslashreplace"), window
            number = window.last + 1


def _skip_lines(file: io.BufferedReader, count: int) -> None:
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
