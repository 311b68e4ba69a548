"""What Prometheus reads of the gateway: the queue as it is, and how requests ended."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from delegate.request_queue import Ending, Kind, Refusal, RequestQueue
from delegate.spool import Spool

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600, 1800)


class _Now(Collector):
    """The queue as it is when it is asked."""

    def __init__(self, queue: RequestQueue, spool: Spool, clock: Callable[[], float]) -> None:
        self._queue, self._spool, self._clock = queue, spool, clock

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        now = self._clock()
        rows: tuple[tuple[str, str, Callable[[Kind], float]], ...] = (
            ("delegate_waiting", "Requests that wait for a worker", self._queue.count_waiting),
            ("delegate_running", "Requests that a worker has", self._queue.count_running),
            ("delegate_workers", "Live workers that take a kind", lambda kind: self._queue.count_workers(kind, now=now)),
            (
                "delegate_oldest_wait_seconds",
                "Wait of the first request",
                lambda kind: self._queue.oldest_wait(kind, now=now),
            ),
        )
        for name, text, read in rows:
            family = GaugeMetricFamily(name, text, labels=["kind"])
            for kind in Kind:
                family.add_metric([kind.value], read(kind))
            yield family
        yield GaugeMetricFamily("delegate_spool_bytes", "Bytes of bodies and answers", self._spool.used_bytes)
        yield GaugeMetricFamily("delegate_draining", "1 while no request is taken", float(self._queue.is_draining))


class Metrics:
    """Counters of one gateway."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._ended = Counter(
            "delegate_requests", "Requests that ended, by how", ["kind", "ending"], registry=self._registry
        )
        self._refused = Counter("delegate_refusals", "Requests that were not taken", ["reason"], registry=self._registry)
        self._cancelled = Counter("delegate_cancellations", "Requests whose last client left", registry=self._registry)
        self._lost = Counter("delegate_attempts_lost", "Attempts that ended with their worker", registry=self._registry)
        self._wait = Histogram(
            "delegate_wait_seconds", "From a request to its worker", ["kind"], buckets=_BUCKETS, registry=self._registry
        )
        self._run = Histogram(
            "delegate_run_seconds", "From a worker to the end", ["kind"], buckets=_BUCKETS, registry=self._registry
        )

    def watch(self, queue: RequestQueue, spool: Spool, clock: Callable[[], float]) -> None:
        """Show a queue and a spool."""
        self._registry.register(_Now(queue, spool, clock))

    def refused(self, refusal: Refusal) -> None:
        """Count a request that was not taken."""
        self._refused.labels(refusal.name.lower()).inc()

    def cancelled(self) -> None:
        """Count a request whose last client left."""
        self._cancelled.inc()

    def attempt_lost(self) -> None:
        """Count an attempt that ended without an answer, after which the request waits again."""
        self._lost.inc()

    def waited(self, kind: Kind, seconds: float) -> None:
        """Count the wait of a request that a worker has."""
        self._wait.labels(kind.value).observe(seconds)

    def ended(self, kind: Kind, ending: Ending, seconds: float) -> None:
        """Count a request that ended."""
        self._ended.labels(kind.value, ending.name.lower()).inc()
        self._run.labels(kind.value).observe(seconds)

    def text(self) -> bytes:
        """Return all of it in Prometheus' format."""
        return generate_latest(self._registry)
