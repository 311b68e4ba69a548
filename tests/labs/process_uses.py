"""Processes as a walk saw them, for tests of what is made of a walk."""

from buildjob.measure.processes import Key, ProcessUse

_MIB = 1 << 20


def process_use(pid: int, *, mib: int, name: str = "cc1", cpu_seconds: float = 0.0, shared_mib: int = 0) -> ProcessUse:
    """Return a process with `mib` of its own; the same pid is the same process."""
    return ProcessUse(
        key=pid,
        pid=pid,
        name=name,
        resident_bytes=(mib + shared_mib) * _MIB,
        memory_bytes=mib * _MIB,
        cpu_seconds=cpu_seconds,
        tree_cpu_seconds=cpu_seconds,
        is_zombie=False,
    )


def walked(*uses: ProcessUse) -> dict[Key, ProcessUse]:
    """Return the processes as a walk does."""
    return {use.key: use for use in uses}
