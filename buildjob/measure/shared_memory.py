"""How much memory processes use together, where no cgroup counts it: sums over processes, which are estimates.

Each process counts with its resident memory times its own part of it: plain sums count pages that are shared after a fork
up to five times, and psutil tells no process's part of the anonymous ones. So the part is read here, from `smaps_rollup`.
That costs as much as all else: it is done within a time budget, first for the processes that have changed most. A new peak
is worth more: before it counts, whatever may be wrong in it is read.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping

import msgspec

from buildjob.measure.processes import Key, ProcessUse, proc_folder

_BUDGET_SECONDS = 0.008
# A new peak may cost more: 7 GiB of processes are read in that time.
_PEAK_BUDGET_SECONDS = 0.1
_PEAK_GROWTH = 1.01
# Of a peak, what may still be wrong.
_PEAK_DOUBT = 0.01
# A copy of a process has the same name and, at first, the same size; what both have changed since is their own.
_COPY_RATIO = 0.75
# With each walk since a part was read, it counts as wrong by this much more of the process's memory.
_DOUBT_PER_WALK = 0.02


class Shares(msgspec.Struct, frozen=True):
    """What of a process's memory is its own, shared pages divided among those who share them."""

    total_bytes: int
    anonymous_bytes: int
    """Anonymous + shared memory."""
    resident_bytes: int = 0
    """All of its memory at the same instant; 0: not known."""


def parse_rollup(text: bytes) -> Shares | None:
    """Return the shares out of one `/proc/PID/smaps_rollup`; None if it is empty. Kernels before 5.8 lack the parts."""
    values = {}
    for line in text.splitlines()[1:]:
        name, _, rest = line.partition(b":")
        values[name] = int(rest.split()[0]) * 1024
    if b"Pss" not in values:
        return None
    if b"Pss_Anon" not in values:
        return Shares(values[b"Pss"], min(values[b"Pss"], values.get(b"Anonymous", 0)), values.get(b"Rss", 0))
    return Shares(values[b"Pss"], values[b"Pss_Anon"] + values.get(b"Pss_Shmem", 0), values.get(b"Rss", 0))


def read_shares(pid: int) -> Shares | None:
    """Return a process's proportional memory; None if it no longer exists or the kernel denies it."""
    try:
        return parse_rollup((proc_folder() / str(pid) / "smaps_rollup").read_bytes())
    except OSError:
        return None


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
        self._before: Mapping[Key, ProcessUse] = {}
        """The processes of the walk before."""
        self._peak_bytes = 0
        self._walks = 0

    def estimate(self, processes: Mapping[Key, ProcessUse]) -> Shares:
        """Return the sums. A process whose part is not known counts like others of its name, like the mean, or with its own.

        Its own is what psutil knows: resident - shared.
        """
        self._walks += 1
        self._parts = {key: part for key, part in self._parts.items() if key in processes}
        self._forget_copied(processes)
        self._learn(processes, budget_seconds=self._budget_seconds)
        estimate = self._sum(processes)
        if estimate.anonymous_bytes > self._peak_bytes * _PEAK_GROWTH:
            self._learn(processes, budget_seconds=_PEAK_BUDGET_SECONDS, enough_bytes=estimate.anonymous_bytes * _PEAK_DOUBT)
            estimate = self._sum(processes)
            self._peak_bytes = max(self._peak_bytes, estimate.anonymous_bytes)
        return estimate

    def _forget_copied(self, processes: Mapping[Key, ProcessUse]) -> None:
        """Forget the parts of processes that were copied since the last walk, or whose copies have ended."""
        changed = [processes[key] for key in processes.keys() - self._before.keys()]
        changed += [self._before[key] for key in self._before.keys() - processes.keys()]
        sizes: dict[str, list[int]] = {}
        for use in changed:
            sizes.setdefault(use.name, []).append(use.resident_bytes)
        for of_name in sizes.values():
            of_name.sort()
        for key in list(self._parts):
            use = processes[key]
            if _has_alike(sizes.get(use.name, []), use.resident_bytes):
                del self._parts[key]
        self._before = processes

    def _sum(self, processes: Mapping[Key, ProcessUse]) -> Shares:
        # A build runs many processes of few programs, and those of one program share alike.
        by_name: dict[str, tuple[int, float, float]] = {}
        unknown: list[ProcessUse] = []
        total = anonymous = 0.0
        resident = 0
        for key, use in processes.items():
            part = self._parts.get(key)
            if part is None:
                unknown.append(use)
                continue
            own_total, own_anonymous = use.resident_bytes * part.total, use.resident_bytes * part.anonymous
            total, anonymous, resident = total + own_total, anonymous + own_anonymous, resident + use.resident_bytes
            before = by_name.get(use.name, (0, 0.0, 0.0))
            by_name[use.name] = (before[0] + use.resident_bytes, before[1] + own_total, before[2] + own_anonymous)
        for use in unknown:
            like = by_name.get(use.name, (0, 0.0, 0.0))
            like = like if like[0] else (resident, total, anonymous)
            if like[0]:
                total += use.resident_bytes * like[1] / like[0]
                anonymous += use.resident_bytes * like[2] / like[0]
            else:
                total, anonymous = total + use.memory_bytes, anonymous + use.memory_bytes
        return Shares(round(total), round(anonymous))

    def _learn(self, processes: Mapping[Key, ProcessUse], *, budget_seconds: float, enough_bytes: float = 0.0) -> None:
        """Read parts until the time is over, or no more than `enough_bytes` may be wrong."""
        deadline = self._thread_time() + budget_seconds
        doubts = {key: self._doubt(use) for key, use in processes.items()}
        left_bytes = sum(doubts.values())
        for key in sorted(processes, key=lambda key: -doubts[key]):
            use = processes[key]
            if left_bytes <= enough_bytes or doubts[key] <= 0 or self._thread_time() > deadline:
                return
            left_bytes -= doubts[key]
            shares = self._read(use.pid)
            # The process may have grown since the walk: its part is a ratio of two figures of one instant.
            resident = (shares.resident_bytes or use.resident_bytes) if shares else 0
            if shares and resident:
                total, anonymous = shares.total_bytes / resident, shares.anonymous_bytes / resident
                self._parts[key] = _Part(use.resident_bytes, total, anonymous, self._walks)

    def _doubt(self, use: ProcessUse) -> float:
        """Return by how many bytes the estimate for the process may be wrong."""
        part = self._parts.get(use.key)
        if part is None:
            return use.resident_bytes
        age = self._walks - part.read_in
        return abs(use.resident_bytes - part.resident_bytes) + age * _DOUBT_PER_WALK * use.resident_bytes


def _has_alike(sizes: list[int], resident_bytes: int) -> bool:
    """Return whether one of the sizes, in their order, is about that of a process."""
    index = bisect_left(sizes, resident_bytes * _COPY_RATIO)
    return index < len(sizes) and sizes[index] * _COPY_RATIO <= resident_bytes
