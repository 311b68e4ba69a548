"""A lasting outage in the log: a line when it begins, then at growing intervals with a count, and one when it is over.

What is tried every second and fails for hours must not fill the log. Something is over once it has not happened for a
while: calls that fail and succeed in turn are one outage, not many.
"""

import logging
import time
from collections.abc import Callable

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 60.0, 3600.0
"""Between two lines about the same outage: the first pause, doubled each time up to the longest one."""
SETTLED_SECONDS = 15.0
_LOG = logging.getLogger("spack_farm.autoscaler")


class Repetition:
    """Something that happens again and again, and when that is worth a line."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """It has not happened yet."""
        self.count = 0
        self._clock = clock
        self._began = self._last = self._due = clock()
        self._pause = FIRST_PAUSE_SECONDS
        self._kinds: set[str] = set()

    @property
    def seconds(self) -> int:
        """For how long it has happened."""
        return round(self._last - self._began)

    def again(self, kind: str = "") -> bool:
        """Count it; return whether a line is due. A kind that is new to it always is."""
        self._last = self._clock()
        self.count += 1
        is_due = self._last >= self._due
        is_news = kind not in self._kinds
        self._kinds.add(kind)
        if is_due:
            self._due = self._last + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        return is_due or is_news

    def is_over(self, *, after_seconds: float | None = None) -> bool:
        """Return whether it has not happened for a while: `SETTLED_SECONDS`, if nothing else is given."""
        return self._clock() - self._last >= (SETTLED_SECONDS if after_seconds is None else after_seconds)


class Outage:
    """One thing that may fail for a while. `worked` is to be called with each success."""

    def __init__(
        self, failing: str, working: str, *, level: int = logging.WARNING, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`failing` and `working` are the messages of its begin and its end, `level` is that of the former."""
        self._failing, self._working, self._level, self._clock = failing, working, level, clock
        self._failures: Repetition | None = None

    def failed(self, cause: object, *, is_bug: bool = False, **about: object) -> None:
        """Count a failure, and log it if that is due: with `is_bug` with its traceback. `about` is put into the line."""
        if self._failures is None:
            self._failures = Repetition(clock=self._clock)
        # An error of another class is another cause: the server that did not answer denies access now.
        if not self._failures.again(type(cause).__name__):
            return
        is_first = self._failures.count == 1
        _LOG.log(
            logging.ERROR if is_bug else self._level,
            self._failing if is_first else f"{self._failing}, still",
            exc_info=is_bug,
            extra=about | {"cause": str(cause), "failures": self._failures.count, "seconds": self._failures.seconds},
        )

    def worked(self, **about: object) -> None:
        """Note a success; log the end of an outage."""
        if self._failures is None or not self._failures.is_over():
            return
        ended, self._failures = self._failures, None
        _LOG.info(self._working, extra=about | {"failures": ended.count, "seconds": ended.seconds})
