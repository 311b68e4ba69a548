"""Calls again what may work the next time: the one backoff of publishing.

Pure but for the clock and the sleep, which are parameters, as the randomness is. Source: AWS Architecture Blog, "Exponential
Backoff And Jitter" (full jitter).
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from buildjob.errors import Unavailable

_Result = TypeVar("_Result")
Failed = Callable[[int, Unavailable, float], None]
"""Receives before each wait: attempts that failed, the last error, the seconds from the first attempt to the next."""


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often a request is sent, and after which waits."""

    tries: int = 9
    """In all. If the storage throttles all of them, they wait 25 s on average, 51 s at most."""
    first_seconds: float = 0.2
    """The longest first wait; each further one may be twice as long."""
    longest_seconds: float = 20.0
    most_seconds: float = 180.0
    """After this time no further attempt begins: each may take a minute if the server is silent."""
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic
    retried: Callable[[], object] = lambda: None
    """Called before each further attempt, maybe in a forked process."""

    def wait_seconds(self, failures: int) -> float:
        """Return how long to wait after this many failures."""
        return self.random() * min(self.longest_seconds, self.first_seconds * 2.0 ** (failures - 1))


def with_retries(
    call: Callable[[int], _Result], policy: RetryPolicy, *, failed: Failed = lambda _attempts, _error, _seconds: None
) -> _Result:
    """Return what the call returns; call again while it raises Unavailable. The last error is raised.

    The call receives the number of the attempt, from 1. Only for calls that may be carried out twice.
    """
    begun = policy.clock()
    for attempt in range(1, policy.tries):
        try:
            return call(attempt)
        except Unavailable as error:
            wait_seconds = policy.wait_seconds(attempt)
            until_next = policy.clock() - begun + wait_seconds
            if until_next > policy.most_seconds:
                raise
            failed(attempt, error, until_next)
            policy.retried()
            policy.sleep(wait_seconds)
    return call(policy.tries)
