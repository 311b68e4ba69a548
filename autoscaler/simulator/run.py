"""One simulated run of a controller: ticks until all jobs have ended and no machine is left, then the figures."""

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from autoscaler.simulator.workload import Conditions, Pipeline, drawn
from autoscaler.simulator.world import World

TICK_SECONDS = 5.0
MOST_SECONDS = 14 * 86_400.0
"""A run that is not over by then never is: something fits no machine."""
_AFTER_SECONDS = 1800.0
"""How long a run goes on after the last job: a warm floor keeps its machines for ever."""


class Controller(Protocol):
    """Whatever orders and removes machines."""

    def act(self, world: World) -> None:
        """Look at the world and act, once in each tick."""


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one run. Times are seconds, costs in the prices' currency."""

    cost: float
    idle_cost: float
    mean_wait: float
    p95_wait: float
    makespan: float
    """Mean over pipelines, from submission to the last end."""
    critical_path: float
    """Mean over pipelines: no autoscaler is faster."""
    launched: int
    killed_by_us: int
    lost_jobs: int
    memory_kills: int
    aborted_removals: int
    jobs: int
    is_over: bool
    timeline: tuple[tuple[str, str, float, float, float], ...] = ()
    """Node, type, ordered, usable (0: never), ended."""
    spans: tuple[tuple[str, float, float, float], ...] = ()
    """Node, from, to, share of it that jobs requested."""
    decide_seconds: float = dataclasses.field(default=0.0, compare=False)
    """CPU time of the longest decision of ours; 0 of a controller without one."""


def simulated(  # noqa: PLR0913  all that a run depends on
    pipelines: Sequence[Pipeline],
    controller: Controller,
    conditions: Conditions,
    *,
    placement: str = "most",
    by_rank: bool = False,
    seed: int = 1,
    most_seconds: float = MOST_SECONDS,
    start: float = 0.0,
) -> Result:
    """Run to the end. `placement`: least, most, affinity or align; `by_rank`: the scheduler takes the longest path first.

    `start` is the Unix time at which the run begins: for what holds by hours of the day. Times of the result begin at 0.
    """
    known = [dataclasses.replace(one, at=start + one.at) for one in drawn(pipelines, conditions, seed)]
    world = World(known, conditions, placement=placement, by_rank=by_rank, seed=seed, start=start)
    at = start
    ended_at: float | None = None
    while not world.is_over and at - start < most_seconds and (ended_at is None or at < ended_at + _AFTER_SECONDS):
        world.advance(at)
        world.schedule()
        controller.act(world)
        if ended_at is None and world.has_no_job_left:
            ended_at = at
        at += TICK_SECONDS
    return _result_of(world, known, start)


def _result_of(world: World, pipelines: Sequence[Pipeline], start: float) -> Result:
    """Return the figures; machines that still run cost until now."""
    totals = world.totals
    left = sum(node.template.type.price_per_hour * (world.now - node.ordered_at) / 3600 for node in world.nodes.values())
    paths = [max(one.critical_path().values(), default=0.0) for one in pipelines]
    cost = totals.cost + left
    return Result(
        cost=cost,
        idle_cost=max(0.0, cost - totals.busy_cost),
        mean_wait=statistics.fmean(totals.waits) if totals.waits else 0.0,
        p95_wait=quantile(totals.waits, 0.95),
        makespan=statistics.fmean(totals.makespans) if totals.makespans else 0.0,
        critical_path=statistics.fmean(paths) if paths else 0.0,
        launched=totals.launched,
        killed_by_us=totals.killed_by_us,
        lost_jobs=totals.lost_jobs,
        memory_kills=totals.memory_kills,
        aborted_removals=totals.aborted_removals,
        jobs=sum(len(one.jobs) for one in pipelines),
        is_over=world.has_no_job_left,
        timeline=tuple(
            (name, kind, ordered - start, usable and usable - start, ended - start)
            for name, kind, ordered, usable, ended in totals.timeline
        ),
        decide_seconds=totals.decide_seconds,
        spans=tuple((name, since - start, until - start, share) for name, since, until, share in totals.spans),
    )


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
