"""What a run was given: the memory and the cores that it asked for, and the limits that held. Pure."""

import msgspec

from buildjob.telemetry import Asked, Job, Telemetry


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for and what held; None where unknown, and where there is no limit."""

    memory_asked_bytes: int | None
    memory_limit_bytes: int | None
    """The lowest of the pod's limit, the control group's, and those that a kernel kill named."""
    cores_asked: float | None
    cores: float
    """How many cores the build could use: the limit, else the machine's."""
    cores_limited: bool
    disk_asked_bytes: int | None


def read_bounds(telemetry: Telemetry) -> Bounds:
    """Return what holds for the run, from the pod's resources, the machine and the kills. Zero counts as unknown."""
    asked = telemetry.asked if isinstance(telemetry.asked, Asked) else Asked()
    machine = telemetry.machine
    limits = [asked.memory_limit_bytes, machine.memory_limit_bytes, *(kill.limit_bytes for kill in telemetry.memory_kills)]
    return Bounds(
        memory_asked_bytes=asked.memory_bytes or None,
        memory_limit_bytes=min((limit for limit in limits if limit and limit > 0), default=None),
        cores_asked=asked.cpu_millicores / 1000 if asked.cpu_millicores else None,
        cores=machine.cpu_limit_cores or float(machine.cpus),
        cores_limited=bool(machine.cpu_limit_cores),
        disk_asked_bytes=asked.disk_bytes or None,
    )


def read_job(telemetry: Telemetry) -> Job | None:
    """Return the CI job, or None outside CI."""
    return telemetry.job if isinstance(telemetry.job, Job) else None
