"""What a job used, in one line for its log. Pure."""

from executor.attempt import Attempt
from executor.following import ScriptEnd
from executor.units import in_cores, in_gib, in_time


def figures_line(end: ScriptEnd, attempt: Attempt, *, wall_seconds: float) -> str:
    """Return `used 11.8 of 12.0 GiB (working set), 3.4 of 4 cores, 41 min`; without counters, only the time.

    The working set is the container's peak since its start, the cores are the script's average.
    """
    parts = []
    working_set = max(end.working_set_peak_bytes, end.after.working_set_bytes)
    limit = end.after.limit_bytes or attempt.memory_limit_bytes
    if working_set:
        parts.append(f"{_memory(working_set, limit)} (working set)")
    cpu_seconds = end.after.cpu_seconds - end.before.cpu_seconds
    if end.after.cpu_seconds and wall_seconds > 0:
        of = f" of {in_cores(attempt.cpu_limit_millicores)}" if attempt.cpu_limit_millicores else ""
        parts.append(f"{cpu_seconds / wall_seconds:.1f}{of} cores")
    parts.append(in_time(wall_seconds))
    return f"used {', '.join(parts)}"


def _memory(used_bytes: int, limit_bytes: int | None) -> str:
    """Return `11.8 of 12.0 GiB`; with two units if they differ."""
    used = in_gib(used_bytes)
    if limit_bytes is None:
        return used
    limit = in_gib(limit_bytes)
    number, _, unit = used.partition(" ")
    return f"{number if limit.endswith(f' {unit}') else used} of {limit}"
