"""What the service counts, for /metrics: docs/autoscaler.md has every name. Knows no cluster.

Counters of waits, outcomes and predictions come from changes of pods, each counted once, not from samples.
"""

from collections.abc import Mapping
from typing import Any

import prometheus_client as prometheus

from autoscaler.cluster import names
from autoscaler.cluster.objects import PodObject
from autoscaler.cluster.reading import seconds
from autoscaler.policy import Policy
from autoscaler.scale_plan import ScalePlan
from autoscaler.snapshot import JOB, Snapshot

_WAITS = (1, 2, 5, 10, 20, 30, 60, 90, 120, 180, 300, 600, 1200, 3600)
_LIFETIMES = (60, 300, 900, 1800, 3600, 7200, 21600, 86400)
_RATIOS = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2, 4, 10)
_MOST_REMEMBERED = 50_000
_PREFIX = "spack_farm_"


class Metrics:
    """The metrics of one service, in a registry of its own."""

    def __init__(self, job_labels: Mapping[str, str]) -> None:
        self.registry = prometheus.CollectorRegistry()
        self._job_labels = job_labels
        self._waited: dict[str, None] = {}
        self._ended: dict[str, None] = {}
        self._attempts: dict[str, str] = {}
        self._at: float | None = None
        self._nodes_seen: dict[str, float] = {}
        new: dict[str, Any] = {"registry": self.registry}
        self.nodes = prometheus.Gauge(f"{_PREFIX}nodes", "Nodes and booting machines", ["state", "type"], **new)
        self.pods = prometheus.Gauge(f"{_PREFIX}pods", "Jobs' pods", ["state"], **new)
        self.wait = prometheus.Histogram(
            f"{_PREFIX}wait_seconds", "From a pod's creation until it had a node", buckets=_WAITS, **new
        )
        self.actions = prometheus.Counter(
            f"{_PREFIX}scale_actions", "Lines of plans that were carried out", ["dir", "reason", "result"], **new
        )
        self.aborted = prometheus.Counter(
            f"{_PREFIX}scalein_aborted", "Nodes that were not removed because of the second look", **new
        )
        self.lifetime = prometheus.Histogram(
            f"{_PREFIX}node_lifetime_seconds", "Of nodes that are gone", buckets=_LIFETIMES,
            **new,
        )  # fmt: skip
        self.time = {
            kind: prometheus.Counter(f"{_PREFIX}node_{kind}_seconds", f"Time of nodes that were {kind}, summed", **new)
            for kind in ("busy", "idle")
        }
        self.cost = prometheus.Counter(f"{_PREFIX}cost_usd", "Price of nodes and booting machines", ["use"], **new)
        self.predictions = prometheus.Histogram(
            f"{_PREFIX}prediction_ratio", "Real through expected", ["resource"], buckets=_RATIOS, **new
        )
        self.ooms = prometheus.Counter(f"{_PREFIX}oom", "Pods of jobs that were killed for memory", ["tier"], **new)
        self.retries = prometheus.Counter(f"{_PREFIX}retry", "Further attempts of a job", **new)
        self.decide = prometheus.Histogram(
            f"{_PREFIX}decide_seconds", "Of one decision", buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10), **new
        )
        self.breaker = prometheus.Gauge(
            f"{_PREFIX}breaker_open", "Whether nothing is ordered there", ["pool", "type", "zone"], **new
        )
        self.leader = prometheus.Gauge(f"{_PREFIX}leader", "Whether this controller acts", **new)
        self.input_age = prometheus.Gauge(f"{_PREFIX}input_age_seconds", "Since an input was last read", ["input"], **new)
        self.faults = prometheus.Counter(f"{_PREFIX}faults", "What could not be done", ["where"], **new)

    def fault(self, where: str) -> None:
        """Count what could not be done: `hand`, `apply`, `tick`, `waiting`, `event`, `record`."""
        self.faults.labels(where).inc()

    def action(self, direction: str, reason: str, result: str) -> None:
        """Count a line of a plan: `out`, `in` or `other`; `done`, `aborted`, `skipped`, `failed`, `dry_run`."""
        self.actions.labels(direction, reason, result).inc()

    def observed(self, snapshot: Snapshot, plan: ScalePlan, policy: Policy) -> None:
        """Take what one decision saw and said; time and cost count from the decision before."""
        prices = {(pool.name, one.name): one.price_per_hour for pool in policy.pools for one in pool.types}
        states = {one.node: one.state for one in plan.nodes}
        passed = 0.0 if self._at is None else min(max(snapshot.taken_at - self._at, 0.0), 300.0)
        self._at = snapshot.taken_at
        counts: dict[tuple[str, str], int] = {}
        for node in snapshot.nodes:
            if not node.pool:
                continue
            state: str = states.get(node.name, "idle")
            counts[state, node.type] = counts.get((state, node.type), 0) + 1
            use = "busy" if state == "busy" else "idle"
            price = node.price_per_hour if node.price_per_hour is not None else prices.get((node.pool, node.type), 0.0)
            self.time[use].inc(passed)
            self.cost.labels(use).inc(price * passed / 3600)
        for launch in snapshot.launches:
            counts["booting", launch.type] = counts.get(("booting", launch.type), 0) + 1
            self.cost.labels("idle").inc(prices.get((launch.pool, launch.type), 0.0) * passed / 3600)
        self.nodes.clear()
        for (state, kind), count in counts.items():
            self.nodes.labels(state, kind).set(count)
        there = {node.name: node.created_at for node in snapshot.nodes if node.pool}
        for name in self._nodes_seen.keys() - there.keys():
            self.lifetime.observe(max(snapshot.taken_at - self._nodes_seen[name], 0.0))
        self._nodes_seen = there
        jobs = [pod for pod in snapshot.pods if pod.kind == JOB]
        self.pods.labels("pending").set(sum(not pod.node for pod in jobs))
        self.pods.labels("running").set(sum(bool(pod.node) for pod in jobs))
        self.breaker.clear()
        for one in plan.ledger.breakers:
            self.breaker.labels(one.pool, one.type, one.zone).set(one.closed_at > snapshot.taken_at)
        for name, at in snapshot.inputs.items():
            self.input_age.labels(name).set(max(snapshot.taken_at - at, 0.0))

    def pod_changed(self, pod: PodObject, change: str) -> None:
        """Count a job's pod that got a node, ended, was killed for memory, or is a further attempt; each once."""
        meta = pod.metadata
        if not all(meta.labels.get(key) == value for key, value in self._job_labels.items()):
            return
        if change == "listed":  # what happened before this process is not counted again
            if pod.spec.node_name:
                _remember(self._waited, meta.uid)
            self._attempts.setdefault(meta.labels.get(names.JOB_ID, ""), meta.labels.get(names.ATTEMPT, ""))
            return
        bound_at = next(
            (seconds(one.last_transition_time) for one in pod.status.conditions if _is_bound(one.type, one.status)), 0.0
        )
        if pod.spec.node_name and bound_at and meta.uid not in self._waited:
            _remember(self._waited, meta.uid)
            self.wait.observe(max(bound_at - seconds(meta.creation_timestamp), 0.0))
        self._count_attempt(meta.labels.get(names.JOB_ID, ""), meta.labels.get(names.ATTEMPT, ""))
        if meta.uid not in self._ended and (change == "DELETED" or pod.status.phase in {"Succeeded", "Failed"}):
            _remember(self._ended, meta.uid)
            self._ended_pod(pod, bound_at)

    def text(self) -> bytes:
        """Return all metrics as Prometheus reads them."""
        return prometheus.generate_latest(self.registry)

    def _count_attempt(self, job: str, attempt: str) -> None:
        if job and self._attempts.get(job, attempt) != attempt:
            self.retries.inc()
        if job:
            self._attempts[job] = attempt
            if len(self._attempts) > _MOST_REMEMBERED:
                self._attempts.pop(next(iter(self._attempts)))

    def _ended_pod(self, pod: PodObject, bound_at: float) -> None:
        killed = any(
            one.state.terminated and one.state.terminated.reason == "OOMKilled" for one in pod.status.container_statuses
        )
        if killed:
            tier = next((one.resources.requests.get("memory", "") for one in pod.spec.containers), "")
            self.ooms.labels(str(tier)).inc()
        expected = pod.metadata.annotations.get(names.EXPECTED_SECONDS, "")
        ended_at = seconds(pod.metadata.deletion_timestamp)
        if pod.metadata.annotations.get(names.OUTCOME) == "script_succeeded" and bound_at and ended_at > bound_at:
            self.predictions.labels("seconds").observe((ended_at - bound_at) / float(expected))


def _is_bound(kind: str, status: str) -> bool:
    return kind == "PodScheduled" and status == "True"


def _remember(known: dict[str, None], uid: str) -> None:
    known[uid] = None
    if len(known) > _MOST_REMEMBERED:
        known.pop(next(iter(known)))
