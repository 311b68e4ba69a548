"""Faults of the fake API server, on demand. Does not know what the calls mean."""

import dataclasses
import random
import re
import threading
from collections.abc import Callable, Iterator

_HANDSHAKE = 300


@dataclasses.dataclass
class Fault:
    """A fault of one kind of call."""

    pattern: str
    """Regular expression over `METHOD /path`."""
    code: int = 0
    """Status to answer instead of doing the call; 0 breaks the connection."""
    reason: str = ""
    message: str = ""
    times: int = 1
    after: bool = False
    """Whether the call is done before its answer is lost."""
    action: Callable[[], object] = lambda: None
    """Called while the driver waits for the answer."""
    seen: int = 0
    """How often it has happened so far."""


class Faults:
    """The faults that are to happen. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self.stream_bytes: Callable[[], int | None] = lambda: None
        """Called for each exec stream: after how many bytes, both directions together, it is reset; None is never."""
        self.exec_bytes: Callable[[], Iterator[bytes]] | None = None
        """What every exec stream sends instead of a command's output; None: commands run."""
        self.is_down = False
        """Whether every connection is closed at once."""

    def add(self, pattern: str, **what: int | str | bool | Callable[[], object]) -> Fault:
        """Make the next calls that match a pattern fail; see Fault."""
        fault = Fault(pattern, **what)  # type: ignore[arg-type]
        with self._lock:
            self._faults.append(fault)
        return fault

    def take(self, call: str) -> Fault | None:
        """Return the fault of a call, if any, and count it."""
        with self._lock:
            for fault in self._faults:
                if fault.seen < fault.times and re.search(fault.pattern, call):
                    fault.seen += 1
                    return fault
        return None

    def cut_streams_at_random(self, seed: int, *, largest: int, times: int) -> list[int]:
        """Reset the next exec streams after random numbers of bytes; return the list of them, which grows.

        One in five is cut within the handshake or soon after, the others in what a script prints.
        """
        dice, cuts = random.Random(seed), list[int]()

        def draw() -> int | None:
            with self._lock:
                if len(cuts) >= times:
                    return None
                least, most = (1, _HANDSHAKE) if dice.random() < 0.2 else (_HANDSHAKE, largest)
                cuts.append(int(least * (most / least) ** dice.random()))  # as many short ones as long ones
                return cuts[-1]

        self.stream_bytes = draw
        return cuts
