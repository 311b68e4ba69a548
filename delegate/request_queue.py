"""The queue's decisions: which request is taken, refused, handed out, given once more, and how each ends.

Pure: no clock, socket, file or randomness; the time is a parameter (seconds of one monotonic clock). Requests are known by
an id alone: bodies and answers are kept elsewhere (`exchanges.py`). docs/reference/delegate-protocol.md describes it to
workers. Each hand-out of a request is an attempt with a number. Only the latest attempt counts: that is the fencing.
"""

import collections
import enum
import math
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field


class Kind(enum.StrEnum):
    """What a worker is asked for."""

    RUN = "run"
    """Compute; the answer has no address."""
    RESULT = "result"
    """Compute, if the inputs are those that the result's address names."""
    FINGERPRINT = "fingerprint"
    """Say what the inputs are: milliseconds."""


COMPUTATIONS = (Kind.RUN, Kind.RESULT)
"""Kinds that share the places in the queue."""


class Refusal(enum.Enum):
    """Why a request is not taken."""

    FULL = enum.auto()
    NO_WORKER = enum.auto()
    DRAINING = enum.auto()
    QUARANTINED = enum.auto()


class Failure(enum.StrEnum):
    """What a worker says of an attempt that has no answer."""

    REFUSED = "refused"
    CRASHED = "crashed"
    UNAVAILABLE = "unavailable"
    UNRUNNABLE = "unrunnable"
    TIMED_OUT = "timed-out"
    MOVED = "moved"


class Ending(enum.Enum):
    """How a request ended."""

    ANSWERED = enum.auto()
    REFUSED = enum.auto()
    CRASHED = enum.auto()
    UNAVAILABLE = enum.auto()
    UNRUNNABLE = enum.auto()
    MOVED = enum.auto()
    LATE_WAITING = enum.auto()
    LATE_RUNNING = enum.auto()
    NO_WORKER = enum.auto()
    DRAINED = enum.auto()


class Standing(enum.Enum):
    """What an attempt is to the queue."""

    CURRENT = enum.auto()
    STALE = enum.auto()
    """A later attempt was handed out."""
    OVER = enum.auto()
    """Nothing waits for it any more: cancelled, ended, or never known."""


_ENDING_OF = {
    Failure.REFUSED: Ending.REFUSED,
    Failure.UNAVAILABLE: Ending.UNAVAILABLE,
    Failure.UNRUNNABLE: Ending.UNRUNNABLE,
    Failure.TIMED_OUT: Ending.LATE_RUNNING,
    Failure.MOVED: Ending.MOVED,
}
"""Failures that end a request at once; a crash may be tried again."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The bounds of a queue."""

    waiting_for_each_worker: int = 10
    """Runs that may wait, for each live worker."""
    fingerprints: int = 1024
    """Fingerprints that may wait, those included whose request is still arriving."""
    lease_seconds: float = 10
    """How long an attempt lives without a heartbeat."""
    contact_seconds: float = 2
    """How long it lives after the connection of a heartbeat broke."""
    worker_seconds: float = 15
    """How long a worker counts as live after its last word."""
    attempts: int = 2
    """Crashes of one request before it counts as the one that crashes workers."""
    quarantine_seconds: float = 600
    """How long a request that crashed its workers is refused."""
    quarantined: int = 1000
    """Requests that may be in quarantine; the oldest leave first."""


def _line(kind: Kind) -> tuple[Kind, ...]:
    """Return the kinds that wait in one line with a kind."""
    return (kind,) if kind is Kind.FINGERPRINT else COMPUTATIONS


@dataclass(frozen=True)
class HandOut:
    """A request that a worker is to carry out."""

    request_id: str
    attempt: int
    seconds_left: float


class _State(enum.Enum):
    RECEIVING = enum.auto()
    """Its body arrives; it has a place in the queue."""
    WAITING = enum.auto()
    RUNNING = enum.auto()
    ANSWERING = enum.auto()
    """The worker sends its answer: no heartbeat is needed."""


_WITH_WORKER = frozenset({_State.RUNNING, _State.ANSWERING})


@dataclass
class _Entry:
    kind: Kind
    deadline_at: float
    order: int
    state: _State = _State.RECEIVING
    digest: str = ""
    attempt: int = 0
    crashes: int = 0
    lease_until: float = math.inf
    worker: str = ""
    since: float = 0


@dataclass
class _Worker:
    kinds: frozenset[Kind]
    seen_at: float
    polls: int = 0
    attempts: set[str] = field(default_factory=set)


class RequestQueue:
    """Requests in the order in which they came, the workers that may take them, and the attempts under way."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._entries: dict[str, _Entry] = {}
        self._counts: collections.Counter[tuple[Kind, _State]] = collections.Counter()
        self._waiting: dict[Kind, collections.deque[str]] = {kind: collections.deque() for kind in Kind}
        self._workers: dict[str, _Worker] = {}
        self._quarantine: collections.OrderedDict[str, float] = collections.OrderedDict()
        self._draining = False
        self._admitted = 0

    # requests

    def admit(self, request_id: str, kind: Kind, *, deadline_at: float, now: float) -> Refusal | None:
        """Give a request a place before its body is read; return why it has none."""
        if self._draining:
            return Refusal.DRAINING
        if not self.is_served(kind, now=now):
            return Refusal.NO_WORKER
        if sum(map(self.count_waiting, _line(kind))) >= self.bound(kind, now=now):
            return Refusal.FULL
        self._admitted += 1
        self._entries[request_id] = _Entry(kind, deadline_at, self._admitted, since=now)
        self._counts[kind, _State.RECEIVING] += 1
        return None

    def enqueue(self, request_id: str, digest: str, *, now: float) -> Refusal | None:
        """Let a request wait whose body is there; without a place if its digest is in quarantine, or the queue has ended."""
        entry = self._entries.get(request_id)
        if entry is None:
            return Refusal.DRAINING
        if self._quarantine.get(digest, -math.inf) > now:
            self._remove(request_id)
            return Refusal.QUARANTINED
        entry.digest, entry.since = digest, now
        self._change(entry, _State.WAITING)
        self._waiting[entry.kind].append(request_id)
        return None

    def is_waiting(self, request_id: str) -> bool:
        """Return whether a request waits for a worker: it has not been handed out."""
        entry = self._entries.get(request_id)
        return entry is not None and entry.state is _State.WAITING

    def leave(self, request_id: str) -> bool:
        """Forget a request; return whether a worker has to be stopped. One that is unknown is forgotten already."""
        entry = self._entries.get(request_id)
        if entry is None:
            return False
        self._remove(request_id)
        return entry.state in _WITH_WORKER

    # workers

    def poll(self, worker: str, kinds: frozenset[Kind], *, now: float) -> None:
        """Note that a worker asks for work; `end_poll` ends it."""
        known = self._workers.setdefault(worker, _Worker(kinds, now))
        known.kinds |= kinds
        known.seen_at = now
        known.polls += 1

    def end_poll(self, worker: str, *, now: float, is_last: bool = False) -> None:
        """Note that a worker has work, no work, or is gone; one that ends and has nothing left no longer counts as live."""
        known = self._workers.get(worker)
        if known is not None:
            known.polls -= 1
            known.seen_at = now
            if is_last and not known.attempts and not known.polls:
                del self._workers[worker]

    def take(self, worker: str, kinds: frozenset[Kind], *, now: float) -> HandOut | None:
        """Hand the oldest request of some kinds to a worker. One whose deadline has passed is never handed out."""
        request_id = self._first(kinds & {Kind.FINGERPRINT}, now)  # milliseconds: before computations
        request_id = request_id or self._first(kinds & set(COMPUTATIONS), now)
        if request_id is None:
            return None
        entry = self._entries[request_id]
        self._waiting[entry.kind].remove(request_id)
        self._change(entry, _State.RUNNING)
        entry.worker, entry.attempt, entry.since = worker, entry.attempt + 1, now
        entry.lease_until = now + self._limits.lease_seconds
        self._workers.setdefault(worker, _Worker(kinds, now)).attempts.add(request_id)
        return HandOut(request_id, entry.attempt, entry.deadline_at - now)

    # attempts

    def standing(self, request_id: str, attempt: int) -> Standing:
        """Return what an attempt is to the queue."""
        entry = self._entries.get(request_id)
        if entry is None or not 0 < attempt <= entry.attempt:
            return Standing.OVER
        is_latest = attempt == entry.attempt and entry.state in _WITH_WORKER
        return Standing.CURRENT if is_latest else Standing.STALE

    def beat(self, request_id: str, attempt: int, *, now: float) -> Standing:
        """Extend an attempt's lease by a heartbeat."""
        standing = self.standing(request_id, attempt)
        if standing is Standing.CURRENT:
            entry = self._entries[request_id]
            entry.lease_until = max(entry.lease_until, now + self._limits.lease_seconds)
            self._touch(entry.worker, now)
        return standing

    def lose_contact(self, request_id: str, attempt: int, *, now: float) -> None:
        """Shorten a lease when a heartbeat's connection broke: the worker is dead, or about to answer."""
        if self.standing(request_id, attempt) is Standing.CURRENT:
            entry = self._entries[request_id]
            if entry.state is _State.RUNNING:
                entry.lease_until = min(entry.lease_until, now + self._limits.contact_seconds)

    def hand_back(self, request_id: str, attempt: int, *, now: float) -> None:
        """Put a request back that never reached its worker. This does not count as a crash."""
        if self.standing(request_id, attempt) is Standing.CURRENT:
            self._wait_again(request_id, now)

    def begin_answer(self, request_id: str, attempt: int) -> Standing:
        """Let an attempt live without heartbeats while its answer arrives. A second answer to one attempt is stale."""
        standing = self.standing(request_id, attempt)
        if standing is not Standing.CURRENT:
            return standing
        entry = self._entries[request_id]
        if entry.state is _State.ANSWERING:
            return Standing.STALE
        self._change(entry, _State.ANSWERING)
        entry.lease_until = math.inf
        return Standing.CURRENT

    def answer(self, request_id: str, attempt: int, *, now: float) -> Standing:
        """End a request by its answer."""
        standing = self.standing(request_id, attempt)
        if standing is Standing.CURRENT:
            self._touch(self._entries[request_id].worker, now)
            self._remove(request_id)
        return standing

    def fail(self, request_id: str, attempt: int, failure: Failure, *, now: float) -> tuple[Standing, Ending | None]:
        """End an attempt without an answer; return how that ends the request, None if it waits for another attempt."""
        standing = self.standing(request_id, attempt)
        if standing is not Standing.CURRENT:
            return standing, None
        self._touch(self._entries[request_id].worker, now)
        if failure is Failure.CRASHED:
            return standing, self._crashed(request_id, now)
        self._remove(request_id)
        return standing, _ENDING_OF[failure]

    # time

    def tick(self, now: float) -> Iterator[tuple[str, Ending]]:
        """End what time has ended: deadlines, leases, and all that waits where no worker is left."""
        for request_id, entry in list(self._entries.items()):
            if entry.state is _State.RECEIVING:
                continue  # the arrival of a body has a time limit of its own
            if entry.deadline_at <= now:
                self._remove(request_id)
                yield request_id, Ending.LATE_RUNNING if entry.attempt else Ending.LATE_WAITING
            elif entry.lease_until <= now and (ending := self._crashed(request_id, now)):
                yield request_id, ending
        yield from self._end_waiting(now)
        for worker, known in list(self._workers.items()):
            if not self._is_live(known, now):
                del self._workers[worker]
        while self._quarantine and next(iter(self._quarantine.values())) <= now:
            self._quarantine.popitem(last=False)

    def drain(self) -> None:
        """Take no more requests; those that are there go on."""
        self._draining = True

    def end_all(self) -> Iterator[tuple[str, Ending]]:
        """End everything that is there: the time to drain is over."""
        for request_id in list(self._entries):
            self.leave(request_id)
            yield request_id, Ending.DRAINED

    # what is asked about it

    @property
    def is_draining(self) -> bool:
        """Whether no more requests are taken."""
        return self._draining

    @property
    def is_empty(self) -> bool:
        """Whether no request is left."""
        return not self._entries

    def is_served(self, kind: Kind, *, now: float) -> bool:
        """Return whether a live worker takes requests of a kind."""
        return any(kind in known.kinds and self._is_live(known, now) for known in self._workers.values())

    def count_workers(self, *kinds: Kind, now: float) -> int:
        """Return how many live workers take one of some kinds."""
        return sum(bool(known.kinds & set(kinds)) and self._is_live(known, now) for known in self._workers.values())

    def bound(self, kind: Kind, *, now: float) -> int:
        """Return how many requests of a kind may wait."""
        if kind is Kind.FINGERPRINT:
            return self._limits.fingerprints
        return self._limits.waiting_for_each_worker * self.count_workers(*COMPUTATIONS, now=now)

    def count_waiting(self, kind: Kind) -> int:
        """Return how many requests of a kind have a place and no worker."""
        return self._counts[kind, _State.RECEIVING] + self._counts[kind, _State.WAITING]

    def has_waiting(self, kind: Kind) -> bool:
        """Return whether a request of a kind waits for a worker."""
        return bool(self._waiting[kind])

    def count_running(self, kind: Kind) -> int:
        """Return how many requests of a kind are with a worker."""
        return self._counts[kind, _State.RUNNING] + self._counts[kind, _State.ANSWERING]

    def oldest_wait(self, kind: Kind, *, now: float) -> float:
        """Return for how long the first request of a kind has waited; 0 if none does."""
        first = next(iter(self._waiting[kind]), None)
        return now - self._entries[first].since if first else 0.0

    # inside

    def _first(self, kinds: AbstractSet[Kind], now: float) -> str | None:
        """Return the request that came first, is not late and in no quarantine: `tick` ends those."""
        found = [next((each for each in self._waiting[kind] if self._may_start(each, now)), None) for kind in kinds]
        return min(filter(None, found), key=lambda each: self._entries[each].order, default=None)

    def _may_start(self, request_id: str, now: float) -> bool:
        entry = self._entries[request_id]
        return entry.deadline_at > now and not self._is_quarantined(entry, now)

    def _is_quarantined(self, entry: _Entry, now: float) -> bool:
        return self._quarantine.get(entry.digest, -math.inf) > now

    def _is_live(self, known: _Worker, now: float) -> bool:
        return known.polls > 0 or bool(known.attempts) or now - known.seen_at <= self._limits.worker_seconds

    def _touch(self, worker: str, now: float) -> None:
        if worker in self._workers:
            self._workers[worker].seen_at = now

    def _end_waiting(self, now: float) -> Iterator[tuple[str, Ending]]:
        """End what waits in vain."""
        for request_id, entry in list(self._entries.items()):
            if entry.state is not _State.WAITING:
                continue
            if self._is_quarantined(entry, now):
                # it is equal to one that crashed since it came, and would cost further workers
                self._remove(request_id)
                yield request_id, Ending.CRASHED
            elif not self.is_served(entry.kind, now=now):
                self._remove(request_id)
                yield request_id, Ending.NO_WORKER

    def _change(self, entry: _Entry, state: _State) -> None:
        self._counts[entry.kind, entry.state] -= 1
        entry.state = state
        self._counts[entry.kind, state] += 1

    def _remove(self, request_id: str) -> None:
        entry = self._entries.pop(request_id)
        self._counts[entry.kind, entry.state] -= 1
        if entry.state is _State.WAITING:
            self._waiting[entry.kind].remove(request_id)
        if entry.worker in self._workers:
            self._workers[entry.worker].attempts.discard(request_id)

    def _crashed(self, request_id: str, now: float) -> Ending | None:
        """Let a request wait once more, before all others, or end it and put it into quarantine."""
        entry = self._entries[request_id]
        entry.crashes += 1
        if entry.crashes < self._limits.attempts:
            self._wait_again(request_id, now)
            return None
        self._remove(request_id)
        self._quarantine[entry.digest] = now + self._limits.quarantine_seconds
        self._quarantine.move_to_end(entry.digest)
        while len(self._quarantine) > self._limits.quarantined:
            self._quarantine.popitem(last=False)
        return Ending.CRASHED

    def _wait_again(self, request_id: str, now: float) -> None:
        entry = self._entries[request_id]
        if entry.worker in self._workers:
            self._workers[entry.worker].attempts.discard(request_id)
        self._change(entry, _State.WAITING)
        entry.worker, entry.since, entry.lease_until = "", now, math.inf
        self._waiting[entry.kind].appendleft(request_id)
