"""How long the jobs of a graph take, and what they cost: levels, the critical path, the sum. Pure."""

from collections.abc import Sequence

import msgspec

from pipelines.inside.graph import in_order, levels
from pipelines.job_graph import Job, JobGraph

UNKNOWN_SECONDS = 60.0
"""What a job without a measured time counts; the generator orders jobs by the same number."""
_GIB = 1 << 30
_HOUR = 3600.0


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What an hour costs, in any currency."""

    core_hour: float = 0.0
    """Of one core."""
    gib_hour: float = 0.0
    """Of one GiB of memory."""


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """The time of a graph's jobs, if every job starts as soon as what it needs has ended."""

    levels: dict[str, int]
    """How many jobs come before each one, on the longest way to it."""
    path: list[str]
    """Keys of the critical path, the first job first."""
    path_seconds: float
    """From the first start to the last end."""
    total_seconds: float
    """Of all jobs, one after the other."""
    unmeasured: int
    """Jobs without a measured time."""
    core_hours: float
    """Cores that are asked for, times hours."""
    gib_hours: float
    """Memory that is asked for, times hours."""
    unsized: int
    """Jobs that name no size: they count nothing in the two figures before."""


def timing(graph: JobGraph) -> Timing:
    """Return the time of the jobs that are built."""
    jobs = {job.key: job for job in graph.jobs if job.state == "build"}
    needs = {key: job.needs for key, job in jobs.items()}
    ends: dict[str, float] = {}
    before: dict[str, str] = {}
    for key in in_order(needs):
        # of equal ends the smaller key: the same graph has the same path
        last = min(needs[key], key=lambda need: (-ends[need], need), default="")
        before[key] = last
        ends[key] = (ends[last] if last else 0.0) + seconds_of(jobs[key])
    path: list[str] = []
    key = min(ends, key=lambda each: (-ends[each], each), default="")
    while key:
        path.append(key)
        key = before[key]
    return Timing(
        levels=levels(needs),
        path=path[::-1],
        path_seconds=max(ends.values(), default=0.0),
        total_seconds=sum(map(seconds_of, jobs.values())),
        unmeasured=sum(job.expected_seconds is None for job in jobs.values()),
        core_hours=sum((job.size.cpu_millicores or 0) / 1000 * seconds_of(job) for job in jobs.values()) / _HOUR,
        gib_hours=sum((job.size.memory_bytes or 0) / _GIB * seconds_of(job) for job in jobs.values()) / _HOUR,
        unsized=sum(job.size.cpu_millicores is None and job.size.memory_bytes is None for job in jobs.values()),
    )


def seconds_of(job: Job) -> float:
    """Return the time that a job counts."""
    return UNKNOWN_SECONDS if job.expected_seconds is None else job.expected_seconds


def cost(found: Timing, price: Price) -> float:
    """Return what the jobs cost, if nodes are paid for exactly what is asked for."""
    return found.core_hours * price.core_hour + found.gib_hours * price.gib_hour


def by_level(jobs: Sequence[Job], found: Timing) -> list[list[Job]]:
    """Return the jobs that are built, those of each level by name."""
    rows: list[list[Job]] = []
    for job in sorted(jobs, key=lambda job: (job.name, job.key)):
        if job.state == "build":
            level = found.levels[job.key]
            rows += [[] for _ in range(level + 1 - len(rows))]
            rows[level].append(job)
    return rows
