"""What needs a place: pods that wait, jobs that come soon, pods of nodes that the cloud takes away. Pure.

A job is looked ahead for if each job that it needs has ended or runs and is expected to end in time. What is not known of a
branch of the graph gives nothing.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from autoscaler.deciding.matching import Constraints, constraints_of
from autoscaler.deciding.places import NodePods
from autoscaler.policy import LookAhead, Policy
from autoscaler.snapshot import JOB, Graph, GraphJob, Pod, Size, Snapshot

PENDING, LOOK_AHEAD, WARM, INTERRUPTION = "pending", "look_ahead", "warm_floor", "interruption"
Key = tuple[Constraints, int, int, int, tuple[tuple[str, int], ...]]


@dataclass(slots=True, eq=False)
class Item:
    """Something that needs a place."""

    name: str
    key: Key
    """Constraints, CPU, memory, disk, other resources: items with equal keys fit equally."""
    reason: str
    ready_at: float
    """When it can start; the decision's `now` or later."""
    since: float
    """Since when it waits."""
    seconds: float | None
    """How long it is expected to run; None if not known."""
    pod: Pod | None = None
    """The pod that waits; None of what has none yet."""


def item_of(  # noqa: PLR0913  an item has so many sides
    size: Size, wanted: Constraints, *, name: str, reason: str, ready_at: float, seconds: float | None
) -> Item:
    """Return what needs room of a size."""
    extended = tuple(sorted(size.extended.items())) if size.extended else ()
    key = (wanted, size.cpu_millicores, size.memory_bytes, size.disk_bytes, extended)
    return Item(name, key, reason, ready_at, ready_at, seconds)


def pending(pods: Iterable[Pod], now: float) -> list[Item]:
    """Return the jobs' pods that only lack a node, in the order in which they came."""
    found = []
    for pod in pods:
        if pod.waits_for_node:
            wanted = constraints_of(pod.node_selector, pod.affinity, pod.tolerations)
            item = item_of(pod.size, wanted, name=pod.name, reason=PENDING, ready_at=now, seconds=pod.expected_seconds)
            item.since, item.pod = min(pod.created_at, now), pod
            found.append(item)
    return found


def interrupted(snapshot: Snapshot, bound: dict[str, NodePods], now: float) -> list[Item]:
    """Return the jobs of nodes that the cloud takes away: they will come back as new pods."""
    found = []
    for node in snapshot.nodes:
        if node.interrupted_at is not None and node.name in bound:
            for pod in bound[node.name].jobs:
                # a job that is expected to end before the node goes needs no second place
                if pod.kind == JOB and not (_end(pod, 1.0) or math.inf) <= node.interrupted_at:
                    wanted = constraints_of(pod.node_selector, pod.affinity, pod.tolerations)
                    found.append(
                        item_of(
                            pod.size, wanted, name=pod.name, reason=INTERRUPTION, ready_at=now, seconds=pod.expected_seconds
                        )
                    )
    return found


def upcoming(snapshot: Snapshot, policy: Policy, *, lead_seconds: float, now: float) -> list[Item]:
    """Return the jobs without a pod that become ready within `lead_seconds`, and those that wait in GitLab."""
    found = [*_queued(snapshot, policy, now)]
    if not snapshot.graphs:
        return found
    pods: dict[str, dict[str, Pod]] = {}
    for pod in snapshot.pods:
        if pod.graph:
            pods.setdefault(pod.graph, {})[pod.graph_job] = pod
    for graph in snapshot.graphs:
        if graph.digest in pods:
            found += _of_graph(graph, pods[graph.digest], until=now + lead_seconds, now=now)
    return found


def expected_end(pod: Pod, look_ahead: LookAhead, now: float) -> float:
    """Return when a running pod is expected to leave its room; infinity if that is not known, or is over."""
    end = _end(pod, look_ahead.end_factor) if look_ahead.end_factor > 0 else None
    return end if end is not None and end > now else math.inf


def _end(pod: Pod, factor: float) -> float | None:
    return pod.bound_at + factor * pod.expected_seconds if pod.bound_at and pod.expected_seconds is not None else None


def _queued(snapshot: Snapshot, policy: Policy, now: float) -> Iterator[Item]:
    slot = policy.pools[0].slot if policy.pools else Size()
    for job in snapshot.queued:
        wanted = constraints_of(job.node_selector, (), job.tolerations)
        yield item_of(
            job.size or slot, wanted, name=job.name or job.id, reason=LOOK_AHEAD, ready_at=now, seconds=job.expected_seconds
        )


def _of_graph(graph: Graph, pods: dict[str, Pod], *, until: float, now: float) -> Iterator[Item]:
    """Yield the graph's jobs that become ready in time: they need one that runs, and all else that they need has ended.

    A job whose needs have all ended is not among them: its pod is there, or never comes because one of them failed.
    """
    index = _index(graph)
    running: dict[str, float] = {}
    for key, pod in pods.items():
        end = _end(pod, 1.0) if pod.node else None
        if end is not None and end <= until:
            running[key] = max(end, now)  # one that is overdue may end at any moment
    if not running:
        return
    sample = next(iter(pods.values()))
    wanted = constraints_of(sample.node_selector, sample.affinity, sample.tolerations)
    seen: set[str] = set()
    for key in running:
        for child in index.dependents.get(key, ()):
            if child in seen or child in graph.done or child in graph.unknown or child in pods:
                continue
            seen.add(child)
            job = index.jobs[child]
            ready = _ready_at(job, graph, index, running, now)
            if ready is not None:
                yield item_of(
                    job.size, wanted, name=job.name or child, reason=LOOK_AHEAD, ready_at=ready, seconds=job.expected_seconds
                )


def _ready_at(job: GraphJob, graph: Graph, index: "_Index", running: dict[str, float], now: float) -> float | None:
    """Return when the last job that it needs is expected to end; None if that is not known, or too late."""
    ready = now
    for need in job.needs:
        if need in graph.done or need not in index.jobs:
            continue
        end = running.get(need)
        if end is None or need in graph.unknown:
            return None
        ready = max(ready, end)
    return ready


@dataclass(frozen=True, slots=True)
class _Index:
    graph: Graph
    jobs: dict[str, GraphJob]
    dependents: dict[str, list[str]]


_INDEXES: dict[int, _Index] = {}
_MOST_INDEXES = 256


def _index(graph: Graph) -> _Index:
    """Return a graph's jobs and dependents; kept by the identity of its jobs, which never change."""
    kept = _INDEXES.get(id(graph.jobs))
    if kept is not None and kept.graph.jobs is graph.jobs:
        return kept
    dependents: dict[str, list[str]] = {}
    for job in graph.jobs:
        for need in job.needs:
            dependents.setdefault(need, []).append(job.key)
    if len(_INDEXES) >= _MOST_INDEXES:
        _INDEXES.clear()
    index = _INDEXES[id(graph.jobs)] = _Index(graph, {job.key: job for job in graph.jobs}, dependents)
    return index
