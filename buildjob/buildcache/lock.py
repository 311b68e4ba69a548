"""One updater of the index at a time, where the storage keeps no conditions: tickets, and a fence against who overslept.

Lamport's bakery on objects: it needs no more of the storage than that a listing shows what was written before it (S3 does
since 2020). A ticket whose owner was killed is removed by whoever waits behind it. An owner that stalls longer than that
may still overwrite the index; the fence, written before each swing, tells the next update which index was the newest.
Source: Lamport, "A New Solution of Dijkstra's Concurrent Programming Problem" (1974); fencing: Kleppmann, "How to do
distributed locking" (2016).
"""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator

import msgspec

from buildjob.buildcache import layout
from buildjob.buildcache.storage.store import Store
from buildjob.errors import NotFound, Unavailable

_CHOOSING = layout.LOCK + "choosing/"
_TICKETS = layout.LOCK + "ticket/"
_DEAD_SECONDS = 300.0
"""Who has waited so long behind a ticket that does not go takes its owner for dead."""
_HOLD_SECONDS = 200.0
"""An owner gives up that has not swung by then: nobody takes it for dead before."""


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """How time passes."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    dead_seconds: float = _DEAD_SECONDS
    hold_seconds: float = _HOLD_SECONDS


class Held:
    """The lock, while it is ours."""

    def __init__(self, store: Store, ticket: str, times: Times) -> None:
        self._store = store
        self._ticket = ticket
        self._times = times
        self._begun = times.clock()
        self.fence = ticket.removeprefix(_TICKETS)
        """Greater, as text, than that of every owner before."""

    def require(self) -> None:
        """Raise Unavailable if somebody may have taken us for dead."""
        if self._times.clock() - self._begun > self._times.hold_seconds or self._store.stat(self._ticket) is None:
            raise Unavailable(
                f"{self._store.url}: the index was not updated within {self._times.hold_seconds:.0f} s of getting the lock, "
                "and another update may run; what was pushed is announced, and publish index takes it in"
            )

    def raise_fence(self, sha256: str) -> None:
        """Tell that this index is the newest from now on. Call it when its blob is there, before the manifest names it."""
        self.require()
        self._store.write(layout.FENCES + self.fence, sha256.encode())

    def lower_fences(self) -> None:
        """Delete the fences before ours."""
        for seen in list(self._store.list(layout.FENCES)):
            if seen.key < layout.FENCES + self.fence:
                self._store.delete(seen.key)


def newest(store: Store) -> tuple[str, str]:
    """Return the highest fence and the SHA-256 of the index behind it; both empty if there is none."""
    keys = [seen.key for seen in store.list(layout.FENCES)]
    if not keys:
        return "", ""
    try:
        return max(keys).removeprefix(layout.FENCES), store.read(max(keys)).data.decode()
    except NotFound:  # a higher one has come
        return newest(store)


@contextlib.contextmanager
def held(store: Store, times: Times) -> Iterator[Held]:
    """Wait for the lock and give it. Raises StoreError if the storage fails; then the lock is nobody's after a while."""
    ticket = _ticket(store, times)
    try:
        _wait_until_gone(store, times, lambda: [seen.key for seen in store.list(_CHOOSING)], growing=False)
        _wait_until_gone(
            store, times, lambda: [seen.key for seen in store.list(_TICKETS) if seen.key < ticket], growing=True
        )
        yield Held(store, ticket, times)
    finally:
        store.delete(ticket)


def _ticket(store: Store, times: Times) -> str:
    """Draw a ticket with a number above all that were drawn before."""
    own = secrets.token_hex(8)
    while True:
        begun = times.clock()
        store.write(_CHOOSING + own, b"")
        try:
            drawn = [seen.key.removeprefix(_TICKETS) for seen in store.list(_TICKETS)]
            ticket = f"{_TICKETS}{1 + max(map(_number, [*drawn, newest(store)[0]])):012d}-{own}"
            store.write(ticket, b"")
        finally:
            store.delete(_CHOOSING + own)
        if times.clock() - begun < times.hold_seconds:
            return ticket
        store.delete(ticket)  # we stalled: others may have stopped waiting for our number


def _number(drawn: str) -> int:
    return int(drawn.partition("-")[0] or "0")


def _wait_until_gone(store: Store, times: Times, listed: Callable[[], list[str]], *, growing: bool) -> None:
    """Wait until the objects are gone; delete one whose owner must be dead. `growing`: those that come later count too."""
    since: dict[str, float] = {}
    waiting = set(listed())
    wait_seconds = 0.05
    while waiting:
        for key in waiting:
            if times.clock() - since.setdefault(key, times.clock()) > times.dead_seconds:
                store.delete(key)
        times.sleep(wait_seconds)
        wait_seconds = min(2 * wait_seconds, 2.0)
        there = set(listed())
        waiting = there if growing else waiting & there
