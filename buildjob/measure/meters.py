"""One meter for each figure of a run: what it was at the start, what it is, and its peak.

A meter reads the cgroup's counter where there is one, and a walk over the processes where there is none. Without either it
keeps what it has: each figure has a time of its own, and a sample takes those that were read since the sample before. All
figures are the build's: what the agent uses itself is subtracted.
"""

import collections
import heapq
import math

from buildjob.measure.agent_use import AgentUse
from buildjob.measure.cgroup_counters import Reading
from buildjob.measure.process_walks import Walk
from buildjob.measure.processes import read_io, reaped_io
from buildjob.measure.shared_memory import SharedMemory

_MOST_IO_FILES = 256
_MOST_CPU_POINTS = 256


class CpuCurve:
    """CPU time as a line through its readings, by any clock.

    Phases begin between two readings, and counters run behind. Whatever is read: the line never falls, and never rises
    faster than all CPUs can run.
    """

    def __init__(self, *, cpus: float, begun_at: float = 0.0) -> None:
        self._cpus = cpus
        self._points = collections.deque([(begun_at, 0.0)], maxlen=_MOST_CPU_POINTS)

    @property
    def seconds(self) -> float:
        """CPU time at the last reading."""
        return self._points[-1][1]

    def add(self, at: float, cpu_seconds: float) -> None:
        """Add a reading. What no machine could have used since the one before it goes to the time that follows."""
        before_at, before = self._points[-1]
        at = max(at, before_at)
        most = before + (at - before_at) * self._cpus if math.isfinite(self._cpus) else math.inf
        self._points.append((at, min(max(cpu_seconds, before), most)))

    def seconds_at(self, at: float) -> float:
        """Return the CPU time at an earlier instant, as far back as the points reach."""
        later_at, later = self._points[-1]
        for before_at, before in reversed(self._points):
            if before_at <= at:
                share = (at - before_at) / (later_at - before_at) if later_at > before_at else 0.0
                return before + (later - before) * min(share, 1.0)
            later_at, later = before_at, before
        return later


class CpuMeter:
    """CPU time of all processes of the build, ended ones included."""

    def __init__(self, agent: AgentUse, *, cpus: float = math.inf) -> None:
        """No span of time has more CPU time than `cpus` can give."""
        self._agent = agent
        self._cpus = cpus
        self._curve = CpuCurve(cpus=cpus)
        self._cgroup_base_seconds: float | None = None
        self._walk_base_seconds = 0.0
        self._read_at = self._taken_at = 0.0
        self._taken_seconds = 0.0

    @property
    def seconds(self) -> float:
        """Since `begin`."""
        return self._curve.seconds

    def seconds_at(self, at: float) -> float:
        """Return what was used since `begin` until an instant between two readings."""
        return self._curve.seconds_at(at)

    def begin(self, reading: Reading, walk: Walk, *, at: float) -> None:
        """Count from here on."""
        self._cgroup_base_seconds, self._walk_base_seconds = reading.cpu_seconds, walk.cpu_seconds
        self._read_at = self._taken_at = at
        self._curve = CpuCurve(cpus=self._cpus, begun_at=at)

    def read(self, reading: Reading, walk: Walk | None, *, at: float) -> None:
        """Take the counter if it was there from the start, else the sum over the processes of a walk, if there was one."""
        if reading.cpu_seconds is not None and self._cgroup_base_seconds is not None:
            used = reading.cpu_seconds - self._cgroup_base_seconds - self._agent.cpu_seconds()
        elif walk is not None:
            used = walk.cpu_seconds - self._walk_base_seconds
        else:
            return
        # A sum over processes falls when a walk misses one that ends; time that was used does not: the curve keeps it.
        self._curve.add(at, used)
        self._read_at = at

    def take_cores(self) -> tuple[float | None, float]:
        """Return the mean since the last one that was taken, and its span in seconds; None and 0 if none was read since."""
        span = self._read_at - self._taken_at
        if span <= 0:
            return None, 0.0
        cores = (self.seconds - self._taken_seconds) / span
        self._taken_at, self._taken_seconds = self._read_at, self.seconds
        return cores, span


class MemoryMeter:
    """Working set, anonymous memory and swap of the build."""

    def __init__(self, agent: AgentUse, shared_memory: SharedMemory, *, most_bytes: int | None = None) -> None:
        """An estimate never exceeds `most_bytes`, what the processes can have at most."""
        self._agent = agent
        self._shared_memory = shared_memory
        self._most_bytes = most_bytes
        self._peak_since_sample_bytes: int | None = None
        self.working_set_bytes = 0
        self.working_set_peak_bytes: int | None = None
        self.anonymous_peak_bytes: int | None = None
        self.swap_peak_bytes: int | None = None
        """Of the whole cgroup; None where no cgroup counts it."""
        self.is_estimate = False
        """Some reading was a sum over processes."""

    def read(self, reading: Reading, walk: Walk | None) -> None:
        """Take the working set from the cgroup, else estimate it over the processes of a walk, if there was one."""
        working_set, anonymous = reading.working_set_bytes, reading.anonymous_bytes
        if reading.swap_bytes is not None:
            self.swap_peak_bytes = max(self.swap_peak_bytes or 0, reading.swap_bytes)
        if working_set is not None:
            # The usage is read a moment before the rest: what cannot be given back is a part of the working set.
            working_set = max(working_set, anonymous or 0)
            own = self._agent.memory_bytes()
            working_set = max(working_set - own, 0)
            anonymous = None if anonymous is None else max(anonymous - own, 0)
        elif walk is not None:
            estimate = self._shared_memory.estimate(walk.alive)
            working_set, anonymous = estimate.total_bytes, estimate.anonymous_bytes
            if self._most_bytes:  # a sum counts shared pages more than once
                working_set, anonymous = min(working_set, self._most_bytes), min(anonymous, self._most_bytes)
            self.is_estimate = True
        else:
            return
        # The span of a sample begins with what was used at the end of the one before.
        so_far = self.working_set_bytes if self._peak_since_sample_bytes is None else self._peak_since_sample_bytes
        self._peak_since_sample_bytes = max(so_far, working_set)
        self.working_set_bytes = working_set
        self.working_set_peak_bytes = max(self.working_set_peak_bytes or 0, working_set)
        if anonymous is not None:
            self.anonymous_peak_bytes = max(self.anonymous_peak_bytes or 0, anonymous)

    def take_peak_since_sample(self) -> int | None:
        """Return the largest working set since the last call, with the one at that call; None if it was not read since."""
        peak, self._peak_since_sample_bytes = self._peak_since_sample_bytes, None
        return peak


class ProcessMeter:
    """How many processes the build has."""

    def __init__(self, agent: AgentUse) -> None:
        self._agent = agent
        self._count: int | None = None
        self.peak = 0

    def read(self, reading: Reading, walk: Walk | None) -> None:
        """Take the number from the cgroup, else from a walk, if there was one."""
        if reading.processes is not None:
            self._count = max(reading.processes - self._agent.processes(), 0)
        elif walk is not None:
            self._count = len(walk.alive)
        self.peak = max(self.peak, self._count or 0)

    def take_count(self) -> int | None:
        """Return the latest number; None if it was not read since the last call."""
        count, self._count = self._count, None
        return count


class IoMeter:
    """Bytes read from and written to storage."""

    def __init__(self) -> None:
        self._cgroup_base = self._reaped_base = (0, 0)
        self.read_bytes = 0
        self.written_bytes = 0

    def begin(self, reading: Reading) -> None:
        """Count from here on."""
        self._cgroup_base = (reading.read_bytes or 0, reading.written_bytes or 0)
        self._reaped_base = reaped_io()

    def read(self, reading: Reading, walk: Walk) -> None:
        """Take the counters, else the sum over our reaped children and the live processes that used most CPU time."""
        if reading.read_bytes is not None and reading.written_bytes is not None:
            read, written = reading.read_bytes - self._cgroup_base[0], reading.written_bytes - self._cgroup_base[1]
        else:
            read, written = self._sum_over_processes(walk)
        self.read_bytes, self.written_bytes = max(self.read_bytes, read), max(self.written_bytes, written)

    def _sum_over_processes(self, walk: Walk) -> tuple[int, int]:
        # Each process costs one more file: idle ones among thousands are skipped.
        busiest = heapq.nlargest(_MOST_IO_FILES, walk.processes.values(), key=lambda use: use.tree_cpu_seconds)
        pairs = [reaped_io(), *(read_io(use.pid) for use in busiest)]
        read, written = (sum(column) for column in zip(*pairs, strict=True))
        return read - self._reaped_base[0], written - self._reaped_base[1]
