"""Calls something once a minute while work lasts. Knows neither what lasts nor where a line goes."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

EVERY_SECONDS = 60.0


class Heartbeat:
    """A context manager that calls `say` once a minute, with the seconds since it was entered, from a thread of its own."""

    def __init__(self, say: Callable[[float], None], *, every_seconds: float = EVERY_SECONDS) -> None:
        self._say = say
        self._every = every_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        begun = time.monotonic()
        while not self._over.wait(self._every):
            self._say(time.monotonic() - begun)
