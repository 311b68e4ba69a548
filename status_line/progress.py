"""How far one long call is: so many of so many, bytes and retries; on the screen's line, or in a line a minute.

The totals are for the call's own last line. Knows neither what is counted nor where the minute's line goes.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from status_line.counter import Counter
from status_line.heartbeat import EVERY_SECONDS, Heartbeat
from status_line.screen import Screen
from status_line.text import counted, elapsed, shortened, size

_COUNT_AFTER_SECONDS = 2.0
"""What is over sooner need not know how much there is."""


class Progress:
    """A context manager of one thread; `retried` may be called by any thread, and by forked processes.

    No thread starts before `begin` or the first `add`: a process can be forked until then.
    """

    def __init__(  # noqa: PLR0913  what is counted, where it is shown, how much there is
        self,
        doing: str,
        *,
        unit: tuple[str, str],
        screen: Screen,
        say: Callable[[str], object] | None,
        total: int | None = None,
        count: Callable[[], int] | None = None,
        every_seconds: float = EVERY_SECONDS,
        count_after_seconds: float = _COUNT_AFTER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`say` gets a line a minute where the screen shows nothing; None: nothing is shown there, nor `count` called.

        `count` returns the total; it is called in a thread of its own, and only if the call lasts.
        """
        self._doing, self._unit = doing, unit
        self._screen, self._say = screen, say
        self._every, self._count_after, self._clock = every_seconds, count_after_seconds, clock
        self._retries = Counter()
        self.count = count
        """Returns the total; None if that is known, or not to be known."""
        self._stack = contextlib.ExitStack()
        self._is_entered = self._has_begun = False
        self._begun = clock()
        self.total = total
        """How many there are; None while that is not known."""
        self.done = 0
        self.bytes = 0

    def __enter__(self) -> Self:
        self._begun, self._is_entered = self._clock(), True
        self._retries.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_entered = False
        self._stack.close()
        self._retries.close()

    def add(self, done: int = 1, *, size_bytes: int = 0) -> None:
        """Count what is done."""
        self.done += done
        self.bytes += size_bytes
        self.begin()

    def retried(self) -> None:
        """Count something that is tried again."""
        self._retries.add()

    @property
    def retries(self) -> int:
        """How often something was tried again."""
        return self._retries.value

    def facts(self) -> list[str]:
        """Return what was counted beside the number of things, for people: `3.1 GiB`, `2 retries`."""
        retries = self.retries
        return [size(self.bytes)] * bool(self.bytes) + [counted(retries, "retry", "retries")] * bool(retries)

    def text(self) -> str:
        """Return how far it is, whole."""
        return self.forms()[0]

    def forms(self) -> list[str]:
        """Return how far it is, the richest form first."""
        number = f"{self.done:,}"
        if self.total is not None:
            # more may have come since they were counted
            number += f" of {max(self.total, self.done):,}"
        things = self._unit[0] if (self.total, self.done) in {(None, 1), (1, 0), (1, 1)} else self._unit[1]
        title = f"{self._doing}: {number} {things}"
        return [*shortened(title, [elapsed(self._clock() - self._begun), *self.facts()]), f"{number} {things}", number]

    def begin(self) -> None:
        """Show from now on how far it is."""
        if self._has_begun or not self._is_entered:
            return
        self._has_begun = True
        if self._screen.is_live:
            self._stack.enter_context(self._screen.showing(self.forms))
        elif self._say:
            self._stack.enter_context(Heartbeat(self._beat, every_seconds=self._every))
        else:
            return
        if self.count and self.total is None:
            over = threading.Event()
            self._stack.callback(over.set)
            threading.Thread(target=self._find_total, args=(over, self.count), daemon=True, name="total").start()

    def _beat(self, _seconds: float) -> None:
        if self._say:
            self._say(self.text())

    def _find_total(self, over: threading.Event, count: Callable[[], int]) -> None:
        if not over.wait(self._count_after):
            with contextlib.suppress(Exception):  # the work itself reports what can't be listed
                self.total = count()


def silent() -> Progress:
    """Return what counts, and shows nothing: for callers who look at the result only."""
    return Progress("", unit=("", ""), screen=Screen(), say=None)
