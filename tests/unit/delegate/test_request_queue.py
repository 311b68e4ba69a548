"""The queue's decisions, as tables of what happens and what becomes of it, and invariants over any history."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from delegate.request_queue import (
    COMPUTATIONS,
    Ending,
    Failure,
    HandOut,
    Kind,
    Limits,
    Refusal,
    RequestQueue,
    Standing,
)

RUN = frozenset({Kind.RUN})
LIMITS = Limits(waiting_for_each_worker=2, lease_seconds=10, contact_seconds=2, worker_seconds=15, quarantine_seconds=100)


def queue_with(worker: str = "w", kinds: frozenset[Kind] = RUN, limits: Limits = LIMITS) -> RequestQueue:
    queue = RequestQueue(limits)
    queue.poll(worker, kinds, now=0)
    return queue


def ask(
    queue: RequestQueue, name: str, *, kind: Kind = Kind.RUN, now: float = 0, deadline_at: float = 100
) -> Refusal | None:
    return queue.admit(name, kind, deadline_at=deadline_at, now=now) or queue.enqueue(name, f"digest of {name}", now=now)


def take(queue: RequestQueue, *, kinds: frozenset[Kind] = RUN, now: float = 0) -> HandOut:
    taken = queue.take("w", kinds, now=now)
    assert taken
    return taken


def test_requests_are_handed_out_in_the_order_in_which_they_came() -> None:
    queue = queue_with()
    assert [ask(queue, name) for name in ("a", "b")] == [None, None]
    assert [take(queue).request_id for _ in range(2)] == ["a", "b"]
    assert queue.take("w", RUN, now=0) is None


def test_fingerprints_come_first_and_kinds_that_a_worker_does_not_take_wait() -> None:
    every = frozenset(Kind)
    queue = queue_with(kinds=every)
    for name, kind in (("run", Kind.RUN), ("result", Kind.RESULT), ("print", Kind.FINGERPRINT)):
        assert ask(queue, name, kind=kind) is None
    assert take(queue, kinds=frozenset({Kind.RESULT})).request_id == "result"
    assert [take(queue, kinds=every).request_id for _ in range(2)] == ["print", "run"]


def test_a_place_is_taken_before_the_body_is_read_and_given_back_when_the_client_leaves() -> None:
    queue = queue_with()
    assert [queue.admit(name, Kind.RUN, deadline_at=9, now=0) for name in "abc"] == [None, None, Refusal.FULL]
    assert queue.leave("a") is False
    assert queue.admit("c", Kind.RUN, deadline_at=9, now=0) is None
    assert queue.leave("unknown") is False


def test_runs_and_results_share_their_places_and_fingerprints_have_their_own() -> None:
    queue = queue_with(kinds=frozenset(Kind))
    assert [ask(queue, "a", kind=Kind.RUN), ask(queue, "b", kind=Kind.RESULT)] == [None, None]
    assert ask(queue, "c", kind=Kind.RESULT) is Refusal.FULL
    assert ask(queue, "d", kind=Kind.FINGERPRINT) is None


def test_the_bound_grows_with_the_workers_that_compute() -> None:
    queue = queue_with()
    assert queue.bound(Kind.RUN, now=0) == 2
    queue.poll("v", RUN, now=0)
    queue.poll("u", frozenset({Kind.FINGERPRINT}), now=0)
    assert (queue.bound(Kind.RUN, now=0), queue.bound(Kind.FINGERPRINT, now=0)) == (4, 1024)


@pytest.mark.parametrize(
    ("seconds_ago", "refusal"),
    [(0, None), (15, None), (15.1, Refusal.NO_WORKER)],
    ids=["now", "at the edge", "too long ago"],
)
def test_a_worker_counts_for_a_while_after_its_last_word(seconds_ago: float, refusal: Refusal | None) -> None:
    queue = queue_with()
    queue.end_poll("w", now=0)
    assert ask(queue, "a", now=seconds_ago, deadline_at=999) is refusal


def test_without_a_worker_nothing_is_taken_and_what_waits_is_ended() -> None:
    queue = queue_with()
    assert ask(RequestQueue(LIMITS), "a") is Refusal.NO_WORKER
    assert ask(queue, "a", kind=Kind.FINGERPRINT) is Refusal.NO_WORKER
    assert ask(queue, "a") is None
    queue.end_poll("w", now=1)
    assert list(queue.tick(16)) == []
    assert list(queue.tick(16.1)) == [("a", Ending.NO_WORKER)]
    assert queue.is_empty


def test_a_worker_that_says_good_bye_no_longer_counts() -> None:
    queue = queue_with()
    queue.end_poll("w", now=0, is_last=True)
    assert ask(queue, "a") is Refusal.NO_WORKER


def test_a_worker_that_says_good_bye_in_one_thread_counts_while_another_runs() -> None:
    queue = queue_with()
    ask(queue, "a")
    take(queue)
    queue.end_poll("w", now=0, is_last=True)
    assert ask(queue, "b", now=50) is None
    assert queue.count_workers(Kind.RUN, now=50) == 1


@pytest.mark.parametrize(
    ("failure", "ending"),
    [
        (Failure.REFUSED, Ending.REFUSED),
        (Failure.UNAVAILABLE, Ending.UNAVAILABLE),
        (Failure.UNRUNNABLE, Ending.UNRUNNABLE),
        (Failure.TIMED_OUT, Ending.LATE_RUNNING),
        (Failure.MOVED, Ending.MOVED),
        (Failure.CRASHED, None),
    ],
)
def test_what_a_failed_attempt_means_for_its_request(failure: Failure, ending: Ending | None) -> None:
    queue = queue_with()
    ask(queue, "a")
    taken = take(queue)
    assert queue.fail("a", taken.attempt, failure, now=1) == (Standing.CURRENT, ending)
    assert queue.is_waiting("a") is (ending is None)
    assert queue.is_empty is (ending is not None)


def test_a_crash_is_tried_once_more_before_all_others_and_then_quarantined() -> None:
    queue = queue_with()
    ask(queue, "a")
    ask(queue, "b")
    assert queue.fail("a", take(queue).attempt, Failure.CRASHED, now=1) == (Standing.CURRENT, None)
    again = take(queue, now=2)
    assert (again.request_id, again.attempt) == ("a", 2)
    assert queue.fail("a", 2, Failure.CRASHED, now=3) == (Standing.CURRENT, Ending.CRASHED)
    assert queue.admit("c", Kind.RUN, deadline_at=99, now=4) is None
    assert queue.enqueue("c", "digest of a", now=4) is Refusal.QUARANTINED
    assert queue.count_waiting(Kind.RUN) == 1
    assert list(queue.tick(103)) == [("b", Ending.LATE_WAITING)]
    assert queue.admit("d", Kind.RUN, deadline_at=999, now=104) is None
    assert queue.enqueue("d", "digest of a", now=104) is None


def test_equal_requests_that_wait_end_with_the_one_that_is_quarantined() -> None:
    queue = queue_with(limits=Limits(attempts=1, quarantine_seconds=50))
    for name, digest in (("a", "bad"), ("b", "bad"), ("c", "good")):
        assert queue.admit(name, Kind.RUN, deadline_at=99, now=0) is None
        assert queue.enqueue(name, digest, now=0) is None
    assert queue.fail("a", take(queue).attempt, Failure.CRASHED, now=1) == (Standing.CURRENT, Ending.CRASHED)
    assert take(queue, now=2).request_id == "c"
    assert queue.take("w", RUN, now=2) is None
    assert list(queue.tick(2)) == [("b", Ending.CRASHED)]
    assert queue.count_waiting(Kind.RUN) == 0


def test_the_oldest_leave_a_full_quarantine() -> None:
    queue = queue_with(limits=Limits(attempts=1, quarantined=2))
    for name in "abc":
        ask(queue, name)
        queue.fail(name, take(queue).attempt, Failure.CRASHED, now=0)
    queue.admit("x", Kind.RUN, deadline_at=99, now=0)
    assert queue.enqueue("x", "digest of a", now=0) is None
    queue.admit("y", Kind.RUN, deadline_at=99, now=0)
    assert queue.enqueue("y", "digest of c", now=0) is Refusal.QUARANTINED


def test_a_lease_without_heartbeats_ends_as_a_crash() -> None:
    queue = queue_with()
    ask(queue, "a")
    take(queue)
    assert list(queue.tick(9.9)) == []
    assert list(queue.tick(10)) == []
    assert queue.is_waiting("a")
    take(queue, now=10)
    assert list(queue.tick(20)) == [("a", Ending.CRASHED)]


def test_heartbeats_extend_a_lease_and_a_broken_one_shortens_it() -> None:
    queue = queue_with()
    ask(queue, "a")
    attempt = take(queue).attempt
    assert queue.beat("a", attempt, now=9) is Standing.CURRENT
    assert list(queue.tick(18.9)) == []
    queue.lose_contact("a", attempt, now=19 - 0.05)
    assert queue.beat("a", attempt, now=19) is Standing.CURRENT
    queue.lose_contact("a", attempt, now=20)
    assert list(queue.tick(21.9)) == []
    assert not queue.is_waiting("a")
    assert list(queue.tick(22)) == []
    assert queue.is_waiting("a")


def test_an_answer_on_its_way_needs_no_heartbeat() -> None:
    queue = queue_with()
    ask(queue, "a")
    attempt = take(queue).attempt
    assert queue.begin_answer("a", attempt) is Standing.CURRENT
    assert queue.begin_answer("a", attempt) is Standing.STALE
    queue.lose_contact("a", attempt, now=1)
    assert list(queue.tick(99)) == []
    assert queue.answer("a", attempt, now=99) is Standing.CURRENT
    assert queue.answer("a", attempt, now=99) is Standing.OVER


def test_only_the_latest_attempt_counts() -> None:
    """Fencing: a worker that was thought dead and wakes up changes nothing."""
    queue = queue_with()
    ask(queue, "a")
    first = take(queue).attempt
    list(queue.tick(10))
    assert queue.standing("a", first) is Standing.STALE
    second = take(queue, now=11).attempt
    for says in (queue.beat("a", first, now=12), queue.begin_answer("a", first), queue.answer("a", first, now=12)):
        assert says is Standing.STALE
    assert queue.fail("a", first, Failure.REFUSED, now=12) == (Standing.STALE, None)
    assert queue.answer("a", second, now=12) is Standing.CURRENT


@pytest.mark.parametrize(("name", "attempt"), [("a", 0), ("a", 2), ("a", 10**9), ("b", 1)])
def test_an_attempt_that_never_was_is_over(name: str, attempt: int) -> None:
    queue = queue_with()
    ask(queue, "a")
    take(queue)
    assert queue.standing(name, attempt) is Standing.OVER


def test_a_client_that_leaves_stops_the_worker_and_frees_the_place() -> None:
    queue = queue_with()
    ask(queue, "a")
    attempt = take(queue).attempt
    assert queue.leave("a") is True
    assert queue.beat("a", attempt, now=1) is Standing.OVER
    assert queue.is_empty


def test_what_a_worker_never_got_waits_again_and_counts_as_no_crash() -> None:
    queue = queue_with()
    ask(queue, "a")
    for _ in range(5):
        queue.hand_back("a", take(queue).attempt, now=0)
    assert queue.fail("a", take(queue).attempt, Failure.CRASHED, now=0) == (Standing.CURRENT, None)


def test_a_deadline_ends_a_request_wherever_it_is_and_late_ones_never_start() -> None:
    queue = queue_with()
    ask(queue, "running", deadline_at=5)
    take(queue)
    ask(queue, "waiting", deadline_at=5)
    queue.admit("receiving", Kind.RUN, deadline_at=5, now=0)
    assert queue.take("w", RUN, now=5) is None
    assert dict(queue.tick(5)) == {"running": Ending.LATE_RUNNING, "waiting": Ending.LATE_WAITING}
    assert queue.enqueue("receiving", "d", now=5) is None
    assert dict(queue.tick(6)) == {"receiving": Ending.LATE_WAITING}


def test_a_hand_out_says_how_many_seconds_are_left() -> None:
    queue = queue_with()
    ask(queue, "a", deadline_at=7)
    assert take(queue, now=3).seconds_left == 4


def test_a_draining_queue_takes_nothing_and_ends_what_is_left() -> None:
    queue = queue_with()
    ask(queue, "a")
    queue.admit("b", Kind.RUN, deadline_at=9, now=0)
    queue.drain()
    assert queue.is_draining
    assert ask(queue, "c") is Refusal.DRAINING
    assert not queue.is_empty
    assert list(queue.end_all()) == [("a", Ending.DRAINED), ("b", Ending.DRAINED)]
    assert queue.enqueue("b", "d", now=0) is Refusal.DRAINING
    assert queue.is_empty


def test_the_oldest_wait_is_that_of_the_first_request() -> None:
    queue = queue_with()
    assert queue.oldest_wait(Kind.RUN, now=5) == 0
    ask(queue, "a", now=1)
    ask(queue, "b", now=4)
    assert queue.oldest_wait(Kind.RUN, now=5) == 4


class AnyHistory(RuleBasedStateMachine):
    """Clients, workers and time in any order: no request is lost, run twice at once, or beyond the bound."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.queue = RequestQueue(LIMITS)
        self.open: set[str] = set()
        self.attempts: dict[str, list[int]] = {}
        self.count = 0

    @rule(kind=st.sampled_from(Kind), seconds=st.sampled_from([1.0, 20.0, 500.0]))
    def request(self, kind: Kind, seconds: float) -> None:
        self.count += 1
        name = f"r{self.count}"
        before = sum(map(self.queue.count_waiting, COMPUTATIONS))
        refusal = self.queue.admit(name, kind, deadline_at=self.now + seconds, now=self.now)
        if kind in COMPUTATIONS and refusal is None:
            assert before < self.queue.bound(kind, now=self.now)
        if refusal is None and self.queue.enqueue(name, f"d{self.count % 5}", now=self.now) is None:
            self.open.add(name)

    @rule(worker=st.sampled_from("uv"), kinds=st.sampled_from([RUN, frozenset(Kind), frozenset({Kind.FINGERPRINT})]))
    def next(self, worker: str, kinds: frozenset[Kind]) -> None:
        self.queue.poll(worker, kinds, now=self.now)
        taken = self.queue.take(worker, kinds, now=self.now)
        self.queue.end_poll(worker, now=self.now)
        if taken:
            assert taken.request_id in self.open
            assert taken.seconds_left > 0
            earlier = self.attempts.setdefault(taken.request_id, [])
            assert taken.attempt == len(earlier) + 1
            assert all(self.queue.standing(taken.request_id, each) is Standing.STALE for each in earlier)
            earlier.append(taken.attempt)

    @rule(data=st.data(), failure=st.sampled_from([None, *Failure]))
    def finish(self, data: st.DataObject, failure: Failure | None) -> None:
        if self.attempts:
            name = data.draw(st.sampled_from(sorted(self.attempts)))
            attempt = data.draw(st.sampled_from(self.attempts[name]))
            if failure is None:
                if self.queue.answer(name, attempt, now=self.now) is Standing.CURRENT:
                    self.open.remove(name)
            elif self.queue.fail(name, attempt, failure, now=self.now)[1]:
                self.open.remove(name)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        if self.open:
            name = data.draw(st.sampled_from(sorted(self.open)))
            self.queue.leave(name)
            self.open.remove(name)

    @rule(seconds=st.sampled_from([0.1, 3.0, 11.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for name, _ in self.queue.tick(self.now):
            self.open.remove(name)

    @invariant()
    def nothing_is_lost_and_counts_are_right(self) -> None:
        counted = sum(self.queue.count_waiting(kind) + self.queue.count_running(kind) for kind in Kind)
        assert counted == len(self.open)
        assert self.queue.is_empty is not bool(self.open)


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=40, stateful_step_count=30)


@given(st.lists(st.sampled_from([1.0, 5.0, 12.0]), max_size=10))
def test_time_alone_ends_everything(steps: list[float]) -> None:
    queue = queue_with()
    ask(queue, "a", deadline_at=50)
    now = 0.0
    for step in [*steps, 60.0]:
        now += step
        queue.poll("w", RUN, now=now)
        queue.take("w", RUN, now=now)
        list(queue.tick(now))
    assert queue.is_empty
