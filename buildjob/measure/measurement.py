"""One run as it is measured: the clock, the walks, and when each meter reads.

`observer` says when; `cgroup_readings` holds what the cgroup counts, `process_walks` what only a walk over the processes can
measure; `meters` has one meter for each figure. Single-threaded, never waits, and raises nothing for what cannot be read.
Decisions: docs/decisions/0002-what-memory-means.md.
"""

import math
import time
from collections.abc import Callable

import msgspec

from buildjob.measure.agent_use import AgentUse
from buildjob.measure.cgroup import Cgroup, Kind
from buildjob.measure.cgroup_counters import Reading
from buildjob.measure.cgroup_readings import CgroupReadings
from buildjob.measure.memory_kills import MemoryKills
from buildjob.measure.meters import CpuMeter, IoMeter, MemoryMeter, ProcessMeter
from buildjob.measure.phases import Phases
from buildjob.measure.process_walks import Walk, Walker, WalkPace
from buildjob.measure.samples import Sample, SampleBuffer
from buildjob.measure.shared_memory import SharedMemory
from buildjob.measure.top_processes import TopTable
from buildjob.telemetry import Machine, MemoryKill, Phase, Samples, TopProcess, Totals

# The share of a core that walks may take: where they only find the largest processes, and where only they can measure.
_WALK_SHARE = 0.005
_WALK_SHARE_WHERE_NEEDED = 0.04
_GROWTH = 1.05
_EMPTY_SAMPLES = 3


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured, in the document's types."""

    totals: Totals
    phases: list[Phase]
    samples: Samples
    top_processes: list[TopProcess]
    memory_kills: list[MemoryKill]


class Measurement:
    """One run: `begin`, then `sample`, `glance` and `begin_phase` in order of time, `end`; `observation` at any time."""

    def __init__(
        self,
        *,
        cgroup: Cgroup | None,
        interval_seconds: float,
        note: Callable[[str], None],
        where: Machine | None = None,
        thread_time: Callable[[], float] = time.thread_time,
    ) -> None:
        """`note` receives a message for each figure that can no longer be measured.

        No CPU time exceeds what the machine `where` can give, and no estimate of memory what a build can have there.
        """
        self._note = note
        self._thread_time = thread_time
        self._readings = CgroupReadings(cgroup, note=note)
        self._agent = AgentUse(shares_cgroup=cgroup is not None and cgroup.kind is Kind.CONTAINER)
        self._walker = Walker(self._agent, note=note)
        self._walk = Walk()
        self._pace = WalkPace(_WALK_SHARE)
        self._walked_usage_bytes = 0
        self._empty_samples = 0

        self._cpu = CpuMeter(self._agent, cpus=where.cpus if where else math.inf)
        self._memory = MemoryMeter(
            self._agent,
            SharedMemory(thread_time=thread_time),
            most_bytes=_most_memory_bytes(where) if where else None,
        )
        self._processes = ProcessMeter(self._agent)
        self._io = IoMeter()
        self._top = TopTable()
        self._kills = MemoryKills(command=self._top.command)
        self._phases = Phases()
        self._samples = SampleBuffer(interval_seconds=interval_seconds)

        self._started_at = self._sampled_at = 0.0
        self._ended_at: float | None = None

    @property
    def memory_bytes(self) -> int:
        """The working set when it was last read; 0 before. May be asked for by another thread."""
        return self._memory.working_set_bytes

    def watch(self, pid: int) -> None:
        """Count this process and its descendants, besides our own descendants. May be called by another thread."""
        self._walker.roots |= {pid}

    def add_standby(self, pid: int) -> None:
        """Do not count this child of ours: it serves what comes after the build. May be called by another thread."""
        self._agent.standby |= {pid}

    def begin(self, now: float) -> None:
        """Read the figures that everything later is compared with."""
        self._started_at = self._sampled_at = now
        self._readings.begin()
        self._walker.begin()
        self._agent.begin()
        self._io.begin(self._readings.first)
        self._walk_again()
        self._cpu.begin(self._readings.first, self._walk, at=now)
        self._update(now)

    def glance(self, now: float) -> None:
        """Read the memory, for peaks shorter than the interval; read everything if it has grown. Needs a cgroup."""
        reading = self._readings.read_memory()
        if reading.working_set_bytes is None:
            return
        if self._has_grown(reading):
            self._update(now)
        else:
            self._keep_memory(reading, None)

    def sample(self, now: float, *, late_seconds: float) -> None:
        """Read what can be read now and add a sample of it.

        The cgroup's counters are read each time; what only a walk can measure, as often as the cost of walking allows.
        """
        self._give_up_empty_cgroup()
        self._update(now)
        self._add_sample(now, late_seconds)

    def begin_phase(self, name: str, *, at: float, now: float) -> bool:
        """End the current phase and begin the next one. Return whether a new one began.

        The name of the current phase continues it, an empty name begins none. After the 200th phase none begins.
        """
        if not self._phases.is_new(name):
            return False
        # A phase is charged with what was used within it: its figures are read now, whatever that costs.
        self._update(now, must_walk=self._readings.needs_walk)
        self._phases.begin(
            name,
            at=at - self._started_at,
            # The line of the log is older than the reading: what was used since is the new phase's.
            cpu_seconds=self._cpu.seconds_at(at),
            memory_bytes=self._memory.working_set_bytes,
        )
        return True

    def end(self, now: float) -> None:
        """Read the last figures and close the files."""
        self._update(now, must_walk=True)
        self._kills.name(self._walk.alive, now_seconds=now - self._started_at, at_last=True)
        self._phases.end(at=now - self._started_at, cpu_seconds=self._cpu.seconds)
        if now > self._sampled_at:
            self._add_sample(now, 0.0)
        self._io.read(self._readings.known, self._walk)
        self._ended_at = now
        self.close()

    def close(self) -> None:
        """Close the files; idempotent. All figures stay as they were."""
        self._readings.close()

    def observation(self, now: float, *, disk_peak_bytes: int | None) -> Observation:
        """Return everything so far; an unfinished phase ends now. After `end` the time is that of the end."""
        if self._ended_at is None:
            self._io.read(self._readings.known, self._walk)
        else:
            now = self._ended_at
        totals = Totals(
            wall_seconds=round(now - self._started_at, 3),
            cpu_seconds=round(self._cpu.seconds, 3),
            # A build has processes and memory: 0 means that it was over before anybody looked.
            memory_working_set_peak_bytes=self._memory.working_set_peak_bytes or None,
            memory_anonymous_peak_bytes=self._memory.anonymous_peak_bytes or None,
            memory_swap_peak_bytes=self._memory.swap_peak_bytes,
            memory_peak_bytes=self._readings.known.high_water_mark_bytes,
            memory_peak_is_upper_bound=self._readings.high_water_mark_is_upper_bound,
            memory_is_estimate=self._memory.is_estimate,
            cpu_throttled_seconds=self._readings.throttled_seconds,
            memory_pressure_seconds=self._readings.pressure_seconds,
            read_bytes=self._io.read_bytes,
            written_bytes=self._io.written_bytes,
            disk_peak_bytes=disk_peak_bytes,
            process_peak=self._processes.peak or None,
        )
        return Observation(
            totals=totals,
            phases=self._phases.phases(now=now - self._started_at, cpu_seconds=self._cpu.seconds),
            samples=self._samples.samples(),
            top_processes=self._top.top(),
            memory_kills=self._kills.kills(),
        )

    def _update(self, now: float, *, must_walk: bool = False) -> None:
        """Read the cgroup, walk over the processes if that is called for, and keep every figure. The order matters."""
        begun, walk_before = self._thread_time(), self._walk
        # The cgroup first: its figures decide whether to walk.
        reading = self._readings.read()
        self._forget_lost_cgroup()
        self._pace.share = _WALK_SHARE_WHERE_NEEDED if self._readings.needs_walk else _WALK_SHARE
        has_walked = must_walk or self._calls_for_walk(now)
        if has_walked:
            self._walk_again()
            self._walked_usage_bytes = max(self._walked_usage_bytes, reading.usage_bytes or 0)
            # Again after the walk: a kill during it is then noticed while the walk before, which saw the victim, is known.
            self._readings.read()
            # Kills noticed earlier before new ones: only what is missing in a later walk names a victim for certain.
            self._kills.name(self._walk.alive, now_seconds=now - self._started_at)
        self._notice_kills(now, walk_before)
        # Each figure keeps its own time: what the cgroup counts never waits for a walk.
        walk = self._walk if has_walked else None
        self._cpu.read(self._readings.latest, walk, at=now)
        self._keep_memory(self._readings.latest, walk)
        self._processes.read(self._readings.latest, walk)
        # Last, so that the cost holds all of the above: memory of processes is read with the meters, not with the walk.
        if has_walked:
            self._pace.spend(self._thread_time() - begun)

    def _calls_for_walk(self, now: float) -> bool:
        return (
            # Its cost is earned.
            self._pace.is_due(now)
            # The largest processes are to be seen while they are large: the kernel may kill one next.
            or self._has_grown(self._readings.latest)
            # A victim is named by its absence.
            or self._kills.is_waiting
            or self._kills.has_news(self._readings.kills)
        )

    def _has_grown(self, reading: Reading) -> bool:
        return (reading.usage_bytes or 0) > self._walked_usage_bytes * _GROWTH

    def _walk_again(self) -> None:
        self._walk = self._walker.walk(self._readings.cgroup, before=self._walk)
        self._top.update(self._walk.processes)

    def _notice_kills(self, now: float, walk_before: Walk) -> None:
        if self._kills.has_news(self._readings.kills):
            self._kills.notice(
                self._readings.kills,
                at_seconds=round(now - self._started_at, 3),
                limit_bytes=self._readings.memory_limit_bytes,
                # Both walks: the victim may have begun after the first one or ended before the second one.
                before={**walk_before.processes, **self._walk.processes},
            )

    def _keep_memory(self, reading: Reading, walk: Walk | None) -> None:
        self._memory.read(reading, walk)
        self._phases.keep_peak(self._memory.working_set_bytes)

    def _give_up_empty_cgroup(self) -> None:
        """Measure by walks from now on if the build never joined the cgroup that was made for it."""
        if not self._readings.is_made_and_empty or not self._walker.roots:
            return
        self._empty_samples += 1
        if self._empty_samples < _EMPTY_SAMPLES:
            return
        self._note("the build did not join its cgroup: its figures are sums over processes")
        self._readings.give_up()
        self._memory.swap_peak_bytes = None  # the 0 of a cgroup without processes

    def _forget_lost_cgroup(self) -> None:
        if self._readings.is_lost:
            self._note("the cgroup no longer exists: from then on the figures are sums over processes")
            self._readings.lose()

    def _add_sample(self, now: float, late_seconds: float) -> None:
        """Add what was read since the last sample; nothing if that is nothing."""
        memory_bytes, processes = self._memory.take_peak_since_sample(), self._processes.take_count()
        cores, span = self._cpu.take_cores()
        if memory_bytes is None and processes is None and cores is None:
            return
        self._samples.add(
            Sample(
                time_seconds=now - self._started_at,
                cpu_span_seconds=span,
                memory_bytes=memory_bytes,
                cpu_cores=cores,
                processes=processes,
                late_seconds=late_seconds,
            )
        )
        self._sampled_at = now


def _most_memory_bytes(where: Machine) -> int:
    return min(where.memory_limit_bytes or where.memory_bytes, where.memory_bytes)
