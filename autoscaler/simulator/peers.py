"""Other autoscalers, as their sources and documents describe them, in the same simulated cluster. Pure.

Each removes only nodes that are empty: jobs carry `do-not-disrupt` or `safe-to-evict: false`. Models: scaling-and-sizing
7.4. Karpenter: kubernetes-sigs/karpenter, provisioning batches of 1 to 10 s, emptiness with 15 s of validation. Cluster
Autoscaler: kubernetes/autoscaler, one group, scan of 10 s. Escalator: atlassian/escalator, 70 % of requests, lock of 2
minutes.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autoscaler.deciding.places import Template
from autoscaler.simulator.world import SimJob, SimNode, World

_GIVE_UP_SECONDS = 900.0
_FORGET_FAULT_SECONDS = 180.0


def _machines(world: World) -> list[SimNode]:
    return [node for node in world.nodes.values() if node.lost_at is None]


def _give_up(world: World) -> None:
    """End machines that never became nodes: all of them do after 15 minutes."""
    for node in list(world.nodes.values()):
        if not node.ready_at and world.now - node.ordered_at > _GIVE_UP_SECONDS:
            world.remove(node)


def _remove_empty(world: World, *, idle_seconds: float, validation_seconds: float = 0.0, most: int = 10**9) -> None:
    """Remove ready nodes that have been empty for long enough, only while nothing waits."""
    if world.pending:
        return
    empty = [node for node in world.nodes.values() if node.ready_at and not node.jobs and node.lost_at is None]
    due = [node for node in empty if world.now - node.empty_since >= idle_seconds + validation_seconds]
    for node in due[:most]:
        world.remove(node)


@dataclass(slots=True)
class SimpleHeuristic:
    """Deployed, busy, pending: a node for three pending jobs, less the empty ones; these go after 5 minutes."""

    template: Template
    idle_seconds: float = 300.0
    last: float = -math.inf

    def act(self, world: World) -> None:
        """Carry out one tick."""
        _give_up(world)
        empty = sum(not node.jobs for node in _machines(world))
        need = math.ceil(len(world.pending) / 3) - empty
        if need > 0 and world.now - self.last >= 60:
            self.last = world.now
            world.order(self.template, need)
        _remove_empty(world, idle_seconds=self.idle_seconds)


@dataclass(slots=True)
class EscalatorLike:
    """Nodes until 70 % of them are requested; below 40 % empty ones go."""

    template: Template
    last: float = -math.inf

    def act(self, world: World) -> None:
        """Carry out one tick."""
        _give_up(world)
        if world.now - self.last < 120:
            return
        nodes, pending = _machines(world), world.pending
        count = len(nodes)
        cpu = sum(job.cpu for job in pending) + sum(job.cpu for node in nodes for job in node.jobs)
        memory = sum(job.memory for job in pending) + sum(job.memory for node in nodes for job in node.jobs)
        if not count:
            if pending:
                shares = (cpu / self.template.cpu, memory / self.template.memory)
                self._order(world, max(math.ceil(share / 0.7) for share in shares))
            return
        used = max(cpu / (count * self.template.cpu), memory / (count * self.template.memory))
        if used > 0.7 or (pending and all(node.ready_at for node in nodes)):
            self._order(world, max(1, math.ceil(count * (used - 0.7) / 0.7)))
        elif used < 0.4:
            _remove_empty(world, idle_seconds=300, most=5)

    def _order(self, world: World, count: int) -> None:
        self.last = world.now
        world.order(self.template, count)


@dataclass(slots=True)
class PackingLike:
    """First-fit decreasing on what is there and boots; the rest on the types that serve it best for their price."""

    templates: Sequence[Template]
    idle_seconds: float
    validation_seconds: float = 0.0
    batch_seconds: float = 10.0
    last: float = -math.inf

    def act(self, world: World) -> None:
        """Carry out one tick."""
        _give_up(world)
        if world.pending and world.now - self.last >= self.batch_seconds:
            self.last = world.now
            self._provision(world)
        _remove_empty(world, idle_seconds=self.idle_seconds, validation_seconds=self.validation_seconds)

    def _provision(self, world: World) -> None:
        room = [
            [node.cpu, node.memory] for node in _machines(world)
            if node.cordoned_at is None and (node.ready_at or world.now - node.ordered_at < _GIVE_UP_SECONDS)
        ]  # fmt: skip
        rest = []
        for job in sorted(world.pending, key=lambda one: -max(one.cpu / 16_000, one.memory / 64e9)):
            for place in room:
                if place[0] >= job.cpu and place[1] >= job.memory:
                    place[0] -= job.cpu
                    place[1] -= job.memory
                    break
            else:
                rest.append(job)
        failing = {(kind, zone) for at, kind, zone in world.faults if at > world.now - _FORGET_FAULT_SECONDS}
        offered = [one for one in self.templates if (one.type.name, one.zone) not in failing]
        while rest:
            best = min(
                (one for one in (_packed(template, rest) for template in offered) if one),
                key=lambda one: one[0],
                default=None,
            )
            if best is None:
                return
            _, template, taken = best
            world.order(template, 1)
            chosen = set(map(id, taken))
            rest = [job for job in rest if id(job) not in chosen]


def _packed(template: Template, rest: Iterable[SimJob]) -> tuple[float, Template, list[SimJob]] | None:
    """Return the price for what a machine takes of the rest, and what that is; None if it takes nothing."""
    cpu, memory, value = template.cpu, template.memory, 0.0
    taken = []
    for job in rest:
        if job.cpu <= cpu and job.memory <= memory:
            cpu -= job.cpu
            memory -= job.memory
            value += job.cpu / 1000 * 0.0315 + job.memory / (1 << 30) * 0.0045
            taken.append(job)
    return (template.type.price_per_hour / value, template, taken) if taken else None
