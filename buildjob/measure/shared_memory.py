"""How much memory processes use together, where no cgroup counts it: sums over `/proc`, which are estimates.

Each process counts with its resident memory times its own part of it: plain sums count pages that are shared after a fork
up to five times. The part is read from `smaps_rollup`, which costs ten times as much as all else: so within a time budget,
first for the processes that have changed most.
"""

import time
from collections.abc import Callable, Mapping

import msgspec

from buildjob.measure.process_tree import Key
from buildjob.measure.procfs import ProcessStat, Shares, read_shares

_BUDGET_SECONDS = 0.008
# With each walk since a part was read, it counts as wrong by this much more of the process's memory.
_DOUBT_PER_WALK = 0.02


class _Part(msgspec.Struct, frozen=True):
    """Which part of its resident memory is a process's own."""

    resident_bytes: int
    """When it was read."""
    total: float
    """Proportional / resident memory."""
    anonymous: float
    read_in: int
    """The number of the walk."""


class SharedMemory:
    """Estimates from walk to walk, and learns the parts of the processes meanwhile."""

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
        """Return the sums; a process whose part is not known yet counts like others of its name, or like the mean."""
        self._walks += 1
        self._parts = {key: part for key, part in self._parts.items() if key in processes}
        self._learn(processes)
        # A build runs many processes of few programs, and those of one program share alike.
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
        # If nothing is known of any process, all of its memory is its own: rather too much than too little.
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
            # The process may have grown since the walk: its part is a ratio of two figures of one instant.
            resident = (shares.resident_bytes or stat.memory_bytes) if shares else 0
            if shares and resident:
                total, anonymous = shares.total_bytes / resident, shares.anonymous_bytes / resident
                self._parts[key] = _Part(stat.memory_bytes, total, anonymous, self._walks)

    def _doubt(self, stat: ProcessStat) -> float:
        """Return by how many bytes the estimate for the process may be wrong."""
        part = self._parts.get(stat.key)
        if part is None:
            return stat.memory_bytes
        age = self._walks - part.read_in
        return abs(stat.memory_bytes - part.resident_bytes) + age * _DOUBT_PER_WALK * stat.memory_bytes
