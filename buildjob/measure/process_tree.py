"""Which processes are the build's: the members of a cgroup, or the descendants of some processes. One walk over `/proc`."""

import contextlib
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from buildjob.measure.procfs import TICKS_PER_SECOND, ProcessStat, read_pids, read_stat

Key = tuple[int, int]
"""Pid and start: see `ProcessStat.key`."""


def walk_members(pids: Iterable[int], *, own_pid: int, proc: str = "/proc") -> dict[Key, ProcessStat]:
    """Return the processes with these pids, without our own."""
    found = (read_stat(pid, proc=proc) for pid in pids if pid != own_pid)
    return {stat.key: stat for stat in found if stat}


def walk_descendants(
    roots: Iterable[int], *, own_pid: int, strangers: AbstractSet[Key] = frozenset(), proc: str = "/proc"
) -> dict[Key, ProcessStat]:
    """Return the descendants of this process, without children that are `strangers`, and the roots with theirs; not our own.

    All of `/proc` is read: `/proc/PID/task/TID/children` saves nothing, as it must be read for each thread.
    """
    children: dict[int, list[ProcessStat]] = {}
    stats: dict[int, ProcessStat] = {}
    for pid in read_pids(proc=proc):
        stat = read_stat(pid, proc=proc)
        if stat:
            stats[stat.pid] = stat
            children.setdefault(stat.parent, []).append(stat)
    found: dict[Key, ProcessStat] = {}
    ours = (child for child in children.get(own_pid, []) if child.key not in strangers)
    waiting = [*ours, *(stats[pid] for pid in roots if pid in stats)]
    while waiting:
        stat = waiting.pop()
        if stat.key in found or stat.pid == own_pid:
            continue
        found[stat.key] = stat
        waiting.extend(children.get(stat.pid, []))
    return found


def walk_with_psutil(
    roots: Iterable[int], *, own_pid: int, strangers: AbstractSet[Key] = frozenset()
) -> dict[Key, ProcessStat]:
    """Return the same as `walk_descendants`, as psutil sees it: where there is no `/proc`."""
    import psutil  # noqa: PLC0415 - loaded only where there is no /proc

    found: dict[Key, ProcessStat] = {}
    for root in {own_pid, *roots}:
        with contextlib.suppress(psutil.Error):
            top = psutil.Process(root)
            for process in [*([] if root == own_pid else [top]), *top.children(recursive=True)]:
                with contextlib.suppress(psutil.Error), process.oneshot():
                    times = process.cpu_times()
                    own = round((times.user + times.system) * TICKS_PER_SECOND)
                    # psutil knows the CPU time of reaped children on Linux only
                    below = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
                    stat = ProcessStat(
                        process.pid,
                        process.ppid(),
                        round(process.create_time() * TICKS_PER_SECOND),
                        process.name(),
                        process.memory_info().rss,
                        own,
                        own + round(below * TICKS_PER_SECOND),
                        process.status() == psutil.STATUS_ZOMBIE,
                    )
                    if stat.key not in strangers:
                        found[stat.key] = stat
    return found


def live_cpu_seconds(processes: Mapping[Key, ProcessStat]) -> float:
    """Return what the processes, and the children they waited for, have used."""
    return sum(stat.tree_ticks for stat in processes.values()) / TICKS_PER_SECOND
