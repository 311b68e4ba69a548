"""Notices while a server does not answer: its address and how often it was asked, ten seconds apart at most.

Knows neither S3 nor who shows the lines.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from buildjob.errors import Unavailable

NO_ANSWER = "no answer yet from "
"""How each notice begins."""
Notice = Callable[[str], None]
"""Takes a line for people."""
_FIRST_SECONDS = 5.0
"""Silence is mentioned after this time; failures that pass sooner are not."""
_BETWEEN_SECONDS = 8.0


def say_nothing(_line: str) -> None:
    """Show no line: for programs whose caller looks at the result only."""


class Notices:
    """The notices about one server; threads that wait for it at the same time share them, so that each is shown once."""

    def __init__(self, notice: Notice, server: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._notice, self._server, self._clock = notice, server, clock
        self._lock = threading.Lock()
        self._next = 0.0
        """No line before this time: since the last one, or since the first failure after an answer."""

    @contextlib.contextmanager
    def request(self, attempt: int) -> Iterator[None]:
        """Give the block that waits for one answer, which should come within a second or so."""
        if self._notice is say_nothing:
            yield
            return
        answered = threading.Event()

        def watch() -> None:
            wait_seconds = _FIRST_SECONDS
            while not answered.wait(wait_seconds):
                self._say(f"{NO_ANSWER}{self._server}, attempt {attempt}")
                wait_seconds = _BETWEEN_SECONDS

        # A thread for each request, a tenth of a millisecond. One that stayed would keep this process from forking.
        watcher = threading.Thread(target=watch, daemon=True, name="notices")
        watcher.start()
        try:
            yield
        finally:
            answered.set()
            watcher.join()

    def failed(self, attempt: int, error: Unavailable, until_next_seconds: float) -> None:
        """Mention a failed attempt if the next one comes too long after the first."""
        if until_next_seconds >= _FIRST_SECONDS:
            reason = f": {error.reason}" if error.reason else ""
            self._say(f"{NO_ANSWER}{self._server}, attempt {attempt}{reason}")

    def _say(self, line: str) -> None:
        with self._lock:
            now = self._clock()
            if now < self._next:
                return
            self._next = now + _FIRST_SECONDS
        self._notice(line)
