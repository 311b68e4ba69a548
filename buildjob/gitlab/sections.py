"""GitLab's marks of sections in a job's log: what lies between two is folded until a reader opens it. Pure.

Sections may lie in one another. Source: GitLab, "Custom collapsible sections".
"""

import re
from collections.abc import Callable

_MOST_NAME = 100
_LINES = re.compile(rb"[^\n]*\n|[^\n]+")


def name_of(*parts: str) -> str:
    """Return a section's name: of what it is made of, each character that a name cannot have replaced."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", "_".join(parts))[:_MOST_NAME]


def start(name: str, title: str, *, now: float) -> str:
    """Return the mark that begins a folded section; its title is on one line."""
    line = " ".join(title.split())
    return f"\x1b[0Ksection_start:{int(now)}:{name}[collapsed=true]\r\x1b[0K{line}\n"


def end(name: str, *, now: float) -> str:
    """Return the mark that ends a section."""
    return f"\x1b[0Ksection_end:{int(now)}:{name}\r\x1b[0K\n"


class PhaseFolds:
    """Puts the marks of each phase between the lines of a build's output, whose bytes stay as they are.

    A section begins after the line that names its phase, and ends before the line that names the next one.
    """

    def __init__(self, prefix: str, *, phases: Callable[[bytes], list[str]], clock: Callable[[], float]) -> None:
        """`phases` takes the next bytes and returns the phases that begin in them, "" for the end of the last one."""
        self._prefix, self._phases, self._clock = prefix, phases, clock
        self._open = ""
        self._line_is_open = False

    def feed(self, chunk: bytes) -> bytes:
        """Return the next bytes of the output with the marks that belong between them."""
        shown = []
        # nearly every chunk of a build's output names no phase
        for line in _LINES.findall(chunk) if b"==> " in chunk or self._line_is_open else [chunk]:
            begun = self._phases(line)
            shown.append(line)
            self._line_is_open = not line.endswith(b"\n")
            if begun:
                shown.append(self._changed(begun[-1]))
        return b"".join(shown)

    def end(self) -> bytes:
        """Return the mark that ends the last phase, on a line of its own; nothing if there is none."""
        broken = b"\n" if self._open and self._line_is_open else b""
        return broken + self._changed("")

    def _changed(self, phase: str) -> bytes:
        now = self._clock()
        marks = end(self._open, now=now) if self._open else ""
        self._open = name_of(self._prefix, phase) if phase else ""
        marks += start(self._open, phase, now=now) if phase else ""
        return marks.encode()
