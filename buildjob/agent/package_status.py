"""What the package that is being built is at: the status line of a terminal, and the line a minute elsewhere.

Pure but for the clock. Knows no process and no document.
"""

import time
from collections.abc import Callable

from status_line.text import elapsed, shortened, size


def _none() -> str:
    return ""


class PackageStatus:
    """One package of a call; any thread may ask it, while another one changes it."""

    def __init__(self, title: str, *, number: int = 1, of: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        """`number` is the package's place among the `of` packages that this call builds."""
        self.title = title
        self.number, self.of = number, of
        self._clock = clock
        self._begun = clock()
        self.phase: Callable[[], str] = _none
        """Returns what it is at; "" before it is at anything."""
        self.memory_bytes: Callable[[], int] = int
        """Returns its working set as it was last measured; 0 if that is not known."""

    def begin(self) -> None:
        """Let its time begin now."""
        self._begun = self._clock()

    def at(self, phase: str) -> None:
        """Be at what is no phase of the build, such as publishing."""
        self.phase, self.memory_bytes = (lambda: phase), int

    def forms(self) -> list[str]:
        """Return `[3/5] hdf5@1.14.3 (build, 2:31, 3.1 GiB)`, and the forms for narrow terminals."""
        phase, time_text, memory = self.phase(), elapsed(self._clock() - self._begun), self.memory_bytes()
        place = f"[{self.number}/{self.of}] "
        memory_text = size(memory) if memory else ""
        whole = shortened(f"{place}{self.title}", [phase, time_text, memory_text])[:2]
        # where there is little room, place and time are what a glance is for
        without_version = f"{place}{self.title.partition('@')[0]} ({time_text})"
        return [*whole, f"{place}{self.title} ({time_text})", without_version, f"{place}{self.title}"]

    def line(self, *, peak_bytes: int | None) -> str:
        """Return the line a minute: its place only where there are several, and its peak memory so far."""
        place = f"[{self.number}/{self.of}] " if self.of > 1 else ""
        facts = [self.phase(), elapsed(self._clock() - self._begun), size(peak_bytes) if peak_bytes else ""]
        return f"{place}{self.title} ({', '.join(filter(None, facts))})"
