"""What nothing owns: machines without a node, nodes without a machine, orders without an end, pods without a job. Pure."""

from collections.abc import Iterator

from autoscaler.policy import Policy
from autoscaler.scale_plan import DeleteNodeObject, DeletePod, Line, LowerDesired, Note, TerminateInstance
from autoscaler.snapshot import JOB, Launch, PoolState, Snapshot

_FEW_MACHINES = 2
"""So many may always be ended: of three machines one is a third."""


def lines(snapshot: Snapshot, policy: Policy, now: float) -> Iterator[Line]:
    """Yield what is cleaned up. Call it only if all inputs are fresh."""
    pools = {pool.name: pool for pool in policy.pools}
    for state in snapshot.pools:
        if state.name in pools and not state.rejected:
            yield from _machines(snapshot, state, policy, now)
            yield from _nodes(snapshot, state)
    for pod in snapshot.pods:
        if pod.kind == JOB and pod.orphaned_since is not None and not pod.is_terminating:
            age = now - pod.orphaned_since
            if age > policy.orphan_seconds:
                message = f"the job of {pod.name} ended {age:.0f} s ago"
                yield DeletePod(namespace=pod.namespace, pod=pod.name, uid=pod.uid, reason="orphan", message=message)


def _machines(snapshot: Snapshot, state: PoolState, policy: Policy, now: float) -> Iterator[Line]:
    timeout = policy.breaker.boot_timeout_seconds
    launches = [one for one in snapshot.launches if one.pool == state.name]
    late = [one for one in launches if now - one.ordered_at > timeout]
    machines = sum(node.pool == state.name for node in snapshot.nodes) + len(launches)
    if not late:
        return
    most = max(_FEW_MACHINES, machines * policy.breaker.most_terminated_percent // 100)
    ended = [one for one in late if one.instance]
    if len(ended) > most:
        of = f"{len(ended)} of {machines} machines of the pool {state.name}"
        message = f"{of} have no node after {timeout:.0f} s: the fault is elsewhere"
        yield Note(subject=state.name, reason="many_without_node", message=message)
        ended = []
    for one in ended:
        yield _ended(one, now)
    unfulfilled = sum(not one.instance for one in late)
    if unfulfilled and state.desired > machines - unfulfilled:
        message = (
            f"{unfulfilled} orders of the pool {state.name} have not been fulfilled for {timeout:.0f} s: they are given up"
        )
        desired = max(state.least, machines - unfulfilled - len(ended))
        yield LowerDesired(pool=state.name, desired=desired, reason="no_capacity", message=message)


def _ended(launch: Launch, now: float) -> TerminateInstance:
    return TerminateInstance(
        launch=launch.id,
        pool=launch.pool,
        instance=launch.instance,
        reason="no_node",
        message=f"{launch.instance} has no node {now - launch.ordered_at:.0f} s after it was ordered",
    )


def _nodes(snapshot: Snapshot, state: PoolState) -> Iterator[Line]:
    """Yield nodes whose machine is gone. The list of machines must be younger than the node."""
    if state.instances is None:
        return
    there = frozenset(state.instances)
    read_at = snapshot.inputs.get("pools", 0.0)
    for node in snapshot.nodes:
        gone = node.instance and node.instance not in there and not node.is_ready
        if gone and node.pool == state.name and node.created_at < read_at:
            yield DeleteNodeObject(
                node=node.name,
                pool=node.pool,
                reason="instance_gone",
                message=f"the machine {node.instance} of {node.name} is gone; its jobs are lost",
            )
