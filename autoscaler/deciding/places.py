"""Where pods could run: nodes, booting machines and new ones, each with the room that is left. Pure.

A place is a working value of one decision: packing takes room off it. What a live node of a type really has overrules what
the settings say of the type, and the pods of DaemonSets that a booting machine will get are taken off beforehand.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from autoscaler.deciding.matching import Constraints, selects, untolerated
from autoscaler.policy import InstanceType, Policy, Pool
from autoscaler.snapshot import DAEMON, PAUSE, Launch, Node, Pod, Size, Snapshot, Taint

TYPE_LABEL, ZONE_LABEL, POOL_LABEL = "node.kubernetes.io/instance-type", "topology.kubernetes.io/zone", "spack-farm.io/pool"
_NO_EXTENDED: dict[str, int] = {}
ANY_DISK = 1 << 62
"""Room of a node whose disk is not known."""


@dataclass(slots=True, eq=False)
class Place:
    """A node or a machine, with the room that is left."""

    name: str
    pool: str
    type: str
    zone: str
    cpu: int
    memory: int
    disk: int
    extended: dict[str, int]
    pods: int
    labels: dict[str, str]
    taints: tuple[Taint, ...]
    ready_at: float
    """When jobs can run there; 0: now."""
    price: float
    node: Node | None = None
    """The node; None of a machine that boots or is to be ordered."""
    is_busy: bool = False
    """Whether a pod blocks its removal."""
    used: int = 0
    """How many items were placed there by this decision."""
    matches: dict[Constraints, bool] = field(default_factory=dict)

    def allows(self, wanted: Constraints) -> bool:
        """Return whether labels and taints let such a pod in."""
        found = self.matches.get(wanted)
        if found is None:
            found = selects(wanted, self.labels) and untolerated(wanted, self.taints) is None
            self.matches[wanted] = found
        return found


@dataclass(frozen=True, slots=True)
class Template:
    """A machine that can be ordered: what a node of it will be."""

    pool: Pool
    type: InstanceType
    zone: str
    cpu: int
    memory: int
    disk: int
    pods: int
    labels: dict[str, str]
    rank: int
    """Position in the settings."""

    def place(self, name: str, *, ready_at: float) -> Place:
        """Return a machine of it."""
        extended = dict(self.type.allocatable.extended) if self.type.allocatable.extended else _NO_EXTENDED
        return Place(
            name, self.pool.name, self.type.name, self.zone, self.cpu, self.memory, self.disk, extended, self.pods,
            self.labels, self.pool.taints, ready_at, self.type.price_per_hour,
        )  # fmt: skip


@dataclass(slots=True)
class NodePods:
    """The pods of one node."""

    jobs: list[Pod] = field(default_factory=list)
    """Jobs and other pods that block its removal."""
    cpu: int = 0
    memory: int = 0
    disk: int = 0
    extended: dict[str, int] = field(default_factory=dict)
    count: int = 0
    daemon_cpu: int = 0
    daemon_memory: int = 0
    daemon_count: int = 0


def pods_by_node(snapshot: Snapshot) -> dict[str, NodePods]:
    """Return what is bound to each node. Pause pods yield to jobs: they take no room."""
    found: dict[str, NodePods] = {}
    for pod in snapshot.pods:
        if not pod.node or pod.phase in {"Succeeded", "Failed"} or pod.kind == PAUSE:
            continue
        seen = found.get(pod.node)
        if seen is None:
            seen = found[pod.node] = NodePods()
        size = pod.size
        seen.cpu += size.cpu_millicores
        seen.memory += size.memory_bytes
        seen.disk += size.disk_bytes
        seen.count += 1
        for name, amount in size.extended.items():
            seen.extended[name] = seen.extended.get(name, 0) + amount
        if pod.kind == DAEMON:
            seen.daemon_cpu += size.cpu_millicores
            seen.daemon_memory += size.memory_bytes
            seen.daemon_count += 1
        else:
            seen.jobs.append(pod)
    return found


def templates(policy: Policy, nodes: Iterable[Node], bound: dict[str, NodePods]) -> dict[tuple[str, str, str], Template]:
    """Return every machine that can be ordered, by pool, type and zone, in the settings' order."""
    seen = _measured(nodes, bound)
    found: dict[tuple[str, str, str], Template] = {}
    for pool in policy.pools:
        for kind in pool.types:
            size, daemons, daemon_count = seen.get((pool.name, kind.name), (kind.allocatable, kind.daemons, 0))
            for zone in pool.zones:
                found[pool.name, kind.name, zone] = Template(
                    pool, kind, zone,
                    max(0, size.cpu_millicores - daemons.cpu_millicores),
                    max(0, size.memory_bytes - daemons.memory_bytes),
                    kind.allocatable.disk_bytes or ANY_DISK,
                    max(0, kind.most_pods - daemon_count),
                    pool.labels | {TYPE_LABEL: kind.name, POOL_LABEL: pool.name} | ({ZONE_LABEL: zone} if zone else {}),
                    len(found),
                )  # fmt: skip
    return found


def with_measured(policy: Policy, snapshot: Snapshot) -> Policy:
    """Return the policy with types as nodes of a Snapshot show them: their allocatable, and what DaemonSets take there."""
    seen = _measured(snapshot.nodes, pods_by_node(snapshot))
    return msgspec.structs.replace(
        policy,
        pools=tuple(
            msgspec.structs.replace(pool, types=tuple(_as_seen(one, seen.get((pool.name, one.name))) for one in pool.types))
            for pool in policy.pools
        ),
    )


def _as_seen(kind: InstanceType, seen: tuple[Size, Size, int] | None) -> InstanceType:
    if seen is None:
        return kind
    size, daemons, count = seen
    # Disk and devices stay those of the settings: templates take them from there, too.
    allocatable = msgspec.structs.replace(
        kind.allocatable, cpu_millicores=size.cpu_millicores, memory_bytes=size.memory_bytes
    )
    return msgspec.structs.replace(kind, allocatable=allocatable, daemons=daemons, most_pods=max(0, kind.most_pods - count))


def _measured(nodes: Iterable[Node], bound: dict[str, NodePods]) -> dict[tuple[str, str], tuple[Size, Size, int]]:
    """Return what live nodes of each pool and type have and what DaemonSets take there: the least and the most seen."""
    found: dict[tuple[str, str], tuple[Size, Size, int]] = {}
    for node in nodes:
        if not (node.pool and node.is_usable and node.is_ready):
            continue
        pods = bound.get(node.name)
        cpu, memory, count = (pods.daemon_cpu, pods.daemon_memory, pods.daemon_count) if pods else (0, 0, 0)
        old = found.get((node.pool, node.type))
        size = node.allocatable
        if old is not None:
            size = Size(
                cpu_millicores=min(size.cpu_millicores, old[0].cpu_millicores),
                memory_bytes=min(size.memory_bytes, old[0].memory_bytes),
            )
            cpu, memory = max(cpu, old[1].cpu_millicores), max(memory, old[1].memory_bytes)
            count = max(count, old[2])
        found[node.pool, node.type] = (size, Size(cpu_millicores=cpu, memory_bytes=memory), count)
    return found


def node_place(node: Node, pods: NodePods | None, *, template: Template | None, now: float) -> Place:
    """Return a node as a place. A node that is not usable yet is ready when its pool's boot time is over."""
    size, boot = node.allocatable, template.pool.boot_seconds if template else 0.0
    held = pods or NodePods()
    cpu, memory, count = size.cpu_millicores - held.cpu, size.memory_bytes - held.memory, node.most_pods - held.count
    if template and not node.is_usable:
        # DaemonSets' pods that it will get and has not got yet
        cpu = min(cpu, template.cpu - held.cpu + held.daemon_cpu)
        memory = min(memory, template.memory - held.memory + held.daemon_memory)
    extended = {name: amount - held.extended.get(name, 0) for name, amount in size.extended.items()}
    price = node.price_per_hour if node.price_per_hour is not None else template.type.price_per_hour if template else 0.0
    return Place(
        node.name, node.pool, node.type, node.zone, cpu, memory,
        size.disk_bytes - held.disk if size.disk_bytes else ANY_DISK, extended or _NO_EXTENDED, count,
        node.labels if POOL_LABEL in node.labels or not node.pool else node.labels | {POOL_LABEL: node.pool}, node.taints,
        0.0 if node.is_usable else max(now, node.created_at + boot), price, node, bool(held.jobs),
    )  # fmt: skip


def template_of(known: dict[tuple[str, str, str], Template], machine: Node | Launch) -> Template | None:
    """Return what the settings say of a machine's type, in whatever zone; None if they do not know the type."""
    found = known.get((machine.pool, machine.type, machine.zone))
    if found is not None or not machine.pool:
        return found
    return next((one for key, one in known.items() if key[:2] == (machine.pool, machine.type)), None)
