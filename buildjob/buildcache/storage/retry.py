"""Calls again what may work the next time: the one backoff of publishing.

Pure but for the sleep, which is a parameter, as the randomness is. Source: AWS Architecture Blog, "Exponential Backoff And
Jitter" (full jitter).
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from buildjob.errors import Unavailable

_Result = TypeVar("_Result")


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often a request is sent, and after which waits."""

    tries: int = 9
    """In all. If the storage throttles all of them, they wait 25 s on average, 51 s at most."""
    first_seconds: float = 0.2
    """The longest first wait; each further one may be twice as long."""
    longest_seconds: float = 20.0
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random

    def wait_seconds(self, failures: int) -> float:
        """Return how long to wait after this many failures."""
        return self.random() * min(self.longest_seconds, self.first_seconds * 2.0 ** (failures - 1))


def with_retries(call: Callable[[], _Result], policy: RetryPolicy) -> _Result:
    """Return what the call returns; call again while it raises Unavailable. The last error is raised.

    Only for calls that may be carried out twice.
    """
    for failures in range(1, policy.tries):
        try:
            return call()
        except Unavailable:
            policy.sleep(policy.wait_seconds(failures))
    return call()
