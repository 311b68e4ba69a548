"""The queue's requests with their bodies and answers, and those who wait: clients for answers, workers for requests.

Carries out what `request_queue.py` decides, in one event loop. Knows no HTTP.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from delegate.addresses import result_key
from delegate.metrics import Metrics
from delegate.request_queue import COMPUTATIONS, Ending, Failure, HandOut, Kind, Refusal, RequestQueue, Standing
from delegate.settings import Settings
from delegate.spool import Spool, SpooledFile

_TICK_SECONDS = 0.1


class RequestLog:
    """The last bytes of a request's log, for any number of readers."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept = bytearray()
        self._more = asyncio.Event()
        self.end = 0
        """Bytes that were ever written."""
        self.is_over = False

    def append(self, data: bytes) -> None:
        """Write; the oldest bytes beyond the bound are dropped."""
        self._kept += data[-self._most_bytes :]
        del self._kept[: -self._most_bytes]
        self.end += len(data)
        self._wake()

    def close(self) -> None:
        """Let readers end."""
        self.is_over = True
        self._wake()

    def read(self, offset: int) -> tuple[int, bytes]:
        """Return what is kept from an offset on, and where that begins: later than asked if bytes were dropped."""
        start = max(offset, self.end - len(self._kept))
        return start, bytes(self._kept[len(self._kept) - (self.end - start) :]) if start < self.end else b""

    async def wait(self) -> None:
        """Wait for more bytes, or the end."""
        if not self.is_over:
            await self._more.wait()

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()


@dataclass(eq=False)
class Exchange:
    """One request, and what became of it."""

    request_id: str
    kind: Kind
    log: RequestLog
    body: SpooledFile | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """What the command sees, by name in lower case."""
    query: str = ""
    digest: str = ""
    key: str = ""
    """Of a result: the last part of its address."""
    fingerprint: str = ""
    answer: SpooledFile | None = None
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    """What the worker says of a failure."""
    ending: Ending | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the request has ended, or no client waits any more."""
    waiters: int = 1
    is_detached: bool = False
    """Asked for asynchronously: it goes on without a client, and its answer is kept."""
    began_at: float = 0
    taken_at: float = 0


class Exchanges:
    """All requests that are under way, or whose answer is kept."""

    def __init__(self, settings: Settings, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self.queue = RequestQueue(settings.limits)
        self.spool = Spool(settings.spool, settings.spool_bytes)
        self._exchanges: dict[str, Exchange] = {}
        self._fingerprints: dict[str, Exchange] = {}
        self._kept: dict[str, tuple[Exchange, float]] = {}
        self._pollers: list[tuple[frozenset[Kind], asyncio.Future[None]]] = []
        self._is_unready = False
        self._is_closing = False
        metrics.watch(self.queue, self.spool, clock)

    # clients

    def admit(self, request_id: str, kind: Kind, *, timeout_seconds: float) -> Exchange | Refusal:
        """Give a request a place, before its body is read, or refuse it."""
        now = self._clock()
        new = Exchange(request_id, kind, RequestLog(self._settings.log_bytes), began_at=now)
        if refusal := self.queue.admit(new.request_id, kind, deadline_at=now + timeout_seconds, now=now):
            self._metrics.refused(refusal)
            return refusal
        self._exchanges[new.request_id] = new
        return new

    def start(self, exchange: Exchange) -> Exchange | Refusal:
        """Let a request wait whose body is there; return the one to wait for.

        Equal questions for a fingerprint that no worker has yet taken become one: its answer is younger than all of them.
        """
        if exchange.kind is Kind.FINGERPRINT:
            other = self._fingerprints.get(exchange.digest)
            if other is not None and self.queue.is_waiting(other.request_id):
                self.discard(exchange)
                other.waiters += 1
                return other
            self._fingerprints[exchange.digest] = exchange
        if refusal := self.queue.enqueue(exchange.request_id, exchange.digest, now=self._clock()):
            self._metrics.refused(refusal)
            self.discard(exchange)
            return refusal
        self._wake_pollers()
        return exchange

    def leave(self, exchange: Exchange) -> None:
        """Let one client go. After the last one the request is cancelled if it has not ended, and its files are closed."""
        exchange.waiters -= 1
        if exchange.waiters or exchange.is_detached:
            return
        if exchange.ending is None:
            self._metrics.cancelled()
        self.discard(exchange)

    def discard(self, exchange: Exchange) -> None:
        """Forget a request: its worker is stopped, its files are closed. Doing it again does nothing."""
        self.queue.leave(exchange.request_id)
        self._exchanges.pop(exchange.request_id, None)
        self._kept.pop(exchange.request_id, None)
        if self._fingerprints.get(exchange.digest) is exchange:
            del self._fingerprints[exchange.digest]
        exchange.over.set()
        exchange.log.close()
        for file in (exchange.body, exchange.answer):
            if file is not None:
                file.close()

    def detach(self, exchange: Exchange) -> None:
        """Let a request go on without a client; its answer is kept for a while after its end."""
        exchange.waiters -= 1
        exchange.is_detached = True
        if exchange.ending is not None:
            self._keep(exchange)

    def find(self, request_id: str) -> Exchange | None:
        """Return a request by its id, also one whose answer is kept."""
        found = self._kept.get(request_id)
        return found[0] if found else self._exchanges.get(request_id)

    # workers

    async def next(self, worker: str, kinds: frozenset[Kind], *, seconds: float, is_last: bool) -> HandOut | None:
        """Return the next request for a worker, waiting up to so many seconds for one.

        `is_last`: the worker will ask no more if there is none. Cancelling the wait loses no request.
        """
        self.queue.poll(worker, kinds, now=self._clock())
        taken = None
        try:
            until = self._clock() + seconds
            while (taken := self.queue.take(worker, kinds, now=self._clock())) is None:
                if self._is_closing or self._clock() >= until:
                    break
                woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._pollers.append((kinds, woken))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(woken, until - self._clock())
        finally:
            self._pollers = [each for each in self._pollers if not each[1].done()]
            self.queue.end_poll(worker, now=self._clock(), is_last=is_last and taken is None)
            self._wake_pollers()  # for the request that woke this poller, if it was cancelled meanwhile
        if taken is not None:
            exchange = self._exchanges[taken.request_id]
            exchange.taken_at = self._clock()
            if self._fingerprints.get(exchange.digest) is exchange:
                del self._fingerprints[exchange.digest]
            self._metrics.waited(exchange.kind, exchange.taken_at - exchange.began_at)
        return taken

    def hand_back(self, taken: HandOut) -> None:
        """Put a request back that never reached its worker."""
        self.queue.hand_back(taken.request_id, taken.attempt, now=self._clock())
        self._wake_pollers()

    def current(self, request_id: str, attempt: int) -> Exchange | Standing:
        """Return the request of an attempt that counts, or what the attempt is instead."""
        standing = self.queue.standing(request_id, attempt)
        return self._exchanges[request_id] if standing is Standing.CURRENT else standing

    async def beat(self, request_id: str, attempt: int, *, seconds: float) -> Standing:
        """Extend a lease; return after so many seconds, or when the attempt is over."""
        standing = self.queue.beat(request_id, attempt, now=self._clock())
        if standing is not Standing.CURRENT:
            return standing
        exchange = self._exchanges[request_id]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(exchange.over.wait(), seconds)
        return self.queue.standing(request_id, attempt)

    def lose_contact(self, request_id: str, attempt: int) -> None:
        """Note that the connection of a heartbeat broke."""
        self.queue.lose_contact(request_id, attempt, now=self._clock())

    def answer(self, exchange: Exchange, attempt: int, file: SpooledFile, headers: Mapping[str, str]) -> Standing:
        """End a request by its answer. One whose inputs changed meanwhile has moved to another address."""
        if exchange.kind is Kind.RESULT and result_key(exchange.digest, exchange.fingerprint) != exchange.key:
            return self.fail(exchange, attempt, Failure.MOVED)
        standing = self.queue.answer(exchange.request_id, attempt, now=self._clock())
        if standing is Standing.CURRENT:
            exchange.answer, exchange.answer_headers = file, headers
            self._end(exchange, Ending.ANSWERED)
        return standing

    def fail(self, exchange: Exchange, attempt: int, failure: Failure) -> Standing:
        """End an attempt without an answer."""
        standing, ending = self.queue.fail(exchange.request_id, attempt, failure, now=self._clock())
        if ending:
            self._end(exchange, ending)
        elif standing is Standing.CURRENT:
            self._metrics.attempt_lost()
            self._wake_pollers()
        return standing

    # time

    async def keep_time(self) -> None:
        """End what time ends, until cancelled."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self.tick()

    def tick(self) -> None:
        """End what time has ended."""
        now = self._clock()
        running = sum(map(self.queue.count_running, Kind))
        for request_id, ending in self.queue.tick(now):
            self._end(self._exchanges[request_id], ending)
        if sum(map(self.queue.count_running, Kind)) < running:
            self._wake_pollers()  # a lost attempt's request waits again
        for exchange, until in list(self._kept.values()):
            if until <= now and not exchange.waiters:
                self.discard(exchange)

    def close(self) -> None:
        """End everything: the time to drain is over. Workers that wait get the answer that there is nothing."""
        self._is_closing = True
        for _, woken in self._pollers:
            if not woken.done():
                woken.set_result(None)
        for request_id, ending in self.queue.end_all():
            if request_id in self._exchanges:
                self._end(self._exchanges[request_id], ending)

    def be_unready(self) -> None:
        """Say that no request should be sent here any more; those that come are still taken."""
        self._is_unready = True

    @property
    def is_ready(self) -> bool:
        """Whether a request would be taken now."""
        now = self._clock()
        served = [kind for kind in COMPUTATIONS if self.queue.is_served(kind, now=now)]
        if served == [Kind.RESULT] and not self.queue.is_served(Kind.FINGERPRINT, now=now):
            return False  # a worker's questions of both kinds arrive one after the other
        waiting = sum(map(self.queue.count_waiting, COMPUTATIONS))
        return bool(served) and not self._is_unready and waiting < self.queue.bound(served[0], now=now)

    def is_served(self, kind: Kind) -> bool:
        """Return whether a live worker takes a kind."""
        return self.queue.is_served(kind, now=self._clock())

    # inside

    def _end(self, exchange: Exchange, ending: Ending) -> None:
        exchange.ending = ending
        self._metrics.ended(exchange.kind, ending, self._clock() - (exchange.taken_at or exchange.began_at))
        exchange.over.set()
        exchange.log.close()
        if exchange.body is not None:
            exchange.body.close()
        if exchange.is_detached:
            self._keep(exchange)

    def _keep(self, exchange: Exchange) -> None:
        self._kept[exchange.request_id] = exchange, self._clock() + self._settings.keep_seconds
        unread = [each for each, _ in self._kept.values() if not each.waiters]
        for oldest in unread[: max(0, len(self._kept) - self._settings.keep)]:
            self.discard(oldest)

    def _wake_pollers(self) -> None:
        waiting = frozenset(kind for kind in Kind if self.queue.has_waiting(kind))
        for kinds, woken in self._pollers:
            if kinds & waiting and not woken.done():
                woken.set_result(None)
