"""What is to be built in a simulation: pipelines with their jobs, what each really takes, and what is expected of it.

Jobs come from job graphs (documents.md, version 1) or from tables; what chance adds is drawn here, from a seed, once for all
policies: each meets the same jobs.
"""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from autoscaler.snapshot import Size

LEAST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Conditions:
    """What chance does. Shares are between 0 and 1."""

    boot_spread: float = 0.25
    """A boot takes its usual time, times a number between 1 - this and 1 + this."""
    boot_failures: float = 0.01
    """Share of machines that never become usable."""
    no_capacity: float = 0.02
    """Share of types for which, in ten minutes, no order is fulfilled."""
    losses_per_hour: float = 0.02
    """Spot losses of a node."""
    notice_seconds: float = 120.0
    """From a loss's announcement to the loss."""
    expected_error: float = 0.3
    """Sigma of the lognormal factor between a job's expected and its real run time."""
    busy_cores: float = 0.9
    """Median of the share of its requested cores that a job keeps busy; beyond a node's cores jobs slow each other down."""
    busy_sigma: float = 0.3
    """Sigma of that."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One job, as it really is."""

    key: str
    name: str
    needs: tuple[str, ...]
    size: Size
    """What its pod requests at first."""
    seconds: float
    """How long it runs undisturbed."""
    peak_bytes: int = 0
    """What it needs; above its request it is killed, and tried again with twice the memory."""
    expected_seconds: float | None = None
    """What is expected of it."""
    busy_cores: float = 0.0
    """Cores that it keeps busy."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Jobs that are submitted at once."""

    name: str
    at: float
    jobs: tuple[JobSpec, ...] = field(default=())

    def critical_path(self) -> dict[str, float]:
        """Return for each job how long it and the longest chain of its dependents take."""
        dependents: dict[str, list[str]] = {job.key: [] for job in self.jobs}
        for job in self.jobs:
            for need in job.needs:
                if need in dependents:
                    dependents[need].append(job.key)
        seconds = {job.key: job.seconds for job in self.jobs}
        found: dict[str, float] = {}
        for key in reversed(_topological(self.jobs)):
            found[key] = seconds[key] + max((found[one] for one in dependents[key]), default=0.0)
        return found


def _topological(jobs: Sequence[JobSpec]) -> list[str]:
    """Return the keys, each after what it needs. Raises ValueError if there is a circle."""
    known = {job.key for job in jobs}
    left = {job.key: sum(need in known for need in set(job.needs)) for job in jobs}
    dependents: dict[str, list[str]] = {}
    for job in jobs:
        for need in sorted(set(job.needs) & known):
            dependents.setdefault(need, []).append(job.key)
    ready = [key for key, count in left.items() if not count]
    for key in ready:  # grows meanwhile
        for one in dependents.get(key, ()):
            left[one] -= 1
            if not left[one]:
                ready.append(one)
    if len(ready) != len(jobs):
        raise ValueError(f"the jobs {', '.join(sorted(set(left) - set(ready))[:5])} need each other in a circle")
    return ready


def drawn(pipelines: Iterable[Pipeline], conditions: Conditions, seed: int) -> list[Pipeline]:
    """Return the pipelines with what chance adds to each job: expected time and busy cores, where they are not given."""
    found = []
    for pipeline in pipelines:
        chance = random.Random(f"{pipeline.name} {seed}")  # noqa: S311  a simulation, not a secret
        jobs = []
        for job in pipeline.jobs:
            error, busy = chance.gauss(0.0, conditions.expected_error), chance.gauss(0.0, conditions.busy_sigma)
            expected = job.seconds * math.exp(error) if job.expected_seconds is None else job.expected_seconds
            cores = job.size.cpu_millicores / 1000 * min(2.0, conditions.busy_cores * math.exp(busy))
            jobs.append(
                JobSpec(
                    job.key, job.name, job.needs, job.size, max(LEAST_SECONDS, job.seconds), job.peak_bytes, expected,
                    job.busy_cores or cores,
                )
            )  # fmt: skip
        found.append(Pipeline(pipeline.name, pipeline.at, tuple(jobs)))
    return found
