"""Writes events of a build to standard output, where it was asked for; else loads nothing.

The events themselves: `events`.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from buildjob.outcome import Outcome
from status_line.screen import Screen

if TYPE_CHECKING:
    from buildjob.events import Event


class Events:
    """Where events go; nowhere without `write`. Threads may share it."""

    def __init__(self, write: Callable[[bytes], object] | None = None) -> None:
        self._write = write
        self._lock = threading.Lock()
        self.outcome: Outcome | None = None
        """Of the whole call, as soon as it is known."""
        self.fault = ""
        """Why events could not be written any more; empty if they could, and where their reader has ended."""

    @property
    def is_live(self) -> bool:
        """Whether they are written."""
        return self._write is not None

    def emit(self, event: "Event") -> None:
        """Write an event. A reader that is gone ends the events, never the work."""
        if self._write is None:
            return
        import msgspec  # noqa: PLC0415  --help need not load it

        with self._lock:
            line = msgspec.json.encode(event) + b"\n"
            try:
                self._write(line)
            except OSError as error:
                self._write = None
                if not isinstance(error, BrokenPipeError):
                    self.fault = error.strerror or str(error)

    def begin(self, version: str) -> None:
        """Say that the call has begun, by spack-farm of this version."""
        if self.is_live:
            from buildjob import events  # noqa: PLC0415  as above

            self.emit(events.RunBegun(spack_farm=version))

    def finish(self, code: int) -> None:
        """Say that the call ends with this exit code."""
        if self.is_live:
            from buildjob import events  # noqa: PLC0415  as above

            self.emit(events.RunFinished(exit_code=code, outcome=self.outcome))

    def warn(self, text: str) -> None:
        """Say what a person should look at."""
        if self.is_live:
            from buildjob import events  # noqa: PLC0415  as above

            self.emit(events.Warned(text=text))

    def fail(self, text: str) -> None:
        """Say what went wrong."""
        if self.is_live:
            from buildjob import events  # noqa: PLC0415  as above

            self.emit(events.Failed(text=text))


@contextlib.contextmanager
def events_on_stdout(screen: Screen) -> Iterator[Events]:
    """Give events on standard output; meanwhile all else that is written there goes to standard error."""
    sys.stdout.flush()
    own = os.dup(sys.stdout.fileno())

    def write(line: bytes) -> None:
        with screen.cleared():
            left = memoryview(line)
            while left:
                left = left[os.write(own, left) :]

    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        yield Events(write)
    finally:
        sys.stdout.flush()
        os.dup2(own, sys.stdout.fileno())
        os.close(own)
