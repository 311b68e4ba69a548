"""One update of the index at a time, where the storage has no conditional writes: tickets, and fencing tokens.

Lamport's bakery on objects: of the storage it only needs that a listing shows what was written before it (S3 does since
2020). An update that waits behind a ticket for long enough deletes it: its owner was killed. An owner that only stalled may
still overwrite the index; the fencing token, written before each replacement, shows the next update which index is the
newest. Source: Lamport, "A New Solution of Dijkstra's Concurrent Programming Problem" (1974); fencing: Kleppmann, "How to do
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
"""After waiting this long behind a ticket, an update treats its owner as dead."""
_HOLD_SECONDS = 200.0
"""An owner that has not replaced the manifest by then gives up, before any other update treats it as dead."""


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """The clock, and how long the lock waits."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    dead_seconds: float = _DEAD_SECONDS
    hold_seconds: float = _HOLD_SECONDS


class Held:
    """The lock while this process has it."""

    def __init__(self, store: Store, ticket: str, times: Times) -> None:
        self._store = store
        self._ticket = ticket
        self._times = times
        self._begun = times.clock()
        self.token = ticket.removeprefix(_TICKETS)
        """The fencing token: greater, as text, than that of every earlier owner."""

    def require(self) -> None:
        """Raise Unavailable if another update may have taken this process for dead."""
        if self._times.clock() - self._begun > self._times.hold_seconds or self._store.stat(self._ticket) is None:
            raise Unavailable(
                f"{self._store.url}: the index was not updated within {self._times.hold_seconds:.0f} s of getting the lock, "
                "and another update may run; what was pushed is announced, and publish index adds it"
            )

    def claim_newest(self, sha256: str) -> None:
        """Record that this index is the newest. Call it once its blob is there, before the manifest names it."""
        self.require()
        self._store.write(layout.FENCING_TOKENS + self.token, sha256.encode())

    def delete_older_tokens(self) -> None:
        """Delete the fencing tokens of earlier owners."""
        for info in list(self._store.list(layout.FENCING_TOKENS)):
            if info.key < layout.FENCING_TOKENS + self.token:
                self._store.delete(info.key)


def newest(store: Store) -> tuple[str, str]:
    """Return the highest fencing token and the SHA-256 of its index; both empty if there is none."""
    keys = [info.key for info in store.list(layout.FENCING_TOKENS)]
    if not keys:
        return "", ""
    try:
        return max(keys).removeprefix(layout.FENCING_TOKENS), store.read(max(keys)).data.decode()
    except NotFound:  # the owner of a higher one has just deleted it
        return newest(store)


@contextlib.contextmanager
def held(store: Store, times: Times) -> Iterator[Held]:
    """Wait for the lock and give it. Raises StoreError if the storage fails; a lock left behind is free after a while."""
    ticket = _ticket(store, times)
    try:
        # A writer that draws at the same time may get a lower number: the order is known only once all have drawn.
        _wait_until_gone(store, times, lambda: [info.key for info in store.list(_CHOOSING)], growing=False)
        _wait_until_gone(
            store, times, lambda: [info.key for info in store.list(_TICKETS) if info.key < ticket], growing=True
        )
        yield Held(store, ticket, times)
    finally:
        store.delete(ticket)


def _ticket(store: Store, times: Times) -> str:
    """Draw a ticket with a number above all earlier ones."""
    own = secrets.token_hex(8)
    while True:
        begun = times.clock()
        store.write(_CHOOSING + own, b"")
        try:
            drawn = [info.key.removeprefix(_TICKETS) for info in store.list(_TICKETS)]
            # also above the newest fencing token, whose ticket may be gone: tokens must grow
            ticket = f"{_TICKETS}{1 + max(map(_number, [*drawn, newest(store)[0]])):012d}-{own}"
            store.write(ticket, b"")
        finally:
            store.delete(_CHOOSING + own)
        if times.clock() - begun < times.hold_seconds:
            return ticket
        store.delete(ticket)  # this process stalled: others may have stopped waiting for its number


def _number(drawn: str) -> int:
    return int(drawn.partition("-")[0] or "0")


def _wait_until_gone(store: Store, times: Times, listed: Callable[[], list[str]], *, growing: bool) -> None:
    """Wait until the objects are deleted; delete one whose owner must be dead. `growing`: wait for later ones, too."""
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
