"""Why each job's pod waits, in a word of the annotation `spack-farm.io/waiting`, and what is to be expected. Pure.

Every job's pod that has no node, or whose containers cannot start, has exactly one reason. `fits_no_type` ends a job: it is
said only of a pod that no node could take, of those that can be ordered and of those that are there.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from autoscaler.deciding.demand import Item, Key
from autoscaler.deciding.matching import Constraints, selects, untolerated
from autoscaler.deciding.placement import Placement
from autoscaler.deciding.places import Place, Template
from autoscaler.scale_plan import Waiting, WaitReason
from autoscaler.snapshot import JOB, Node, Pod
from executor.units import in_cores, in_gib

_UNCERTAIN = "nothing is ordered now: what is there is not known well enough"
_NOT_DUE = "no order is due for it now"
_ELSEWHERE = "another autoscaler orders the nodes; this one knows none that takes it"


class Why(NamedTuple):
    """Why a pod waits."""

    reason: WaitReason
    detail: str
    expected_start: float | None = None
    exceeds: tuple[str, ...] = ()


class Known(NamedTuple):
    """What reasons depend on besides the placement."""

    templates: Sequence[Template]
    nodes: Iterable[Node]
    met: Mapping[str, str]
    """Bound -> message, of what kept orders back."""
    may_order: bool
    """Whether orders are certain now; without that, nothing was tried."""
    orders_all: bool
    """Whether no other autoscaler is in charge of the nodes."""
    dry_run: frozenset[str]
    """Pools in which nothing is really ordered."""


def waiting(pods: Iterable[Pod], placement: Placement, known: Known, *, now: float) -> Iterator[Waiting]:
    """Yield a reason for each job's pod that has no node, and for those that are held back by something else."""
    found = _found(placement, known, now=now)
    for pod in pods:
        why = found.get(pod.uid) or _held_back(pod)
        if why is not None:
            yield Waiting(
                namespace=pod.namespace, pod=pod.name, uid=pod.uid, reason=why.reason, detail=why.detail,
                since=(pod.bound_at if pod.node else 0.0) or pod.created_at, expected_start=why.expected_start,
                exceeds=why.exceeds,
            )  # fmt: skip


def _held_back(pod: Pod) -> Why | None:
    """Return what else than a node a job's pod waits for; None if it does not wait."""
    if pod.kind != JOB or pod.phase != "Pending" or pod.is_terminating:
        return None
    if pod.blocked:
        return Why(pod.blocked, pod.blocked_detail or pod.scheduler_message or f"it waits for its {pod.blocked}")
    if pod.is_gated and not pod.node:
        return Why("unknown", "a scheduling gate holds it back")
    return Why("unknown", pod.blocked_detail) if pod.node and pod.blocked_detail else None


def _found(placement: Placement, known: Known, *, now: float) -> dict[str, Why]:
    """Return reasons by the pods' identities."""
    found: dict[str, Why] = {}
    for item, place in placement.placed:
        if item.pod:
            found[item.pod.uid] = _placed(item.pod, place, known, now)
    for item, place in placement.later:
        if item.pod:
            detail = f"expected to get the room that a job on {place.name} leaves: sooner than a new node"
            found[item.pod.uid] = Why("unknown", detail, place.ready_at)
    capped = _capped(known)
    for item in placement.capped:
        if item.pod:
            found[item.pod.uid] = capped
    reasons: dict[Key, Why] = {}
    for item in placement.impossible:
        if item.pod:
            if item.key not in reasons:
                reasons[item.key] = impossible(item, known)
            found[item.pod.uid] = reasons[item.key]
    return found


def _capped(known: Known) -> Why:
    if not known.may_order:
        return Why("unknown", _UNCERTAIN)
    if not known.orders_all:
        return Why("unknown", _ELSEWHERE)
    return Why("pool_at_limit", "; ".join(known.met.values())) if known.met else Why("unknown", _NOT_DUE)


def _placed(pod: Pod, place: Place, known: Known, now: float) -> Why:
    if place.node is None and place.pool in known.dry_run:
        return Why("unknown", f"the pool {place.pool} is only tried out: no {place.type} is really ordered for it")
    if place.ready_at > now:
        return Why("node_booting", f"{place.type} {place.name} boots for it", place.ready_at)
    unread = f"; it also asks for {', '.join(pod.unread_constraints)}" if pod.unread_constraints else ""
    words = f": {pod.scheduler_message}" if pod.scheduler_message else ""
    return Why("unknown", f"it fits on {place.name}; the scheduler has not bound it{words}{unread}")


def impossible(item: Item, known: Known) -> Why:
    """Return why no machine that can be ordered takes an item: its labels, its size, else a taint."""
    wanted, templates = item.key[0], known.templates
    if not templates:
        return Why("unknown", "no pool is set up: nothing is ordered")
    if not known.orders_all:
        return Why("unknown", _ELSEWHERE)
    matching = [one for one in templates if selects(wanted, one.labels)]
    if not matching:  # nodes with such labels may be another's to order
        labels = ", ".join(f"{key}={value}" for key, value in wanted.selector) or "by its node affinity"
        return Why("unknown", f"it selects nodes {labels}; no pool of this autoscaler has them")
    large = [one for one in matching if not _lacks(item.key, one)]
    if not large:
        return _too_large(item.key, matching, known.nodes)
    taint = untolerated(wanted, large[0].pool.taints)
    name = f"{taint.key}={taint.value}:{taint.effect}" if taint else ""
    return Why("taint", f"it does not tolerate {name} of the pool {large[0].pool.name}")


def _too_large(key: Key, matching: Sequence[Template], nodes: Iterable[Node]) -> Why:
    """Return that no type is large enough; a node that is there, and full now, may be."""
    wanted, cpu, memory, disk, extended = key
    asked = [f"{in_cores(cpu)} cores"] + ([in_gib(memory)] if memory else [])
    asked += [f"{in_gib(disk)} of disk"] if any("ephemeral-storage" in _lacks(key, one) for one in matching) else []
    asked += [f"{amount} {name}" for name, amount in extended]
    ordered = {(one.pool.name, one.type.name): one for one in matching}
    large = next((node for node in nodes if _could_take(key, wanted, node, ordered.get((node.pool, node.type)))), None)
    if large is not None:
        return Why("unknown", f"it asks for {_listed(asked)}; no type has that, so it waits for room on {large.name}")
    best = max(matching, key=lambda one: (-len(_lacks(key, one)), one.memory, one.cpu))
    has = [f"{in_cores(best.cpu)} cores", in_gib(best.memory)]
    has += [f"{in_gib(best.disk)} of disk"] if "ephemeral-storage" in _lacks(key, best) else []
    has += [f"{best.type.allocatable.extended.get(name, 0)} {name}" for name, _ in extended]
    detail = f"it asks for {_listed(asked)}; the largest type, {best.type.name}, has {_listed(has)} for it"
    return Why("fits_no_type", detail, exceeds=_lacks(key, best))


def _could_take(key: Key, wanted: Constraints, node: Node, like: Template | None) -> bool:
    """Return whether a node would take an item if no jobs were on it.

    `like` is what is ordered of its pool and type, if any: of those it is known what DaemonSets take.
    """
    _, cpu, memory, disk, extended = key
    size = node.allocatable
    daemons_cpu = like.type.allocatable.cpu_millicores - like.cpu if like else 0
    daemons_memory = like.type.allocatable.memory_bytes - like.memory if like else 0
    return (
        size.cpu_millicores - daemons_cpu >= cpu
        and size.memory_bytes - daemons_memory >= memory
        and (not size.disk_bytes or size.disk_bytes >= disk)
        and all(size.extended.get(name, 0) >= amount for name, amount in extended)
        and selects(wanted, node.labels)
        and untolerated(wanted, node.taints) is None
        and node.interrupted_at is None
    )


def _lacks(key: Key, one: Template) -> tuple[str, ...]:
    """Return the resources, by their names in Kubernetes, of which a machine has less than an item asks for."""
    _, cpu, memory, disk, extended = key
    short = {"cpu": one.cpu < cpu, "memory": one.memory < memory, "ephemeral-storage": one.disk < disk}
    has = one.type.allocatable.extended
    return (
        *(name for name, is_short in short.items() if is_short),
        *(name for name, amount in extended if has.get(name, 0) < amount),
    )


def _listed(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
