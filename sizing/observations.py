"""The values that sizes are computed from and end in: observations of builds, the evidence for a key, a ladder of memory.

Shared by the store, which reads observations from the history, by the policies, which turn evidence into ladders, and by
the replay of foreign traces. Pure values: knows no document, no database and no clock. Times are Unix times.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sizing.errors import BadRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One attempt of one build: what it was given, what it used and how it ended. None means: not known."""

    keys: tuple[str, ...]
    """The keys of sizes that the build counts for, from most to least exact."""
    submitted: float
    """When it began to count as asked for: the start of the attempt."""
    ended: float
    """From then on it is history."""
    outcome: str
    """A value of telemetry's `outcome`."""
    trusted: bool = True
    """Whether sizes may be computed from it."""
    censored: bool = False
    """Killed at a memory limit: the peak is at least the limit."""
    asked_memory_bytes: int | None = None
    """The memory limit that held; without one, the request."""
    asked_cpu_millicores: int | None = None
    working_set_peak_bytes: int | None = None
    """Peak of usage − inactive file."""
    anonymous_peak_bytes: int | None = None
    """Peak of anonymous + shared memory."""
    disk_peak_bytes: int | None = None
    cpu_seconds: float | None = None
    wall_seconds: float | None = None
    jobs: int | None = None
    """Parallel jobs that the build was allowed."""
    attempt: int = 0
    """From 1; 0 where unknown."""

    @property
    def memory_needed_bytes(self) -> int | None:
        """The memory that the build needed, without cache that can be dropped; at least the limit that killed it."""
        asked = self.asked_memory_bytes if self.censored else 0
        return max(self.working_set_peak_bytes or 0, self.anonymous_peak_bytes or 0, asked or 0) or None

    @property
    def mean_cores(self) -> float | None:
        """CPU seconds per second."""
        return self.cpu_seconds / self.wall_seconds if self.cpu_seconds and self.wall_seconds else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The observations of one key."""

    key: str
    observations: Sequence[Observation]
    """In the order in which they ended. Not to be changed, and not to be copied where it is long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What a person or the job itself asked for, before anything was measured. None means: says nothing."""

    memory_bytes: int | None = None
    cpu_millicores: int | None = None
    build_jobs: int | None = None
    source: str = ""
    """Where it comes from, as text for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbor:
    """What another package with a prior turned out to need: it says how much priors exaggerate here."""

    used_share: float
    """Its largest need over its prior's memory."""
    seconds: float
    """Mean duration of its builds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that a policy may know when it sizes one key."""

    levels: tuple[Level, ...]
    """From most to least exact; all of a job's keys, also those without observations."""
    prior: Prior = Prior()
    neighbors: Sequence[Neighbor] = ()
    """One for each other package that was built and has a prior. Not to be changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """What an operator may set. The defaults are those of `spack-farm sizing fit`."""

    margin_percent: int = 115
    """Of `max_margin` and `percentile`: memory over the largest peak."""
    most_margin_percent: int = 125
    """Of `min_waste`: the most memory over the largest peak."""
    window_count: int = 20
    """At least so many of the newest observations count, however old they are."""
    window_days: int = 90
    """All observations of so many days count, however many there are."""
    accepted_count: int = 3
    """A level with fewer observations says too little; an exact hash (`/HASH`) needs one."""
    mixed_below_count: int = 5
    """With fewer observations, the maximum of the next level counts too."""
    floor_bytes: int = 512_000_000
    """No job gets less: below, what a build needs varies more than it matters."""
    cap_bytes: int | None = None
    """Memory of the largest node; None: not known, nothing is capped."""
    tiers_per_doubling: int = 16
    """Sizes are rounded up to a grid with so many steps from one power of two to the next; 0: no grid."""
    most_attempts: int = 4
    """The first included."""
    percentile: int = 95
    """Of `percentile`: so many percent of the builds fit into the first limit without its margin."""
    kill_costs_gb_hours: float = 3.0
    """Of `min_waste`: what a killed attempt costs besides its own memory, as idle memory (3: 16 GB for 11 minutes)."""

    def __post_init__(self) -> None:
        """Raise BadRequest for values that no size can be computed with; it names all of them."""
        least = {
            "margin_percent": 100, "most_margin_percent": 100, "window_count": 0,
            "window_days": 0, "accepted_count": 1, "mixed_below_count": 0,
            "floor_bytes": 1, "tiers_per_doubling": 0, "most_attempts": 1, "percentile": 1, "kill_costs_gb_hours": 0,
        }  # fmt: skip
        faults = [f"{name} is below {bound}" for name, bound in least.items() if not getattr(self, name) >= bound]
        faults += ["percentile is above 100"] if self.percentile > 100 else []
        faults += ["kill_costs_gb_hours is not finite"] if self.kill_costs_gb_hours == float("inf") else []
        faults += ["cap_bytes is below 1"] if self.cap_bytes is not None and self.cap_bytes < 1 else []
        if faults:
            raise BadRequest(f"settings of sizes: {'; '.join(faults)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """The memory limits of the first attempt and of those after a memory kill: rising, at least one, not yet rounded."""

    memory_bytes: tuple[int, ...]
    key: str = ""
    """Of the level that it comes from; empty if it comes from the prior."""
    samples: int = 0
    """How many observations it comes from."""
    largest_bytes: int | None = None
    """The largest need among them."""
