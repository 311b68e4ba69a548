"""Our controller in the simulation: what it sees as a Snapshot, `decide`, and what `apply` would do with the plan."""

import time

import msgspec

from autoscaler.deciding.decide import decide
from autoscaler.deciding.places import templates
from autoscaler.policy import Policy
from autoscaler.scale_plan import CordonNode, LaunchNodes, Line, RemoveNode, ScalePlan, TerminateInstance, UncordonNode
from autoscaler.simulator.world import SimJob, SimNode, World
from autoscaler.snapshot import (
    Cordon,
    Graph,
    GraphJob,
    Launch,
    LaunchFault,
    Ledger,
    Node,
    Pod,
    PoolState,
    Size,
    Snapshot,
    Toleration,
)

_FAULTS_SECONDS = 3600.0
_ANY_TAINT = (Toleration(operator="Exists"),)
_INPUTS = ("pods", "nodes", "pools", "graphs", "gitlab")


class Ours:
    """A controller that calls `decide` once in each tick of its own."""

    def __init__(self, policy: Policy) -> None:
        """It has seen nothing."""
        self.policy = policy
        self.plans: list[ScalePlan] = []
        """The last plan."""
        self._ledger = Ledger()
        self._next = 0.0
        self._nodes: dict[str, tuple[int, Node]] = {}
        self._pods: dict[int, tuple[int, str, Pod]] = {}
        self._graphs: list[Graph] = []
        self._templates = templates(policy, (), {})

    def act(self, world: World) -> None:
        """Decide and carry out, if a tick is due."""
        if world.now < self._next:
            return
        self._next = world.now + self.policy.tick_seconds
        if not world.nodes and not world.pending and not world.running:
            return
        snapshot = self.snapshot(world)
        began = time.process_time()
        plan = decide(snapshot, self.policy, world.now)
        world.totals.decide_seconds = max(world.totals.decide_seconds, time.process_time() - began)
        self._ledger = plan.ledger
        self.plans[:] = [plan]
        for line in plan.lines:
            self._apply(world, line)

    def snapshot(self, world: World) -> Snapshot:
        """Return what a controller sees now."""
        nodes, launches = [], []
        names: dict[str, list[str]] = {pool.name: [] for pool in self.policy.pools}
        for node in world.nodes.values():
            names[node.template.pool.name].append(node.name)
            if node.ready_at:
                nodes.append(self._node(node))
            else:
                kind = node.template
                launches.append(
                    Launch(
                        id=node.name, pool=kind.pool.name, type=kind.type.name, zone=kind.zone, ordered_at=node.ordered_at,
                        instance=node.name,
                    )
                )  # fmt: skip
        pods = [self._pod(job) for job in (*world.running.values(), *world.pending)]
        faults = tuple(
            LaunchFault(at=at, type=kind, zone=zone) for at, kind, zone in world.faults if at > world.now - _FAULTS_SECONDS
        )
        return Snapshot(
            taken_at=world.now,
            inputs=dict.fromkeys(_INPUTS, world.now),
            pods=tuple(pods),
            nodes=tuple(nodes),
            launches=tuple(launches),
            pools=tuple(
                PoolState(name=pool, desired=len(some), instances=tuple(some), faults=faults) for pool, some in names.items()
            ),
            graphs=tuple(self._seen_graphs(world)),
            ledger=self._ledger,
        )

    def _node(self, node: SimNode) -> Node:
        kept = self._nodes.get(node.name)
        if kept and kept[0] == node.changed:
            return kept[1]
        kind = node.template
        seen = Node(
            name=node.name, pool=kind.pool.name, type=kind.type.name, zone=kind.zone, instance=node.name,
            created_at=node.ordered_at, allocatable=Size(cpu_millicores=kind.cpu, memory_bytes=kind.memory),
            labels=kind.labels, taints=kind.pool.taints, is_unschedulable=node.cordoned_at is not None,
            cordon=None if node.cordoned_at is None or node.lost_at is not None else Cordon(at=node.cordoned_at),
            interrupted_at=node.lost_at,
        )  # fmt: skip
        self._nodes[node.name] = (node.changed, seen)
        return seen

    def _pod(self, job: SimJob) -> Pod:
        where = job.node.name if job.node else ""
        kept = self._pods.get(id(job))
        if kept and kept[:2] == (job.attempt, where):
            return kept[2]
        seen = Pod(
            uid=f"{job.pipeline}/{job.spec.key}/{job.attempt}", name=job.name, node=where,
            phase="Running" if where else "Pending",
            size=Size(cpu_millicores=job.cpu, memory_bytes=job.memory), created_at=job.ready_at,
            bound_at=job.started_at if where else 0.0, graph=self._digest(job.pipeline), graph_job=job.spec.key,
            expected_seconds=job.spec.expected_seconds, tolerations=_ANY_TAINT,
        )  # fmt: skip
        self._pods[id(job)] = (job.attempt, where, seen)
        return seen

    def _digest(self, pipeline: int) -> str:
        return f"graph-{pipeline}"

    def _seen_graphs(self, world: World) -> list[Graph]:
        if not self._graphs:
            self._graphs = [
                Graph(
                    digest=self._digest(index),
                    jobs=tuple(
                        GraphJob(
                            key=job.spec.key, name=job.spec.name, needs=job.spec.needs, size=job.spec.size,
                            expected_seconds=job.spec.expected_seconds,
                        )
                        for job in jobs
                    ),
                )
                for index, jobs in enumerate(world.jobs)
            ]  # fmt: skip
        for index, graph in enumerate(self._graphs):
            if len(graph.done) != len(world.done[index]):
                self._graphs[index] = msgspec.structs.replace(graph, done=frozenset(world.done[index]))
        return self._graphs

    def _apply(self, world: World, line: Line) -> None:
        """Carry out one line, as the service does: before a removal the node's pods are listed anew."""
        match line:
            case LaunchNodes(type=kind, zone=zone, count=count):
                world.order(self._templates[line.pool, kind, zone], count)
            case CordonNode(node=name) if name in world.nodes:
                world.cordon(world.nodes[name])
            case UncordonNode(node=name) if name in world.nodes:
                world.uncordon(world.nodes[name])
            case RemoveNode(node=name) if name in world.nodes:
                node = world.nodes[name]
                if node.jobs:
                    world.totals.aborted_removals += 1
                    world.uncordon(node)
                else:
                    world.remove(node)
            case TerminateInstance(instance=name) if name in world.nodes and not world.nodes[name].ready_at:
                world.remove(world.nodes[name])
            case _:
                pass
