"""What our requests for cores would have meant on the traces: core-hours asked for, and run time.

No trace says how a task runs on other cores than it had, so two models are stated. Both let a task run as measured on as
many cores as its user asked for, and give it no more than it asks for. `work`: its CPU seconds stay, and on fewer cores than
it used on average it takes so much longer. `phases`: the same average came from times on one core and times on all; only the
latter take longer, from the first core that is missing. The truth lies between them.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count

from sizing.observations import Observation, PolicySettings
from sizing.policies.cores import millicores
from sizing.replay import Past

Slowdown = Callable[[Observation, float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreHours:
    """Sums over tasks."""

    users: float
    """Asked for by the tasks' users: cores × measured run time."""
    asked: float
    """Asked for by us: cores × modeled run time."""
    measured_hours: float
    modeled_hours: float


def core_hours(tasks: Iterable[Observation], slowdown: Slowdown) -> CoreHours:
    """Replay in order of submission, as for memory."""
    settings = PolicySettings()
    past, running, order = Past(), list[tuple[float, int, Observation]](), count()
    known: dict[str, tuple[int, int]] = {}
    users = asked = measured = modeled = 0.0
    for seen in sorted(tasks, key=lambda seen: seen.submitted):
        while running and running[0][0] <= seen.submitted:
            past.add(heapq.heappop(running)[-1])
        heapq.heappush(running, (seen.ended, next(order), seen))
        ended, users_cores = len(past.of(seen.keys[0])), (seen.asked_cpu_millicores or 1000) / 1000
        if known.get(seen.keys[0], (-1, 0))[0] != ended:
            found = millicores(past.evidence(seen), now=seen.submitted, settings=settings)
            known[seen.keys[0]] = ended, found or 0
        cores = known[seen.keys[0]][1] / 1000 or users_cores
        hours = (seen.wall_seconds or 0.0) / 3600
        users += users_cores * hours
        measured += hours
        modeled += hours * slowdown(seen, cores)
        asked += cores * hours * slowdown(seen, cores)
    return CoreHours(users=users, asked=asked, measured_hours=measured, modeled_hours=modeled)


def by_work(seen: Observation, cores: float) -> float:
    """Return by which factor a task takes longer if its CPU seconds stay."""
    had = (seen.asked_cpu_millicores or 1000) / 1000
    return 1.0 if cores >= had else max(1.0, min(seen.mean_cores or 0.0, had) / cores)


def by_phases(seen: Observation, cores: float) -> float:
    """Return by which factor a task takes longer if it used one core for a time and all of its cores for the rest."""
    had = (seen.asked_cpu_millicores or 1000) / 1000
    if cores >= had or had <= 1:
        return 1.0 if cores >= had else by_work(seen, cores)
    parallel = min(1.0, max(0.0, ((seen.mean_cores or 0.0) - 1) / (had - 1)))
    return (1 - parallel) * max(1.0, min(1.0, seen.mean_cores or 0.0) / cores) + parallel * had / cores
