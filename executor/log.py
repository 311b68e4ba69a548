"""How the driver's own lines look: callers say what a line means, this module decides the looks.

Work of the script passes beside it, unchanged. Lines carry no time: the Runner adds it.
"""

import os
import sys

_COLORS = {"step": "36;1", "note": "0", "warning": "33;1", "error": "31;1"}
_LONGEST_LINE = 4000


class Log:
    """Writes lines to a descriptor; colors under CI or on a terminal, unless NO_COLOR is set."""

    def __init__(self, descriptor: int = 1, *, color: bool = False) -> None:
        self._descriptor = descriptor
        self._color = color

    def step(self, text: str) -> None:
        """Say what is done next."""
        self._line("step", text)

    def note(self, text: str) -> None:
        """Say something worth knowing."""
        self._line("note", text)

    def warning(self, text: str) -> None:
        """Say what should be looked at although the job goes on."""
        self._line("warning", f"WARNING: {text}")

    def error(self, text: str) -> None:
        """Say what ended the stage and what to do."""
        self._line("error", f"ERROR: {text}")

    def all(self, notes: list[str], warnings: list[str]) -> None:
        """Log notes, then warnings."""
        for text in notes:
            self.note(text)
        for text in warnings:
            self.warning(text)

    def _line(self, kind: str, text: str) -> None:
        words = text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]} …"
        if self._color and kind != "note":
            words = "\n".join(f"\x1b[{_COLORS[kind]}m{line}\x1b[0m" for line in words.split("\n"))
        write_all(self._descriptor, f"{words}\n".encode(errors="backslashreplace"))


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte; os.write may take only some. Raises BrokenPipeError when nobody reads any more."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def shows_color(variables: dict[str, str]) -> bool:
    """Tell whether lines are colored: the job log shows ANSI colors although it is no terminal."""
    return not variables.get("NO_COLOR") and (bool(variables.get("CI")) or sys.stdout.isatty())
