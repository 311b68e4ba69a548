"""What a run could use: the memory, cores and disk that it asked for, and the limits that held. Pure."""

import msgspec

from buildjob.telemetry import Asked, Telemetry

# A limit of more than 1 PiB is none: cgroup v1 writes "no limit" as 2^63, rounded down to a page.
_NO_LIMIT_BYTES = 1 << 50
# CPU time is counted in ticks, and read when there is time for it: over a shorter time it does not say how many cores.
SHORTEST_RATE_SECONDS = 1.0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, and what held. None where unknown, and where there is no limit."""

    memory_asked_bytes: int | None
    memory_limit_bytes: int | None
    """The lowest of the pod's limit, the cgroup's, and those at which the kernel killed a process."""
    cores_asked: float | None
    cores: float | None
    """How many cores the build could use: the limit, but not more than the machine has. None if neither is known."""
    has_cpu_limit: bool
    """Whether there is a limit that the machine could exceed."""
    disk_asked_bytes: int | None


def read_limits(telemetry: Telemetry) -> Limits:
    """Return what holds for the run, from the pod's size, the machine and the kills.

    What is not above zero counts as unknown.
    """
    asked = telemetry.asked if isinstance(telemetry.asked, Asked) else Asked()
    machine = telemetry.machine
    limits = [asked.memory_limit_bytes, machine.memory_limit_bytes, *(kill.limit_bytes for kill in telemetry.memory_kills)]
    cpus = float(machine.cpus) if machine.cpus > 0 else None
    quota = machine.cpu_limit_cores if machine.cpu_limit_cores and machine.cpu_limit_cores > 0 else None
    has_cpu_limit = quota is not None and (cpus is None or quota <= cpus)
    return Limits(
        memory_asked_bytes=limit_bytes(asked.memory_bytes),
        memory_limit_bytes=min(filter(None, map(limit_bytes, limits)), default=None),
        cores_asked=asked.cpu_millicores / 1000 if asked.cpu_millicores and asked.cpu_millicores > 0 else None,
        cores=quota if has_cpu_limit else cpus,
        has_cpu_limit=has_cpu_limit,
        disk_asked_bytes=limit_bytes(asked.disk_bytes),
    )


def rate(cpu_seconds: float | None, wall_seconds: float, *, most: float | None = None) -> float | None:
    """Return how many cores were in use on average, at most `most`; None if the time is too short to tell."""
    if cpu_seconds is None or wall_seconds < SHORTEST_RATE_SECONDS:
        return None
    cores = cpu_seconds / wall_seconds
    return cores if most is None else min(cores, most)


def mean_cores(telemetry: Telemetry) -> float | None:
    """Return how many cores the whole run used on average; None if it was too short to tell."""
    totals = telemetry.totals
    return rate(totals.cpu_seconds, totals.wall_seconds, most=read_limits(telemetry).cores)


def limit_bytes(count: int | None) -> int | None:
    """Return a size that was asked for or a limit; None for what is neither: nothing, less than nothing, or "no limit"."""
    return count if count is not None and 0 < count < _NO_LIMIT_BYTES else None
