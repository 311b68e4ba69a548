"""Which nodes go, in two phases, and which of our cordons are taken back. Pure.

First phase: a node without a job, idle for long enough and needed by nothing is cordoned. Second phase, at least
`confirm_seconds` later and on lists of pods and nodes read since: still no job on it, so it is removed. In all doubt the
cordon is taken back; that ends no job. A node is never removed on one look.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autoscaler.deciding.demand import Item
from autoscaler.deciding.health import FUTURE_SECONDS, Health
from autoscaler.deciding.packing import fits
from autoscaler.deciding.places import NodePods, Place
from autoscaler.policy import Policy
from autoscaler.scale_plan import CordonNode, Line, RemoveNode, UncordonNode
from autoscaler.snapshot import Node, Snapshot


@dataclass(frozen=True, slots=True)
class Nodes:
    """Our nodes as this decision sees them."""

    places: dict[str, Place]
    """By name, as packing left them: `used` says whether something is to run there."""
    bound: dict[str, NodePods]
    """Pods by node."""
    idle_since: dict[str, float]
    """Nodes without a job, and since when."""
    waiting: Sequence[Item]
    """Jobs' pods that wait for a node."""
    rejected: dict[str, str]
    """Pools with which nothing may be done, and why."""
    machines: dict[str, int]
    """Pool -> its nodes and booting machines, without orders of this decision."""


def idle_since(snapshot: Snapshot, bound: dict[str, NodePods], now: float) -> dict[str, float]:
    """Return since when each of our nodes is seen without a job. A node that was not seen before is idle from now on."""
    found = {}
    for node in snapshot.nodes:
        held = bound.get(node.name)
        if node.pool and not (held and held.jobs):
            since = snapshot.ledger.idle_since.get(node.name, now)
            found[node.name] = min(since, now)  # a ledger from a clock that ran ahead
    return found


def lines(snapshot: Snapshot, policy: Policy, nodes: Nodes, health: Health, now: float) -> tuple[list[Line], dict[str, str]]:
    """Return the lines of scale-in, and for each of our nodes without a line why it stays."""
    found: list[Line] = []
    stays: dict[str, str] = {}
    left = dict(nodes.machines)
    cordoned = 0
    blocks = _blocking(nodes.waiting, policy, now)
    ours = [node for node in snapshot.nodes if node.pool in left]
    for node in ours:
        if node.cordon is not None:
            line = _second_phase(node, snapshot, policy, nodes, health, left, blocks, now)
            found.append(line) if line else stays.setdefault(node.name, "cordoned: waits for the second look")
            cordoned += not isinstance(line, UncordonNode)
            left[node.pool] -= not isinstance(line, UncordonNode)
    for node in ours:
        if node.interrupted_at is not None and not node.is_unschedulable:
            message = (
                f"the cloud takes {node.name} away in {max(0.0, node.interrupted_at - now):.0f} s: no job is to start there"
            )
            found.append(CordonNode(node=node.name, pool=node.pool, reason="interruption", message=message))
    for node in sorted(ours, key=lambda one: (nodes.idle_since.get(one.name, now), one.name)):
        if node.cordon is not None:
            continue
        reason = _stays(node, policy, nodes, left, blocks, now) or _late(health, cordoned, policy)
        if reason:
            stays[node.name] = reason
            continue
        cordoned += 1
        left[node.pool] -= 1
        idle = now - nodes.idle_since[node.name]
        kind = "idle" if node.is_usable else "never_usable"
        message = f"{node.name} has had no job for {idle:.0f} s, and nothing that is expected needs it"
        if kind == "never_usable":
            message = f"{node.name} is not usable {now - node.created_at:.0f} s after it was created"
        found.append(CordonNode(node=node.name, pool=node.pool, reason=kind, message=message))
    return found, stays


def _late(health: Health, cordoned: int, policy: Policy) -> str:
    if not health.can_remove:
        return "an input is missing or stale, or too many nodes are not ready: nothing is removed"
    if cordoned >= policy.scale_in.most_nodes:
        return f"{cordoned} nodes are being removed, scale_in.most_nodes is {policy.scale_in.most_nodes}"
    return ""


def _second_phase(  # noqa: PLR0913, PLR0917  a node and all that may save it
    node: Node,
    snapshot: Snapshot,
    policy: Policy,
    nodes: Nodes,
    health: Health,
    left: dict[str, int],
    blocks: Sequence[Item],
    now: float,
) -> Line | None:
    """Return what happens with a node that we have cordoned; None: it waits."""
    cordon, settings = node.cordon, policy.scale_in
    if cordon is None or node.interrupted_at is not None:  # the cloud takes it away: no job is to start there
        return None
    age = now - cordon.at

    def undo(reason: str, message: str) -> UncordonNode:
        return UncordonNode(node=node.name, pool=node.pool, reason=reason, message=f"{node.name}: {message}")

    held = nodes.bound.get(node.name)
    if held and held.jobs:
        return undo("job_found", f"{held.jobs[0].name} runs there; it was bound before the cordon held")
    if not node.is_unschedulable:
        return undo("no_longer_wanted", "somebody has uncordoned it: our mark is taken off")
    if age > settings.cordon_seconds or age < -FUTURE_SECONDS:
        return undo("cordon_too_old", f"our cordon is of {age:.0f} s ago; nothing has come of it")
    if node.name in nodes.places and nodes.places[node.name].used:
        return undo("needed", "jobs need it again")
    if reason := _stays(node, policy, nodes, left, blocks, now):
        return undo("no_longer_wanted", reason)
    seen = min(snapshot.inputs.get("pods", 0.0), snapshot.inputs.get("nodes", 0.0))
    if not health.can_remove or age < settings.confirm_seconds or seen < cordon.at + settings.confirm_seconds:
        return None
    message = f"{node.name} is cordoned for {age:.0f} s and has no job"
    return RemoveNode(
        node=node.name,
        pool=node.pool,
        instance=node.instance,
        reason="idle" if node.is_usable else "never_usable",
        message=message,
    )


def _stays(  # noqa: C901, PLR0913, PLR0917  a node and all that may save it: one guard each
    node: Node, policy: Policy, nodes: Nodes, left: dict[str, int], blocks: Sequence[Item], now: float
) -> str:
    """Return why a node is not to be removed; "" if nothing speaks for it."""
    held = nodes.bound.get(node.name)
    if held and held.jobs:
        return f"busy: {len(held.jobs)} pods, such as {held.jobs[0].name}"
    if node.is_kept:
        return "its annotation spack-farm.io/keep keeps it"
    if node.interrupted_at is not None:
        return "the cloud takes it away"
    if node.is_unschedulable and node.cordon is None:
        return "somebody else has cordoned it"
    if node.pool in nodes.rejected:
        return f"nothing is done with the pool {node.pool}: {nodes.rejected[node.pool]}"
    timeout = policy.breaker.boot_timeout_seconds
    if not node.is_usable and now - (node.unready_since or node.created_at) < timeout:
        return "it boots" if node.unready_since is None else "it is not ready; it may come back"
    pool = next(one for one in policy.pools if one.name == node.pool)
    if left[node.pool] - 1 < pool.least_nodes:
        return f"least_nodes of the pool {pool.name} is {pool.least_nodes}"
    if node.cordon is None:
        idle = now - nodes.idle_since.get(node.name, now)
        if idle < policy.scale_in.idle_seconds:
            return f"idle for {idle:.0f} s, scale_in.idle_seconds is {policy.scale_in.idle_seconds:g}"
        if node.name in nodes.places and nodes.places[node.name].used:
            return f"{nodes.places[node.name].used} jobs that wait, come soon or belong to the warm floor need it"
    if blocks and node.is_usable and (item := _blocked_by(node, nodes, blocks)):
        return f"{item.name} waits and could run there"
    return ""


def _blocking(waiting: Iterable[Item], policy: Policy, now: float) -> list[Item]:
    """Return one of each kind of pods that wait. One that waits for ages although it fits is held back by something else."""
    found: dict[object, Item] = {}
    for item in waiting:
        if now - item.since <= policy.breaker.boot_timeout_seconds:
            found.setdefault(item.key, item)
    return list(found.values())


def _blocked_by(node: Node, nodes: Nodes, blocks: Iterable[Item]) -> Item | None:
    place = nodes.places.get(node.name)
    if place is None:
        return None
    return next((item for item in blocks if fits(item.key, place)), None)
