"""Writes the driver's own lines: callers say what a line means, this module decides how it looks.

The script's output does not pass through it. Lines carry no time: the Runner adds it.
"""

import os
import sys

_COLORS = {"step": "36;1", "note": "0", "warning": "33;1", "error": "31;1"}
_LONGEST_LINE = 4000
_open_lines: set[int] = set()
"""Descriptors of this process whose last line has no end yet."""


class Log:
    """Writes lines to a descriptor; colors under CI or on a terminal, unless NO_COLOR is set."""

    def __init__(self, descriptor: int = 1, *, color: bool = False) -> None:
        self._descriptor = descriptor
        _open_lines.discard(descriptor)
        self._color = color

    def step(self, text: str) -> None:
        """Log what the driver does next."""
        self._line("step", text)

    def note(self, text: str) -> None:
        """Log what users may want to know."""
        self._line("note", text)

    def warning(self, text: str) -> None:
        """Log what needs attention although the job continues."""
        self._line("warning", f"WARNING: {text}")

    def error(self, text: str) -> None:
        """Log what ended the call and what to do."""
        self._line("error", f"ERROR: {text}")

    def all(self, notes: list[str], warnings: list[str]) -> None:
        """Log notes, then warnings."""
        for text in notes:
            self.note(text)
        for text in warnings:
            self.warning(text)

    def _line(self, kind: str, text: str) -> None:
        shown = text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]} …"
        if self._color and kind != "note":
            shown = "\n".join(f"\x1b[{_COLORS[kind]}m{line}\x1b[0m" for line in shown.split("\n"))
        start = "\n" if self._descriptor in _open_lines else ""  # a script's last line may have no end
        write_all(self._descriptor, f"{start}{shown}\n".encode(errors="backslashreplace"))


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte; os.write may take only some. Raises BrokenPipeError when the reader is gone."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    if content:
        (_open_lines.discard if content.endswith(b"\n") else _open_lines.add)(descriptor)


def shows_color(variables: dict[str, str]) -> bool:
    """Return whether lines are colored: the job log shows ANSI colors although it is not a terminal."""
    return not variables.get("NO_COLOR") and (bool(variables.get("CI")) or sys.stdout.isatty())
