"""Shows on standard error how far a long conversion is: one line that changes on a terminal, else a line every ten seconds.

Knows nothing of logs. What is quick shows nothing.
"""

import sys
import time
from collections.abc import Callable
from typing import TextIO

_LINE_SECONDS = 10.0
_TERMINAL_SECONDS = 0.5
_MEGABYTE = 1_000_000


class Progress:
    """One conversion. `step` begins a part of it; `add` counts bytes and events of that part."""

    def __init__(self, name: str, *, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._out = out or sys.stderr
        self._clock = clock
        self._is_terminal = self._out.isatty()
        self._shown_at = clock()
        self._is_shown = False
        self._doing = ""
        self._bytes = self._total = self._events = 0

    def step(self, doing: str, *, total_bytes: int = 0) -> None:
        """Begin another part, such as `reading`; 0: its size is not known."""
        self._doing, self._total, self._bytes, self._events = doing, total_bytes, 0, 0
        self._show()

    def add(self, count: int) -> None:
        """Count bytes that were read."""
        self._bytes += count
        self._show()

    def event(self) -> None:
        """Count an error or a warning."""
        self._events += 1

    def end(self) -> None:
        """Clear the terminal's line."""
        if self._is_shown and self._is_terminal:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def _show(self) -> None:
        now = self._clock()
        if now - self._shown_at < (_TERMINAL_SECONDS if self._is_terminal else _LINE_SECONDS):
            return
        self._shown_at = now
        self._is_shown = True
        text = self._text()
        self._out.write(f"\r{text}\x1b[K" if self._is_terminal else f"{text}\n")
        self._out.flush()

    def _text(self) -> str:
        parts = [f"{self._name}: {self._doing}"]
        if self._bytes:
            of = f" of {self._total / _MEGABYTE:,.0f}" if self._total else ""
            parts.append(f"{self._bytes / _MEGABYTE:,.0f}{of} MB")
        if self._events:
            parts.append(f"{self._events:,} errors and warnings")
        return ", ".join(parts)
