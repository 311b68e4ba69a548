"""How far a long conversion is, for the status line of a terminal, or a line a minute elsewhere.

Knows nothing of logs and of where a line goes.
"""

import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

from status_line.heartbeat import Heartbeat
from status_line.screen import Screen

_MEGABYTE = 1_000_000


class Progress:
    """One conversion; a context manager. `step` begins a part of it; `add` counts bytes and events of that part."""

    def __init__(self, name: str, *, screen: Screen | None = None, say: Callable[[str], object] | None = None) -> None:
        """`say` gets a line a minute where the screen shows nothing."""
        self._name = name
        self._screen = screen or Screen()
        self._say = say
        self._stack = contextlib.ExitStack()
        self._doing = ""
        self._bytes = self._total = self._events = 0

    def __enter__(self) -> Self:
        self._stack.enter_context(self._screen.showing(self.forms))
        if self._say and not self._screen.is_live:
            self._stack.enter_context(Heartbeat(self._beat))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def step(self, doing: str, *, total_bytes: int = 0) -> None:
        """Begin another part, such as `reading`; 0: its size is not known."""
        self._doing, self._total, self._bytes, self._events = doing, total_bytes, 0, 0

    def add(self, count: int) -> None:
        """Count bytes that were read."""
        self._bytes += count

    def event(self) -> None:
        """Count an error or a warning."""
        self._events += 1

    def forms(self) -> list[str]:
        """Return how far it is, the richest form first."""
        parts = [f"{self._name}: {self._doing}"]
        if self._bytes:
            of = f" of {self._total / _MEGABYTE:,.0f}" if self._total else ""
            parts.append(f"{self._bytes / _MEGABYTE:,.0f}{of} MB")
        amount = parts[-1]
        if self._events:
            parts.append(f"{self._events:,} errors and warnings")
        return [", ".join(parts), ", ".join(parts[:2]), amount]

    def _beat(self, _seconds: float) -> None:
        if self._say:
            self._say(self.forms()[0])
