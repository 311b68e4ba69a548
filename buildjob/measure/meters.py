"""One meter for each figure of a run: what it was at the start, what it is, and its peak.

A meter reads the cgroup's counter where there is one, and the last walk over the processes where there is none. All figures
are the build's: what the agent uses itself is subtracted.
"""

import heapq

from buildjob.measure.agent_use import AgentUse
from buildjob.measure.cgroup_counters import Reading
from buildjob.measure.process_walks import Walk
from buildjob.measure.procfs import read_io, reaped_io
from buildjob.measure.shared_memory import SharedMemory

_MOST_IO_FILES = 256


class CpuMeter:
    """CPU time of all processes of the build, ended ones included."""

    def __init__(self, agent: AgentUse) -> None:
        self._agent = agent
        self._cgroup_base_seconds: float | None = None
        self._walk_base_seconds = 0.0
        self.seconds = 0.0
        """Since `begin`."""

    def begin(self, reading: Reading, walk: Walk) -> None:
        """Count from here on."""
        self._cgroup_base_seconds, self._walk_base_seconds = reading.cpu_seconds, walk.cpu_seconds

    def read(self, reading: Reading, walk: Walk) -> None:
        """Take the counter if it was there from the start, else the sum over processes."""
        if reading.cpu_seconds is not None and self._cgroup_base_seconds is not None:
            used = reading.cpu_seconds - self._cgroup_base_seconds - self._agent.cpu_seconds()
        else:
            used = walk.cpu_seconds - self._walk_base_seconds
        # A sum over processes falls when a walk misses one that ends; time that was used does not.
        self.seconds = max(self.seconds, used)


class MemoryMeter:
    """Working set and anonymous memory of the build."""

    def __init__(self, agent: AgentUse, shared_memory: SharedMemory) -> None:
        self._agent = agent
        self._shared_memory = shared_memory
        self._peak_since_sample_bytes = 0
        self.working_set_bytes = 0
        self.working_set_peak_bytes: int | None = None
        self.anonymous_peak_bytes: int | None = None
        self.is_estimate = False
        """Some reading was a sum over processes."""

    def read(self, reading: Reading, walk: Walk) -> None:
        """Take the working set from the cgroup, else estimate it over the processes of the walk."""
        working_set, anonymous = reading.working_set_bytes, reading.anonymous_bytes
        if working_set is None:
            estimate = self._shared_memory.estimate(walk.alive)
            working_set, anonymous = estimate.total_bytes, estimate.anonymous_bytes
            self.is_estimate = True
        else:
            own = self._agent.memory_bytes()
            working_set = max(working_set - own, 0)
            anonymous = None if anonymous is None else max(anonymous - own, 0)
        self.working_set_bytes = working_set
        self._peak_since_sample_bytes = max(self._peak_since_sample_bytes, working_set)
        self.working_set_peak_bytes = max(self.working_set_peak_bytes or 0, working_set)
        if anonymous is not None:
            self.anonymous_peak_bytes = max(self.anonymous_peak_bytes or 0, anonymous)

    def take_peak_since_sample(self) -> int:
        """Return the largest working set since the last call, and begin again with the present one."""
        peak, self._peak_since_sample_bytes = self._peak_since_sample_bytes, self.working_set_bytes
        return peak


class ProcessMeter:
    """How many processes the build has."""

    def __init__(self, agent: AgentUse) -> None:
        self._agent = agent
        self.count = 0
        self.peak = 0

    def read(self, reading: Reading, walk: Walk) -> None:
        """Take the number from the cgroup, else from the walk."""
        counted = reading.processes
        self.count = len(walk.alive) if counted is None else max(counted - self._agent.processes(), 0)
        self.peak = max(self.peak, self.count)


class IoMeter:
    """Bytes read from and written to storage."""

    def __init__(self, *, proc: str) -> None:
        self._proc = proc
        self._cgroup_base = self._reaped_base = (0, 0)
        self.read_bytes = 0
        self.written_bytes = 0

    def begin(self, reading: Reading) -> None:
        """Count from here on."""
        self._cgroup_base = (reading.read_bytes or 0, reading.written_bytes or 0)
        self._reaped_base = reaped_io(proc=self._proc)

    def read(self, reading: Reading, walk: Walk) -> None:
        """Take the counters, else the sum over our reaped children and the live processes that used most CPU time."""
        if reading.read_bytes is not None and reading.written_bytes is not None:
            read, written = reading.read_bytes - self._cgroup_base[0], reading.written_bytes - self._cgroup_base[1]
        else:
            read, written = self._sum_over_processes(walk)
        self.read_bytes, self.written_bytes = max(self.read_bytes, read), max(self.written_bytes, written)

    def _sum_over_processes(self, walk: Walk) -> tuple[int, int]:
        # Each process costs one more file: idle ones among thousands are skipped.
        busiest = heapq.nlargest(_MOST_IO_FILES, walk.processes.values(), key=lambda stat: stat.tree_ticks)
        pairs = [reaped_io(proc=self._proc), *(read_io(stat.pid, proc=self._proc) for stat in busiest)]
        read, written = (sum(column) for column in zip(*pairs, strict=True))
        return read - self._reaped_base[0], written - self._reaped_base[1]
