"""Snapshots for tests of decisions, and what a cluster looks like once a plan is carried out."""

from typing import Any, TypeVar

import msgspec

from autoscaler.policy import InstanceType, Policy, Pool
from autoscaler.scale_plan import (
    CordonNode,
    DeleteNodeObject,
    DeletePod,
    LaunchNodes,
    Line,
    LowerDesired,
    Note,
    RemoveNode,
    ScalePlan,
    TerminateInstance,
    UncordonNode,
)
from autoscaler.snapshot import Cordon, Launch, Node, Pod, PoolState, Size, Snapshot

NOW = 1_790_000_000.0
GIB = 1 << 30


def size(cores: float, gib: float) -> Size:
    return Size(cpu_millicores=int(cores * 1000), memory_bytes=int(gib * GIB))


def instance_type(name: str, cores: float, gib: float, price: float, **more: Any) -> InstanceType:
    return InstanceType(name=name, allocatable=size(cores, gib), price_per_hour=price, **more)


SMALL, MEDIUM, LARGE = (
    instance_type("small", 4, 16, 0.2),
    instance_type("medium", 8, 32, 0.4),
    instance_type("large", 16, 64, 0.8),
)


def pool(name: str = "linux", *, types: tuple[InstanceType, ...] = (SMALL, MEDIUM, LARGE), **more: Any) -> Pool:
    return Pool(name=name, types=types, **more)


def policy(*pools: Pool, **more: Any) -> Policy:
    return Policy(pools=pools or (pool(),), **more)


def pod(name: str, cores: float = 4, gib: float = 8, *, node: str = "", **more: Any) -> Pod:
    given: dict[str, Any] = {"phase": "Running" if node else "Pending", "created_at": NOW - 30, "size": size(cores, gib)}
    if node:
        given["bound_at"] = NOW - 20
    return Pod(uid=f"uid-{name}", name=name, namespace="jobs", node=node, **given | more)


def node(name: str, kind: InstanceType = MEDIUM, **more: Any) -> Node:
    given: dict[str, Any] = {
        "pool": "linux",
        "type": kind.name,
        "instance": f"i-{name}",
        "created_at": NOW - 3600,
        "allocatable": kind.allocatable,
    }
    return Node(name=name, **given | more)


def cordoned(name: str, kind: InstanceType = MEDIUM, *, age: float = 30.0, **more: Any) -> Node:
    return node(name, kind, is_unschedulable=True, cordon=Cordon(at=NOW - age), **more)


def snapshot(*things: Pod | Node | Launch, now: float = NOW, **more: Any) -> Snapshot:
    """Return a Snapshot with fresh inputs; each pool's state counts its nodes and launches."""
    nodes = tuple(one for one in things if isinstance(one, Node))
    launches = tuple(one for one in things if isinstance(one, Launch))
    given: dict[str, Any] = {
        "taken_at": now,
        "inputs": dict.fromkeys(("pods", "nodes", "pools", "graphs", "gitlab"), now),
        "pods": tuple(one for one in things if isinstance(one, Pod)),
        "nodes": nodes,
        "launches": launches,
        "pools": (state(nodes, launches),),
    }
    return Snapshot(**given | more)


def state(nodes: tuple[Node, ...] = (), launches: tuple[Launch, ...] = (), name: str = "linux", **more: Any) -> PoolState:
    machines = [one.instance for one in nodes if one.pool == name]
    machines += [one.instance for one in launches if one.pool == name]
    given: dict[str, Any] = {"desired": len(machines), "instances": tuple(one for one in machines if one)}
    return PoolState(name=name, **given | more)


Kind = TypeVar("Kind")


def lines_of(plan: ScalePlan, kind: type[Kind]) -> list[Kind]:
    return [line for line in plan.lines if isinstance(line, kind)]


def applied(seen: Snapshot, plan: ScalePlan, *, now: float) -> Snapshot:
    """Return what a cluster looks like right after a plan was carried out, at the same instant."""
    for line in plan.lines:
        seen = _after(seen, line, now)
    return msgspec.structs.replace(seen, ledger=plan.ledger)


def _after(seen: Snapshot, line: Line, now: float) -> Snapshot:
    match line:
        case LaunchNodes():
            new = tuple(
                Launch(
                    id=f"{line.pool}-{line.type}-{line.zone}-{len(seen.launches) + number:04}",
                    pool=line.pool, type=line.type, zone=line.zone, ordered_at=now,
                )
                for number in range(line.count)
            )  # fmt: skip
            return msgspec.structs.replace(_desired(seen, line.pool, line.desired), launches=seen.launches + new)
        case CordonNode():
            mark = None if line.reason == "interruption" else Cordon(at=now)
            return _changed(seen, line.node, is_unschedulable=True, cordon=mark)
        case UncordonNode():
            return _changed(seen, line.node, is_unschedulable=False, cordon=None)
        case RemoveNode() | DeleteNodeObject():
            left = tuple(one for one in seen.nodes if one.name != line.node)
            return msgspec.structs.replace(
                seen,
                nodes=left,
                pods=tuple(one for one in seen.pods if one.node != line.node),
                pools=_without(seen, line.node),
            )
        case TerminateInstance():
            return msgspec.structs.replace(seen, launches=tuple(one for one in seen.launches if one.id != line.launch))
        case DeletePod():
            return msgspec.structs.replace(seen, pods=tuple(one for one in seen.pods if one.uid != line.uid))
        case LowerDesired():
            young = tuple(
                one for one in seen.launches if one.pool != line.pool or one.instance or now - one.ordered_at <= 900
            )
            return msgspec.structs.replace(_desired(seen, line.pool, line.desired), launches=young)
        case Note():
            return seen


def _desired(seen: Snapshot, name: str, desired: int) -> Snapshot:
    pools = tuple(msgspec.structs.replace(one, desired=desired) if one.name == name else one for one in seen.pools)
    return msgspec.structs.replace(seen, pools=pools)


def _without(seen: Snapshot, name: str) -> tuple[PoolState, ...]:
    gone = next((one for one in seen.nodes if one.name == name), None)
    return tuple(
        msgspec.structs.replace(
            one, desired=one.desired - 1, instances=tuple(i for i in one.instances or () if i != gone.instance)
        )
        if gone and one.name == gone.pool
        else one
        for one in seen.pools
    )


def _changed(seen: Snapshot, name: str, **more: Any) -> Snapshot:
    nodes = tuple(msgspec.structs.replace(one, **more) if one.name == name else one for one in seen.nodes)
    return msgspec.structs.replace(seen, nodes=nodes)
