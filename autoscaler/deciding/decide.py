"""`decide(Snapshot, Policy, now) -> ScalePlan`: the same input gives the same plan, in service, replay and simulator.

It knows no cluster and no clock. Each line of a plan carries its reason; what the next decision must remember is in the
plan.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

from autoscaler.deciding import breakers as breaker_rules
from autoscaler.deciding import demand, floor, orphans, scale_in
from autoscaler.deciding.budget import Budget, Machine
from autoscaler.deciding.demand import Item
from autoscaler.deciding.health import health_of
from autoscaler.deciding.matching import Constraints
from autoscaler.deciding.packing import fits
from autoscaler.deciding.placement import Placement, place
from autoscaler.deciding.places import (
    POOL_LABEL,
    NodePods,
    Place,
    Template,
    node_place,
    pods_by_node,
    template_of,
    templates,
)
from autoscaler.deciding.waits import Known, impossible, waiting
from autoscaler.policy import Policy
from autoscaler.scale_plan import LaunchNodes, Line, NodeState, Note, ScalePlan, UncordonNode
from autoscaler.snapshot import Launch, Ledger, Node, PoolState, Snapshot, Toleration

_MOST_NAMES = 20
_LEAD = 0.4
"""Share of the boot time that is looked ahead, as `scripts/bench autoscaler` found it: more waits less and costs more."""
_ANY_TAINT = (Toleration(operator="Exists"),)
_REASONS = (demand.PENDING, demand.INTERRUPTION, demand.LOOK_AHEAD, demand.WARM)
Templates = dict[tuple[str, str, str], Template]


def decide(snapshot: Snapshot, policy: Policy, now: float) -> ScalePlan:
    """Return what is to be done. `now` is the controller's clock; it may be any instant."""
    health = health_of(snapshot, policy, now)
    bound = pods_by_node(snapshot)
    known = templates(policy, snapshot.nodes, bound)
    breakers = breaker_rules.updated(snapshot, policy, now)
    launches = _without_node(snapshot)
    places = {
        node.name: node_place(node, bound.get(node.name), template=template_of(known, node), now=now)
        for node in snapshot.nodes
    }
    machines = list(_machines(snapshot.nodes, launches, known, frozenset(pool.name for pool in policy.pools)))
    budget = Budget(policy, snapshot.pools, machines, breakers=breakers, now=now)
    there = {pool.name: budget.machines(pool.name) for pool in policy.pools}

    pending = demand.pending(snapshot.pods, now)
    items = pending + demand.interrupted(snapshot, bound, now)
    if policy.name == "lookahead" and health.can_look_ahead:
        items += demand.upcoming(snapshot, policy, lead_seconds=_lead(policy), now=now)
    placement = place(
        items,
        list(_floor(policy, snapshot, bound, now)),
        _standing(snapshot.nodes, places),
        _booting(snapshot.nodes, launches, places, known, policy, now),
        list(known.values()),
        policy=policy, budget=budget, bound=bound, opens=health.can_order and policy.name != "counts", now=now,
    )  # fmt: skip
    if policy.name == "counts" and health.can_order:
        _order_by_counts(placement, policy, snapshot, places, known, budget, now)

    idle = scale_in.idle_since(snapshot, bound, now)
    nodes = scale_in.Nodes(
        places=places, bound=bound, idle_since=idle, waiting=pending, rejected=_rejected(snapshot, policy), machines=there
    )
    removing, stays = scale_in.lines(snapshot, policy, nodes, health, now) if policy.mode == "nodes" else ([], {})
    idle |= {line.node: now for line in removing if isinstance(line, UncordonNode)}  # idle anew, before it is cordoned again
    orders = list(_orders(placement, snapshot, there))
    cleaning = list(orphans.lines(snapshot, policy, now)) if health.can_remove and policy.mode == "nodes" else []
    reasons = Known(
        templates=list(known.values()), nodes=snapshot.nodes, met=budget.met, may_order=health.can_order,
        orders_all=policy.mode == "nodes",
        dry_run=frozenset(pool.name for pool in policy.pools if pool.dry_run or policy.dry_run),
    )  # fmt: skip
    return ScalePlan(
        decided_at=now,
        policy=policy.name,
        lines=(*orders, *removing, *cleaning, *health.notes, *_notes(placement, budget, reasons)),
        waiting=tuple(waiting(snapshot.pods, placement, reasons, now=now)),
        nodes=tuple(_states(snapshot, bound, removing, stays)),
        needed_nodes=tuple(
            sorted(
                {
                    where.name
                    for item, where in placement.placed
                    if item.reason == demand.LOOK_AHEAD and where.node and where.node.pool and not where.is_busy
                }
            )
        ),
        dry_run_pools=tuple(pool.name for pool in policy.pools if pool.name in reasons.dry_run),
        ledger=Ledger(
            idle_since=dict(sorted(idle.items())),
            breakers=tuple(breakers.values()),
            ordered_at=now if orders else snapshot.ledger.ordered_at,
        ),
    )


def _lead(policy: Policy) -> float:
    lead = policy.look_ahead.lead_seconds
    return max((pool.boot_seconds for pool in policy.pools), default=0.0) * _LEAD if lead is None else lead


def _without_node(snapshot: Snapshot) -> list[Launch]:
    """Return the orders whose machine has no Node: one that has both counts once."""
    machines = {node.instance for node in snapshot.nodes if node.instance}
    names = {node.name for node in snapshot.nodes}
    return [one for one in snapshot.launches if one.id not in names and not (one.instance and one.instance in machines)]


def _machines(
    nodes: Iterable[Node], launches: Iterable[Launch], known: Templates, pools: frozenset[str]
) -> Iterator[Machine]:
    """Yield each node and booting machine of our pools, whatever its state: all of them cost."""
    for node in nodes:
        if node.pool in pools:
            template = template_of(known, node)
            price = (
                node.price_per_hour if node.price_per_hour is not None else template.type.price_per_hour if template else 0.0
            )
            boots = not node.is_usable and node.unready_since is None
            yield Machine(node.pool, node.type, node.zone, price, node.created_at, boots)
    for one in launches:
        if one.pool in pools:
            template = template_of(known, one)
            yield Machine(
                one.pool, one.type, one.zone, template.type.price_per_hour if template else 0.0, one.ordered_at, boots=True
            )


def _standing(nodes: Iterable[Node], places: dict[str, Place]) -> list[Place]:
    """Return where pods can run now: the fullest nodes first, then idle ones by price, then those that we have cordoned."""
    busy: list[Place] = []
    idle: list[Place] = []
    cordoned: list[Place] = []
    for node in nodes:
        if not (node.is_usable and node.is_ready) or node.interrupted_at is not None:
            continue
        one = places[node.name]
        if not node.is_unschedulable:
            (busy if one.is_busy else idle).append(one)
        elif node.cordon is not None and node.pool:
            cordoned.append(one)
    busy.sort(key=lambda one: (one.cpu, one.name))
    idle.sort(key=lambda one: (one.price, one.name))
    cordoned.sort(key=lambda one: (one.price, one.name))
    return busy + idle + cordoned


def _booting(  # noqa: PLR0913, PLR0917  all that a booting machine is known by
    nodes: Iterable[Node], launches: Iterable[Launch], places: dict[str, Place], known: Templates, policy: Policy, now: float
) -> list[tuple[Template, Place]]:
    """Return what will be usable soon. What is late counts no more: it may never come."""
    timeout = policy.breaker.boot_timeout_seconds
    found = []
    for node in nodes:
        template = template_of(known, node)
        boots = (
            not node.is_usable and node.unready_since is None and not node.is_unschedulable and node.interrupted_at is None
        )
        if boots and template and now - node.created_at <= timeout:
            found.append((template, places[node.name]))
    for one in launches:
        template = template_of(known, one)
        if template and now - one.ordered_at <= timeout:
            found.append((template, template.place(one.id, ready_at=max(now, one.ordered_at + template.pool.boot_seconds))))
    return found


def _floor(policy: Policy, snapshot: Snapshot, bound: dict[str, NodePods], now: float) -> Iterator[Item]:
    """Yield the slots that warm floors keep free now."""
    slots = floor.slots(policy, snapshot, bound, now)
    for pool in policy.pools:
        wanted = Constraints(selector=((POOL_LABEL, pool.name),), tolerations=_ANY_TAINT)
        for number in range(slots.get(pool.name, 0)):
            name = f"slot {number + 1} of the warm floor of {pool.name}"
            yield demand.item_of(pool.slot, wanted, name=name, reason=demand.WARM, ready_at=now, seconds=None)


def _order_by_counts(  # noqa: PLR0913, PLR0917  all that the policy `counts` counts
    placement: Placement,
    policy: Policy,
    snapshot: Snapshot,
    places: dict[str, Place],
    known: Templates,
    budget: Budget,
    now: float,
) -> None:
    """Order by three numbers, deployed, busy and pending: a node for `jobs_per_node` pending jobs that have no empty node.

    Machines that boot count as empty. All orders are of the first type that takes the first pending job.
    """
    impossible_items = set(map(id, placement.impossible))
    wanted = [item for item, _ in placement.placed if item.pod] + placement.capped
    wanted = [item for item in wanted if item.pod and id(item) not in impossible_items]
    boots = sum(not node.is_usable and node.unready_since is None for node in snapshot.nodes if node.pool)
    boots += len(_without_node(snapshot))
    empty = sum(bool(node.pool) and node.is_usable and not places[node.name].is_busy for node in snapshot.nodes)
    need = math.ceil(len(wanted) / max(1, policy.counts.jobs_per_node)) - empty - boots
    if need <= 0 or now - snapshot.ledger.ordered_at < policy.counts.wait_seconds:
        return
    template = next(
        (one for one in known.values() if fits(wanted[0].key, one.place("", ready_at=0.0)) and budget.room(one)), None
    )
    if template is None:
        return
    for number in range(min(need, budget.room(template))):
        machine = template.place(f"new-{number:05}", ready_at=now + template.pool.boot_seconds)
        budget.take(template, 1)
        placement.orders.append((template, machine))


def _orders(placement: Placement, snapshot: Snapshot, there: dict[str, int]) -> Iterator[LaunchNodes]:
    """Yield a line for each kind of machine that is ordered."""
    states = {state.name: state for state in snapshot.pools}
    desired = {name: states[name].desired if name in states else count for name, count in there.items()}
    on: dict[str, list[Item]] = {}
    for item, where in placement.placed:
        if where.node is None:
            on.setdefault(where.name, []).append(item)
    kinds: dict[tuple[str, str, str], tuple[int, list[Item]]] = {}
    for template, machine in placement.orders:
        key = (template.pool.name, template.type.name, template.zone)
        count, items = kinds.get(key, (0, []))
        kinds[key] = (count + 1, items + on.get(machine.name, []))
    for (pool, kind, zone), (count, items) in kinds.items():
        desired[pool] += count
        reason = min((item.reason for item in items), key=_REASONS.index, default="policy")
        names = tuple(item.name for item in items[:_MOST_NAMES])
        yield LaunchNodes(
            pool=pool, type=kind, zone=zone, count=count, desired=desired[pool], reason=reason,
            message=f"{count} {kind} for {_named(items)}", pods=names,
        )  # fmt: skip


def _named(items: Sequence[Item]) -> str:
    if not items:
        return "pending jobs"
    counts = {reason: sum(item.reason == reason for item in items) for reason in _REASONS}
    words = {
        demand.PENDING: "that wait",
        demand.INTERRUPTION: "of nodes that the cloud takes away",
        demand.LOOK_AHEAD: "that come soon",
        demand.WARM: "of the warm floor",
    }
    return ", ".join(f"{count} {words[reason]}" for reason, count in counts.items() if count) + f", such as {items[0].name}"


def _notes(placement: Placement, budget: Budget, known: Known) -> Iterator[Note]:
    """Yield why items get nothing, once for each reason."""
    if placement.capped:
        for bound, message in budget.met.items():
            names = f"{len(placement.capped)} jobs wait, such as {placement.capped[0].name}"
            yield Note(subject=bound, reason=bound.partition(" ")[0], message=f"{message}; {names}")
    kinds: dict[object, list[Item]] = {}
    for item in placement.impossible:
        kinds.setdefault(item.key, []).append(item)
    for items in kinds.values():
        why = impossible(items[0], known)
        yield Note(
            subject=items[0].name,
            reason=why.reason,
            message=f"{len(items)} jobs, such as {items[0].name}, fit no node: {why.detail}",
        )


def _rejected(snapshot: Snapshot, policy: Policy) -> dict[str, str]:
    states: dict[str, PoolState] = {state.name: state for state in snapshot.pools}
    found = {}
    for pool in policy.pools:
        state = states.get(pool.name)
        reason = state.rejected if state else "its state was not read"
        if reason:
            found[pool.name] = reason
    return found


def _states(
    snapshot: Snapshot, bound: dict[str, NodePods], removing: Iterable[Line], stays: dict[str, str]
) -> Iterator[NodeState]:
    """Yield one word and one reason for each node."""
    going = {line.node: line.message for line in removing if hasattr(line, "node")}
    for node in snapshot.nodes:
        held = bound.get(node.name)
        reason = going.get(node.name) or stays.get(node.name, "")
        if not node.pool:
            yield NodeState(node=node.name, state="foreign", reason="it is in no pool of ours")
        elif held and held.jobs:
            yield NodeState(node=node.name, state="busy", reason=reason)
        elif node.cordon is not None:
            yield NodeState(node=node.name, state="cordoned", reason=reason)
        elif node.is_usable:
            yield NodeState(node=node.name, state="idle", reason=reason)
        else:
            state: str = "booting" if node.unready_since is None else "unusable"
            yield NodeState(node=node.name, state="booting" if state == "booting" else "unusable", reason=reason)
