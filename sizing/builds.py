"""One build of the history: a row for each attempt, as it was measured, and the observation that it gives. Pure values."""

from dataclasses import dataclass

from sizing.keys import spec_keys
from sizing.observations import Observation

SUCCEEDED = frozenset({"built", "publish_failed", "script_succeeded"})
"""Outcomes of builds that came to their end: their peaks, times and cores are whole."""
KILLED = frozenset({"memory_killed", "script_failed"})
"""Outcomes that say something of memory only, if a limit killed the build."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One attempt of one build. None means: not known."""

    digest: str
    """SHA-256 of its document: its identity."""
    trusted: bool
    """Whether its document lies where only protected jobs can write."""
    started: float
    """Unix time, as all times here."""
    ended: float
    outcome: str
    name: str
    version: str
    dag_hash: str
    compiler: str
    """`name@version`."""
    architecture: str
    expensive: str
    """Expensive variants that are on, each with its `+`."""
    build_system: str
    jobs: int
    """0 where unknown."""
    project: str
    job_id: str
    stack: str
    attempt: int
    asked_cpu_millicores: int | None
    asked_memory_bytes: int | None
    limit_bytes: int | None
    """The memory limit that held."""
    killed_at_bytes: int | None
    """The limit at which the kernel killed a process of it."""
    working_set_peak_bytes: int | None
    anonymous_peak_bytes: int | None
    disk_peak_bytes: int | None
    cpu_seconds: float | None
    wall_seconds: float | None

    def keys(self) -> tuple[str, ...]:
        """Return the keys that it counts for, from most to least exact."""
        return spec_keys(
            name=self.name, version=self.version, dag_hash=self.dag_hash, compiler=self.compiler, jobs=self.jobs,
            architecture=self.architecture, expensive=self.expensive, build_system=self.build_system,
        )  # fmt: skip

    def observation(self) -> Observation:
        """Return what policies see of it."""
        succeeded = self.outcome in SUCCEEDED
        return Observation(
            keys=self.keys(),
            submitted=self.started,
            ended=self.ended,
            outcome=self.outcome,
            trusted=self.trusted,
            censored=self.killed_at_bytes is not None,
            asked_memory_bytes=self.killed_at_bytes or self.limit_bytes or self.asked_memory_bytes,
            asked_cpu_millicores=self.asked_cpu_millicores,
            working_set_peak_bytes=self.working_set_peak_bytes,
            anonymous_peak_bytes=self.anonymous_peak_bytes,
            disk_peak_bytes=self.disk_peak_bytes,
            cpu_seconds=self.cpu_seconds if succeeded else None,
            wall_seconds=self.wall_seconds if succeeded else None,
            jobs=self.jobs or None,
            attempt=self.attempt,
        )

    @property
    def trains(self) -> bool:
        """Whether sizes may be computed from it: trusted, and whole or killed at a limit. An unknown outcome never is."""
        return self.trusted and (self.outcome in SUCCEEDED or (self.outcome in KILLED and self.killed_at_bytes is not None))
