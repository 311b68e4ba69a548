"""What a run could use: the memory, cores and disk that it asked for, and the limits that held. Pure."""

import msgspec

from buildjob.telemetry import Asked, Telemetry


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, and what held. None where unknown, and where there is no limit."""

    memory_asked_bytes: int | None
    memory_limit_bytes: int | None
    """The lowest of the pod's limit, the cgroup's, and those at which the kernel killed a process."""
    cores_asked: float | None
    cores: float
    """How many cores the build could use: the limit, else the machine's."""
    has_cpu_limit: bool
    disk_asked_bytes: int | None


def read_limits(telemetry: Telemetry) -> Limits:
    """Return what holds for the run, from the pod's size, the machine and the kills. Zero counts as unknown."""
    asked = telemetry.asked if isinstance(telemetry.asked, Asked) else Asked()
    machine = telemetry.machine
    limits = [asked.memory_limit_bytes, machine.memory_limit_bytes, *(kill.limit_bytes for kill in telemetry.memory_kills)]
    return Limits(
        memory_asked_bytes=asked.memory_bytes or None,
        memory_limit_bytes=min((limit for limit in limits if limit and limit > 0), default=None),
        cores_asked=asked.cpu_millicores / 1000 if asked.cpu_millicores else None,
        cores=machine.cpu_limit_cores or float(machine.cpus),
        has_cpu_limit=bool(machine.cpu_limit_cores),
        disk_asked_bytes=asked.disk_bytes or None,
    )
