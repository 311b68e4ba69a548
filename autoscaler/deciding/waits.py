"""Why each job's pod waits, in a word of the annotation `spack-farm.io/waiting`, and what is to be expected. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from autoscaler.deciding.demand import Item
from autoscaler.deciding.matching import selects, untolerated
from autoscaler.deciding.placement import Placement
from autoscaler.deciding.places import Place, Template
from autoscaler.scale_plan import Waiting, WaitReason
from autoscaler.snapshot import JOB, Pod
from executor.units import in_cores, in_gib


def waiting(
    pods: Iterable[Pod], placement: Placement, templates: Sequence[Template], *, met: Mapping[str, str], now: float
) -> Iterator[Waiting]:
    """Yield a reason for each job's pod that has no node, and for those that are held back by something else."""
    found = _found(placement, templates, met=met, now=now)
    for pod in pods:
        if pod.kind == JOB and pod.phase == "Pending" and pod.blocked:
            detail = pod.scheduler_message or f"it waits for its {pod.blocked}"
            yield Waiting(
                namespace=pod.namespace, pod=pod.name, uid=pod.uid, reason=pod.blocked, since=pod.created_at, detail=detail
            )
        elif pod.uid in found:
            reason, detail, start = found[pod.uid]
            yield Waiting(
                namespace=pod.namespace, pod=pod.name, uid=pod.uid, reason=reason, since=pod.created_at, detail=detail,
                expected_start=start,
            )  # fmt: skip


def _found(  # noqa: C901  one step for each part of a placement
    placement: Placement, templates: Sequence[Template], *, met: Mapping[str, str], now: float
) -> dict[str, tuple[WaitReason, str, float | None]]:
    """Return reason, message and expected start by the pod's identity."""
    found: dict[str, tuple[WaitReason, str, float | None]] = {}
    for item, place in placement.placed:
        if item.pod:
            found[item.pod.uid] = _placed(item.pod, place, now)
    for item, place in placement.later:
        if item.pod:
            detail = f"expected to get the room that a job on {place.name} leaves: sooner than a new node"
            found[item.pod.uid] = ("unknown", detail, place.ready_at)
    if placement.capped:
        bounds = "; ".join(met.values()) or "orders are not certain now"
        for item in placement.capped:
            if item.pod:
                found[item.pod.uid] = ("pool_at_limit", bounds, None)
    known: dict[object, tuple[WaitReason, str]] = {}
    for item in placement.impossible:
        if item.pod:
            if item.key not in known:
                known[item.key] = impossible(item, templates)
            found[item.pod.uid] = (*known[item.key], None)
    return found


def _placed(pod: Pod, place: Place, now: float) -> tuple[WaitReason, str, float | None]:
    if place.ready_at > now:
        return "node_booting", f"{place.type} {place.name} boots for it", place.ready_at
    unread = f"; it also asks for {', '.join(pod.unread_constraints)}" if pod.unread_constraints else ""
    words = f": {pod.scheduler_message}" if pod.scheduler_message else ""
    return "unknown", f"it fits on {place.name}; the scheduler has not bound it{words}{unread}", now


def impossible(item: Item, templates: Sequence[Template]) -> tuple[WaitReason, str]:
    """Return why no machine that can be ordered takes an item: its taints, else its size or labels."""
    wanted, cpu, memory, disk, extended = item.key
    asked = f"{in_cores(cpu)} cores and {in_gib(memory)}"
    if not templates:
        return "fits_no_type", "no pool is set up"
    large = [
        one for one in templates
        if one.cpu >= cpu and one.memory >= memory and one.disk >= disk
        and all(one.type.allocatable.extended.get(name, 0) >= amount for name, amount in extended)
    ]  # fmt: skip
    if not large:
        best = max(templates, key=lambda one: (one.memory, one.cpu))
        extra = "".join(f" and {amount} {name}" for name, amount in extended)
        most = f"{in_cores(best.cpu)} cores and {in_gib(best.memory)}"
        return "fits_no_type", f"it asks for {asked}{extra}; the largest type, {best.type.name}, has {most} for it"
    matching = [one for one in large if selects(wanted, one.labels)]
    if not matching:
        labels = ", ".join(f"{key}={value}" for key, value in wanted.selector) or "by its node affinity"
        return "fits_no_type", f"it selects nodes {labels}; no pool with {asked} for it has such labels"
    taint = untolerated(wanted, matching[0].pool.taints)
    name = f"{taint.key}={taint.value}:{taint.effect}" if taint else ""
    return "taint", f"it does not tolerate {name} of the pool {matching[0].pool.name}"
