"""The lock by tickets: order, dead owners, and fencing tokens, by a clock that only advances by sleeping."""

from collections.abc import Callable

import pytest

from buildjob.buildcache import layout
from buildjob.buildcache.indexing import lock
from buildjob.buildcache.storage.store import StoredObject
from buildjob.errors import NotFound, Unavailable
from tests.labs.memory_store import MemoryStore

TICKETS, CHOOSING = layout.LOCK + "ticket/", layout.LOCK + "choosing/"


class Clock:
    def __init__(self, on_sleep: Callable[[], None] = lambda: None) -> None:
        self.now = 0.0
        self._on_sleep = on_sleep

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._on_sleep()

    def times(self) -> lock.Times:
        return lock.Times(clock=lambda: self.now, sleep=self.sleep)


def test_a_free_lock_is_given_at_once_and_leaves_nothing() -> None:
    store, clock = MemoryStore("ignored"), Clock()
    with lock.held(store, clock.times()) as held:
        assert held.token.startswith("000000000001-")
        assert store.keys(layout.LOCK) == {TICKETS + held.token}
        held.require()
    assert clock.now == 0
    assert store.keys() == set()


def test_it_waits_for_those_who_draw_and_for_lower_tickets() -> None:
    store = MemoryStore("ignored")
    left = [CHOOSING + "other", TICKETS + "000000000003-other"]
    for key in left:
        store.write(key, b"")
    with lock.held(store, Clock(lambda: store.delete(left.pop(0))).times()) as held:
        assert held.token.startswith("000000000004-")
        assert left == []


def test_one_that_draws_later_is_not_waited_for() -> None:
    store = MemoryStore("ignored")
    store.write(CHOOSING + "first", b"")

    def replaced() -> None:
        store.delete(CHOOSING + "first")
        store.write(CHOOSING + "second", b"")

    clock = Clock(replaced)
    with lock.held(store, clock.times()):
        assert clock.now == pytest.approx(0.05)
    assert store.keys(layout.LOCK) == {CHOOSING + "second"}


def test_a_lower_ticket_that_appears_late_is_waited_for() -> None:
    store = MemoryStore("ignored")
    store.write(CHOOSING + "slow", b"")
    steps = iter(["drawn", "done"])

    def step() -> None:
        if next(steps) == "drawn":
            store.delete(CHOOSING + "slow")
            store.write(TICKETS + "000000000000-slow", b"")
        else:
            store.delete(TICKETS + "000000000000-slow")

    with lock.held(store, Clock(step).times()):
        assert next(steps, None) is None


def test_the_ticket_of_a_dead_owner_is_deleted() -> None:
    store, clock = MemoryStore("ignored"), Clock()
    store.write(TICKETS + "000000000007-killed", b"")
    store.write(CHOOSING + "killed-too", b"")
    with lock.held(store, clock.times()) as held:
        assert 600 < clock.now < 700, "first the one that draws, then the one that has drawn"
        assert held.token.startswith("000000000008-")
        assert store.keys(layout.LOCK) == {TICKETS + held.token}


def test_one_that_stalls_while_it_draws_draws_again() -> None:
    clock = Clock()

    class Slow(MemoryStore):
        stalls = 1

        def write(self, key: str, data: bytes, *, only_if: str | None = None) -> str:
            if key.startswith(TICKETS) and self.stalls:
                self.stalls -= 1
                clock.now += 201
            return super().write(key, data, only_if=only_if)

    store = Slow("ignored")
    with lock.held(store, clock.times()) as held:
        assert held.token.startswith("000000000001-")
        assert store.keys(layout.LOCK) == {TICKETS + held.token}


def test_an_owner_gives_up_before_others_treat_it_as_dead() -> None:
    store, clock = MemoryStore("ignored"), Clock()
    with lock.held(store, clock.times()) as held:
        clock.now += 200
        held.require()
        clock.now += 1
        with pytest.raises(Unavailable, match="within 200 s of getting the lock"):
            held.require()
        with pytest.raises(Unavailable):
            held.claim_newest("0" * 64)
    assert not store.keys(layout.FENCING_TOKENS)


def test_an_owner_whose_ticket_was_deleted_gives_up() -> None:
    store = MemoryStore("ignored")
    with lock.held(store, Clock().times()) as held:
        store.delete(TICKETS + held.token)
        with pytest.raises(Unavailable, match="publish index adds it"):
            held.require()


def test_tokens_grow_and_the_newest_names_its_index() -> None:
    store = MemoryStore("ignored")
    assert lock.newest(store) == ("", "")
    tokens = []
    for turn in range(3):
        with lock.held(store, Clock().times()) as held:
            held.claim_newest(str(turn) * 64)
            held.delete_older_tokens()
            tokens.append(held.token)
        assert lock.newest(store) == (held.token, str(turn) * 64)
    assert [token.partition("-")[0] for token in tokens] == ["000000000001", "000000000002", "000000000003"]
    assert store.keys() == {layout.FENCING_TOKENS + tokens[-1]}


def test_a_token_that_is_deleted_while_it_is_read_has_a_successor() -> None:
    class Racing(MemoryStore):
        def read(self, key: str, *, limit_bytes: int = 1 << 20) -> StoredObject:
            if key.endswith("1-old"):
                self.write(layout.FENCING_TOKENS + "000000000002-new", b"b" * 64)
                self.delete(key)
                raise NotFound(key)
            return super().read(key, limit_bytes=limit_bytes)

    store = Racing("ignored")
    store.write(layout.FENCING_TOKENS + "000000000001-old", b"a" * 64)
    assert lock.newest(store) == ("000000000002-new", "b" * 64)
