"""The simulated cluster: pods are bound, run, end, are killed for memory; machines boot, fail, are taken away, cost.

Time goes in ticks; between two ticks events happen at their exact instants. Controllers see it and act through `order`,
`cordon`, `uncordon` and `remove`. What a removal ends is counted: `killed_by_us` must stay 0. Model: docs/autoscaler.md,
"The simulator".
"""

import heapq
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from autoscaler.deciding.places import Template
from autoscaler.simulator.workload import Conditions, JobSpec, Pipeline

_WINDOW_SECONDS = 600.0
_LEAST_BILLED_SECONDS = 60.0
_KILLED_AT = 0.6
"""Share of its work after which a job that needs more memory than it has is killed."""
_RETRY_SECONDS = 10.0
_SLOT_SECONDS = 900.0
"""Width of what counts as ending together."""
_LARGEST_RETRY_BYTES = 60 * 10**9
"""What a retry after a memory kill asks for at most, unless it needs more: it must fit the nodes of all policies."""
END, READY, NOTICE, LOSS, RETRY, GIVE_UP = range(6)


@dataclass(slots=True, eq=False)
class SimJob:
    """A job in the simulation."""

    spec: JobSpec
    pipeline: int
    order: int
    rank: float
    """Its critical path: longest first where the order is by it."""
    cpu: int
    memory: int
    waits_for: int
    dependents: list["SimJob"] = field(default_factory=list)
    attempt: int = 0
    ready_at: float = 0.0
    node: "SimNode | None" = None
    started_at: float = 0.0
    work_left: float = 0.0
    rate: float = 1.0
    updated_at: float = 0.0
    version: int = 0
    is_done: bool = False

    @property
    def name(self) -> str:
        """Return the name of its pod."""
        return f"{self.pipeline}-{self.spec.name}-{self.attempt}"


@dataclass(slots=True, eq=False)
class SimNode:
    """A machine."""

    name: str
    template: Template
    ordered_at: float
    cpu: int
    memory: int
    cores: float
    ready_at: float = 0.0
    """When it became usable; 0: it has not."""
    never: bool = False
    """It never will."""
    cordoned_at: float | None = None
    lost_at: float | None = None
    """When it is taken away, once that is announced."""
    ended_at: float | None = None
    jobs: list[SimJob] = field(default_factory=list)
    busy: float = 0.0
    empty_since: float = 0.0
    changed: int = 0
    """Rises with each change that a controller can see."""
    share: float = 0.0
    share_since: float = 0.0

    @property
    def is_usable(self) -> bool:
        """Return whether jobs can run there."""
        return bool(self.ready_at) and self.ended_at is None


@dataclass(slots=True)
class Totals:
    """What a run cost and how long jobs waited."""

    cost: float = 0.0
    busy_cost: float = 0.0
    """Of it, by the larger share of CPU and memory that jobs requested."""
    waits: list[float] = field(default_factory=list)
    launched: int = 0
    failed_orders: int = 0
    killed_by_us: int = 0
    lost_jobs: int = 0
    memory_kills: int = 0
    aborted_removals: int = 0
    decide_seconds: float = 0.0
    """CPU time of the longest decision."""
    makespans: list[float] = field(default_factory=list)
    timeline: list[tuple[str, str, float, float, float]] = field(default_factory=list)
    """Node, type, ordered, usable (0: never), ended."""
    spans: list[tuple[str, float, float, float]] = field(default_factory=list)
    """Node, from, to, share of it that jobs requested."""


class World:
    """A cluster. Invariant: a node's room is what it has less what its jobs request."""

    def __init__(  # noqa: PLR0913  all that a run depends on
        self,
        pipelines: Sequence[Pipeline],
        conditions: Conditions,
        *,
        placement: str,
        by_rank: bool,
        seed: int,
        start: float = 0.0,
    ) -> None:
        """Nothing is submitted, no node exists. It begins at the Unix time `start`; chance is the same for all."""
        self.now = self._start = start
        self.conditions, self.placement, self.by_rank = conditions, placement, by_rank
        self.totals = Totals()
        self.nodes: dict[str, SimNode] = {}
        self.pending: list[SimJob] = []
        self.running: dict[int, SimJob] = {}
        self.faults: list[tuple[float, str, str]] = []
        """When an order of which type in which zone was not fulfilled."""
        self._chance = random.Random(f"world {seed}")  # noqa: S311  a simulation, not a secret
        self._seed = seed
        self._events: list[tuple[float, int, int, object, int]] = []
        self._number = 0
        self._pipelines = pipelines
        self._left = [len(one.jobs) for one in pipelines]
        self.jobs = [self._jobs(index, one) for index, one in enumerate(pipelines)]
        self.done: list[set[str]] = [set() for _ in pipelines]
        self._submitted = [False] * len(pipelines)
        self._may_place = True
        self.changes = 0
        """Rises with whatever a controller could act on."""

    def _jobs(self, index: int, pipeline: Pipeline) -> list[SimJob]:
        ranks = pipeline.critical_path()
        by_key: dict[str, SimJob] = {}
        for order, spec in enumerate(pipeline.jobs):
            by_key[spec.key] = SimJob(
                spec,
                index,
                order,
                ranks[spec.key],
                spec.size.cpu_millicores,
                spec.size.memory_bytes,
                0,
                work_left=spec.seconds,
            )
        for job in by_key.values():
            for need in set(job.spec.needs):
                if need in by_key:
                    by_key[need].dependents.append(job)
                    job.waits_for += 1
        return list(by_key.values())

    # time

    @property
    def is_over(self) -> bool:
        """Return whether all jobs have ended and no machine is left."""
        return self.has_no_job_left and not self.nodes

    @property
    def has_no_job_left(self) -> bool:
        """Return whether all jobs have ended."""
        return all(self._submitted) and not any(self._left)

    def advance(self, until: float) -> None:
        """Let time pass to an instant: submissions and events happen in their order."""
        for index, pipeline in enumerate(self._pipelines):
            if not self._submitted[index] and pipeline.at <= until:
                self._submitted[index] = True
                for job in self.jobs[index]:
                    if not job.waits_for:
                        self._ready(job, pipeline.at)
        while self._events and self._events[0][0] <= until:
            at, _, kind, subject, version = heapq.heappop(self._events)
            self.now = max(self.now, at)
            self._happen(kind, subject, version)
        self.now = until

    def _push(self, at: float, kind: int, subject: object, version: int = 0) -> None:
        self._number += 1
        heapq.heappush(self._events, (at, self._number, kind, subject, version))

    def _happen(self, kind: int, subject: object, version: int) -> None:
        if isinstance(subject, SimJob):
            if kind == END and subject.version == version and subject.node:
                self._end(subject)
            elif kind == RETRY:
                self._ready(subject, self.now)
            return
        node = subject
        if not isinstance(node, SimNode) or node.ended_at is not None:
            return
        if kind == READY:
            node.ready_at = node.empty_since = self.now
            self._touch(node)
        elif kind == NOTICE:
            node.lost_at = self.now + self.conditions.notice_seconds
            self._push(node.lost_at, LOSS, node)
            self._touch(node)
        elif kind == LOSS:
            self._lose(node)

    def _touch(self, node: SimNode) -> None:
        node.changed += 1
        self.changes += 1
        self._may_place = True

    # jobs

    def _ready(self, job: SimJob, at: float) -> None:
        job.ready_at = at
        self.pending.append(job)
        self.changes += 1
        self._may_place = True

    def _end(self, job: SimJob) -> None:
        node = job.node
        self._progress(job)
        self._leave(job)
        if node:
            self._slow_down(node)
        short = job.spec.peak_bytes > job.memory
        if short:
            self.totals.memory_kills += 1
            job.memory = max(job.memory, min(2 * job.memory, _LARGEST_RETRY_BYTES))
            job.memory = max(job.memory, job.spec.peak_bytes) if job.memory == _LARGEST_RETRY_BYTES else job.memory
            self._again(job)
            return
        job.is_done = True
        self.done[job.pipeline].add(job.spec.key)
        self._left[job.pipeline] -= 1
        if not self._left[job.pipeline]:
            self.totals.makespans.append(self.now - self._pipelines[job.pipeline].at)
        for dependent in job.dependents:
            dependent.waits_for -= 1
            if not dependent.waits_for:
                self._ready(dependent, self.now)

    def _again(self, job: SimJob) -> None:
        """Try a job once more, from the beginning, as a new pod."""
        job.attempt += 1
        job.work_left = job.spec.seconds
        self._push(self.now + _RETRY_SECONDS, RETRY, job)

    def _leave(self, job: SimJob) -> None:
        node = job.node
        if node is None:
            return
        share = max(job.cpu / max(1, node.template.cpu), job.memory / max(1, node.template.memory))
        self.totals.busy_cost += share * node.template.type.price_per_hour * (self.now - job.started_at) / 3600
        node.jobs.remove(job)
        node.cpu += job.cpu
        node.memory += job.memory
        node.busy -= job.spec.busy_cores
        if not node.jobs:
            node.empty_since, node.busy = self.now, 0.0
        job.node = None
        job.version += 1
        del self.running[id(job)]
        self._note_share(node)
        self._touch(node)

    def _note_share(self, node: SimNode) -> None:
        """Note how full a node was until now, for the picture."""
        if node.share > 0 and self.now > node.share_since:
            self.totals.spans.append((node.name, node.share_since, self.now, node.share))
        room = min(node.cpu / max(1, node.template.cpu), node.memory / max(1, node.template.memory))
        node.share, node.share_since = 1.0 - room if node.jobs else 0.0, self.now

    def _progress(self, job: SimJob) -> None:
        job.work_left -= (self.now - job.updated_at) * job.rate
        job.updated_at = self.now

    def _slow_down(self, node: SimNode) -> None:
        """Set the speed of a node's jobs: together they have no more than its cores."""
        rate = min(1.0, node.cores / node.busy) if node.busy > 0 else 1.0
        for job in node.jobs:
            if job.rate != rate or not job.version:
                self._progress(job)
                job.rate = rate
                self._schedule_end(job)

    def _schedule_end(self, job: SimJob) -> None:
        job.version += 1
        short = job.spec.peak_bytes > job.memory
        left = job.work_left - (1 - _KILLED_AT) * job.spec.seconds if short else job.work_left
        self._push(self.now + max(0.0, left) / job.rate, END, job, job.version)

    # the scheduler

    def schedule(self) -> None:
        """Bind pending jobs to nodes, as the cluster's scheduler does."""
        if not self.pending or not self._may_place:
            return
        self._may_place = False
        self.pending.sort(
            key=(lambda job: (-job.rank, job.order)) if self.by_rank else (lambda job: (job.ready_at, job.order))
        )
        open_nodes = [
            node for node in self.nodes.values() if node.ready_at and node.cordoned_at is None and node.lost_at is None
        ]
        failed: set[tuple[int, int]] = set()
        left = []
        for job in self.pending:
            size = (job.cpu, job.memory)
            node = None if size in failed else self._best(job, open_nodes)
            if node is None:
                failed.add(size)
                left.append(job)
                continue
            self._bind(job, node)
        self.pending = left

    def _best(self, job: SimJob, nodes: Iterable[SimNode]) -> SimNode | None:
        best, best_score = None, 0.0
        cpu, memory = job.cpu, job.memory
        most = self.placement != "least"
        if self.placement in {"align", "affinity"}:
            return self._aligned(job, nodes) if self.placement == "align" else self._beside(job, nodes)
        for node in nodes:
            if node.cpu < cpu or node.memory < memory:
                continue
            score = (node.cpu - cpu) / node.template.cpu + (node.memory - memory) / node.template.memory
            if most:
                score = -score
            if best is None or score > best_score:
                best, best_score = node, score
        return best

    def _aligned(self, job: SimJob, nodes: Iterable[SimNode]) -> SimNode | None:
        """Return the node whose jobs end last enough, by what is expected: the room of longer jobs costs nothing more."""
        best: SimNode | None = None
        best_score = (0, 0.0, 0.0)
        end = self.now + (job.spec.expected_seconds or job.spec.seconds)
        for node in nodes:
            if node.cpu < job.cpu or node.memory < job.memory:
                continue
            last = max(
                (one.started_at + (one.spec.expected_seconds or one.spec.seconds) for one in node.jobs), default=self.now
            )
            free = (node.cpu - job.cpu) / node.template.cpu + (node.memory - job.memory) / node.template.memory
            score = (0 if node.jobs else 1, max(0.0, end - max(last, self.now)) * node.template.type.price_per_hour, free)
            if best is None or score < best_score:
                best, best_score = node, score
        return best

    def _beside(self, job: SimJob, nodes: Iterable[SimNode]) -> SimNode | None:
        """Return the node that the default scheduler takes if pods prefer, softly, those that are expected to end with them.

        Pods carry the quarter of an hour of their expected end as a label, and a preferred pod affinity to it. Source:
        Kubernetes' default plugins and weights (NodeResourcesFit 1, InterPodAffinity 2, scores of 0 to 100).
        """
        slot = self._slot(job, self.now)
        able = [node for node in nodes if node.cpu >= job.cpu and node.memory >= job.memory]
        together = {node.name: sum(self._slot(one, one.started_at) == slot for one in node.jobs) for node in able}
        most = max(together.values(), default=0)
        best, best_score = None, 0.0
        for node in able:
            free = (node.cpu - job.cpu) / node.template.cpu + (node.memory - job.memory) / node.template.memory
            score = 50 * free + (200 * together[node.name] / most if most else 0.0)
            if best is None or score > best_score:
                best, best_score = node, score
        return best

    @staticmethod
    def _slot(job: SimJob, started_at: float) -> int:
        return int((started_at + (job.spec.expected_seconds or job.spec.seconds)) // _SLOT_SECONDS)

    def bind(self, job: SimJob, node: SimNode) -> None:
        """Bind one pending job; for tests that let a pod be bound at any moment."""
        self.pending.remove(job)
        self._bind(job, node)

    def _bind(self, job: SimJob, node: SimNode) -> None:
        self.totals.waits.append(max(0.0, self.now - job.ready_at))
        job.node, job.started_at, job.updated_at, job.rate, job.version = node, self.now, self.now, 0.0, job.version + 1
        node.jobs.append(job)
        node.cpu -= job.cpu
        node.memory -= job.memory
        node.busy += job.spec.busy_cores
        self.running[id(job)] = job
        node.changed += 1
        self.changes += 1
        self._note_share(node)
        self._slow_down(node)

    # machines

    def order(self, template: Template, count: int) -> None:
        """Order machines; what the cloud does not have is not fulfilled."""
        for _ in range(count):
            window = int((self.now - self._start) // _WINDOW_SECONDS)
            luck = random.Random(f"{self._seed} {template.type.name} {template.zone} {window}").random()  # noqa: S311
            if luck < self.conditions.no_capacity:
                self.totals.failed_orders += 1
                self.faults.append((self.now, template.type.name, template.zone))
                continue
            self._launch(template)

    def _launch(self, template: Template) -> None:
        self.totals.launched += 1
        spread = self.conditions.boot_spread
        boot = template.pool.boot_seconds * self._chance.uniform(1 - spread, 1 + spread)
        node = SimNode(
            f"node-{self.totals.launched:05}", template, self.now, template.cpu, template.memory,
            (template.type.allocatable.cpu_millicores + 300) / 1000,
        )  # fmt: skip
        node.never = self._chance.random() < self.conditions.boot_failures
        life = self._chance.expovariate(self.conditions.losses_per_hour / 3600) if self.conditions.losses_per_hour else None
        if not node.never:
            self._push(self.now + boot, READY, node)
        if life is not None:
            self._push(self.now + life, NOTICE, node)
        self.nodes[node.name] = node
        self.changes += 1

    def cordon(self, node: SimNode) -> None:
        """Keep new jobs away."""
        node.cordoned_at = self.now
        self._touch(node)

    def uncordon(self, node: SimNode) -> None:
        """Let jobs in again."""
        node.cordoned_at = None
        self._touch(node)

    def remove(self, node: SimNode) -> None:
        """End a machine, whatever runs there: jobs that it ends are counted as killed by us."""
        self.totals.killed_by_us += len(node.jobs)
        self._stop(node)

    def _lose(self, node: SimNode) -> None:
        self.totals.lost_jobs += len(node.jobs)
        self._stop(node)

    def _stop(self, node: SimNode) -> None:
        for job in list(node.jobs):
            self._leave(job)
            self._again(job)
        node.ended_at = self.now
        seconds = max(_LEAST_BILLED_SECONDS, self.now - node.ordered_at)
        self.totals.cost += node.template.type.price_per_hour * seconds / 3600
        self.totals.timeline.append((node.name, node.template.type.name, node.ordered_at, node.ready_at, self.now))
        del self.nodes[node.name]
        self._touch(node)
