"""The processes of a build and what they use together, where no group counts it: sums over `/proc`, thus estimates.

CPU: what the live processes and the children they waited for used, and what our own reaped children used. Memory: resident
memory times each process's own part of it, as plain sums count pages shared after fork up to five times. The part is read
from `smaps_rollup`, which costs ten times the rest: a few processes in each walk, those first that changed most.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet

import msgspec

from buildjob.measure.procfs import TICKS_PER_SECOND, ProcessStat, Shares, read_pids, read_shares, read_stat

Key = tuple[int, int]
"""Pid and start: see `ProcessStat.key`."""
_BUDGET_SECONDS = 0.008
# A part that was read this many walks ago counts as wrong by as many times this share of the process's memory.
_DOUBT_PER_WALK = 0.02


def walk_members(pids: Iterable[int], *, own_pid: int, proc: str = "/proc") -> dict[Key, ProcessStat]:
    """Return the processes with these pids, ours left out."""
    found = (read_stat(pid, proc=proc) for pid in pids if pid != own_pid)
    return {stat.key: stat for stat in found if stat}


def walk_descendants(
    roots: Iterable[int], *, own_pid: int, strangers: AbstractSet[Key] = frozenset(), proc: str = "/proc"
) -> dict[Key, ProcessStat]:
    """Return all descendants of this process but children that are `strangers`, and the roots and theirs; ours left out.

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
    """Return the same as `walk_descendants` where there is no `/proc`: macOS."""
    import psutil  # noqa: PLC0415 - not loaded on Linux, where it is not needed

    found: dict[Key, ProcessStat] = {}
    for root in {own_pid, *roots}:
        with contextlib.suppress(psutil.Error):
            top = psutil.Process(root)
            for process in [*([] if root == own_pid else [top]), *top.children(recursive=True)]:
                with contextlib.suppress(psutil.Error), process.oneshot():
                    times = process.cpu_times()
                    own = round((times.user + times.system) * TICKS_PER_SECOND)
                    # only Linux tells the children's share of a process
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


class _Part(msgspec.Struct, frozen=True):
    """What was learned of one process."""

    resident_bytes: int
    """When it was read."""
    total: float
    """Proportional / resident memory."""
    anonymous: float
    read_in: int
    """The number of the walk."""


class SharedMemory:
    """How much memory processes take together; learns the parts within a time budget."""

    def __init__(
        self,
        *,
        read: Callable[[int], Shares | None] = read_shares,
        thread_time: Callable[[], float] = time.thread_time,
        budget_seconds: float = _BUDGET_SECONDS,
    ) -> None:
        self._read = read
        self._thread_time = thread_time
        self._budget_seconds = budget_seconds
        self._parts: dict[Key, _Part] = {}
        self._walks = 0

    def estimate(self, processes: Mapping[Key, ProcessStat]) -> Shares:
        """Return the sums; a process of which nothing is known yet counts like others of its name, or like the mean."""
        self._walks += 1
        self._parts = {key: part for key, part in self._parts.items() if key in processes}
        self._learn(processes)
        by_name: dict[str, tuple[int, float, float]] = {}
        unknown: list[ProcessStat] = []
        total = anonymous = 0.0
        resident = 0
        for key, stat in processes.items():
            part = self._parts.get(key)
            if part is None:
                unknown.append(stat)
                continue
            own_total, own_anonymous = stat.memory_bytes * part.total, stat.memory_bytes * part.anonymous
            total, anonymous, resident = total + own_total, anonymous + own_anonymous, resident + stat.memory_bytes
            before = by_name.get(stat.name, (0, 0.0, 0.0))
            by_name[stat.name] = (before[0] + stat.memory_bytes, before[1] + own_total, before[2] + own_anonymous)
        mean = (resident, total, anonymous) if resident else (1, 1.0, 1.0)
        for stat in unknown:
            like = by_name.get(stat.name, mean)
            like = like if like[0] else mean
            total += stat.memory_bytes * like[1] / like[0]
            anonymous += stat.memory_bytes * like[2] / like[0]
        return Shares(round(total), round(anonymous))

    def _learn(self, processes: Mapping[Key, ProcessStat]) -> None:
        deadline = self._thread_time() + self._budget_seconds
        for key in sorted(processes, key=lambda key: -self._doubt(processes[key])):
            stat = processes[key]
            if self._doubt(stat) <= 0 or self._thread_time() > deadline:
                return
            shares = self._read(stat.pid)
            # The process may have grown since the walk: its parts are told by the figures of one instant.
            resident = (shares.resident_bytes or stat.memory_bytes) if shares else 0
            if shares and resident:
                total, anonymous = shares.total_bytes / resident, shares.anonymous_bytes / resident
                self._parts[key] = _Part(stat.memory_bytes, total, anonymous, self._walks)

    def _doubt(self, stat: ProcessStat) -> float:
        """Return by how many bytes what we know of the process may be wrong."""
        part = self._parts.get(stat.key)
        if part is None:
            return stat.memory_bytes
        age = self._walks - part.read_in
        return abs(stat.memory_bytes - part.resident_bytes) + age * _DOUBT_PER_WALK * stat.memory_bytes
