"""Reads lines of a build log of any size and any bytes, in bounded memory: those that are asked for, one after the other."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from buildjob.report.log_excerpt import count_lines, skip_lines
from buildjob.report.log_page.windows import Window

LONGEST_LINE = 1_000
_LINE_BYTES = 4 * (LONGEST_LINE + 1)


def measure(log: Path) -> tuple[int, int]:
    """Return how many lines a log has, a last one without line feed included, and its bytes. Raises OSError."""
    with log.open("rb") as file:
        return count_lines(file), file.tell()


def lines_of(log: Path, windows: Sequence[Window]) -> Iterator[tuple[int, str, Window]]:
    r"""Yield the lines of the windows, which are in order: number, text, window. Raises OSError.

    A text is without its end, and cut a little above `LONGEST_LINE` characters; bytes that are not UTF-8 read as `\xff`.
    """
    number = 1
    with log.open("rb") as file:
        for window in windows:
            skip_lines(file, window.first - number)
            for number in range(window.first, window.last + 1):
                raw = file.readline(_LINE_BYTES)
                if not raw:
                    return
                if not raw.endswith(b"\n"):
                    skip_lines(file, 1)
                yield number, raw.rstrip(b"\n").decode("utf-8", "backslashreplace"), window
            number = window.last + 1
