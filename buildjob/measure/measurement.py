"""What a build used so far: readings and walks become totals, phases, curves and kills.

Single-threaded and without waiting: `observe` says when to look. All figures are the build's: where the agent shares its
group, its own CPU time and private memory are taken off (from the kernel's mark they cannot be). Raises nothing for what it
cannot read. Decisions: docs/decisions/0002-what-memory-means.md.
"""

import contextlib
import heapq
import os
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from buildjob.measure.cgroup import Cgroup, Kind
from buildjob.measure.cgroup_counters import Counters, Reading
from buildjob.measure.memory_kills import MemoryKills
from buildjob.measure.phases import Phases
from buildjob.measure.process_tree import (
    Key,
    SharedMemory,
    live_cpu_seconds,
    walk_descendants,
    walk_members,
    walk_with_psutil,
)
from buildjob.measure.procfs import TICKS_PER_SECOND, ProcessStat, private_bytes, read_io, read_stat, reaped_io
from buildjob.measure.samples import Curve, Point
from buildjob.measure.top_processes import TopTable
from buildjob.telemetry import MemoryKill, Phase, Samples, TopProcess, Totals

# The part of a core that walking over the processes may take: with a group it only names the greatest, without, it is all.
_WALK_SHARE_WITH_GROUP = 0.002
_WALK_SHARE_WITHOUT = 0.04
_GROWTH = 1.05
_MOST_IO_FILES = 256
_PATIENCE_SAMPLES = 3


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured, in the document's types."""

    totals: Totals
    phases: list[Phase]
    samples: Samples
    top_processes: list[TopProcess]
    memory_kills: list[MemoryKill]


class _Pace:
    """When the next walk may be, so that all together take at most `share` of the time: a walk takes out, time pays in."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._saved_seconds = 0.0
        self._paid_at = 0.0

    def is_due(self, now: float) -> bool:
        # What is saved is limited to a second's pay: after a quiet hour the walks must not become dense.
        paid = (now - self._paid_at) * self._share
        self._saved_seconds, self._paid_at = min(self._saved_seconds + paid, self._share), now
        return self._saved_seconds >= 0

    def spend(self, cost_seconds: float) -> None:
        self._saved_seconds -= cost_seconds


class Measurement:
    """One run: `begin`, then `sample`, `glance` and `mark` in order of time, `end`; `observation` at any time."""

    def __init__(
        self,
        *,
        cgroup: Cgroup | None,
        interval_seconds: float,
        note: Callable[[str], None],
        proc: str = "/proc",
        thread_time: Callable[[], float] = time.thread_time,
    ) -> None:
        """`note` is told, in words, which figure could not be measured any more; `proc` is another folder in tests."""
        self._cgroup = cgroup
        self._counters = Counters(cgroup, note=note) if cgroup else None
        self._agent_is_inside = cgroup is not None and cgroup.kind is Kind.CONTAINER
        self._note = note
        self._proc = proc
        self._thread_time = thread_time
        self._pace = self._new_pace()
        self._curve = Curve(interval_seconds=interval_seconds)
        self._top = TopTable()
        self._shared_memory = SharedMemory(thread_time=thread_time)
        self.roots: frozenset[int] = frozenset()
        """Processes that count with their descendants, besides our own descendants. Replaced whole: threads share it."""
        self.aside: frozenset[int] = frozenset()
        """Children of ours that do not count, as they were started for what comes after the build. Replaced like `roots`."""
        self._strangers: frozenset[Key] = frozenset()
        """What ran below us before the build began, and is not its."""

        self._start = 0.0
        self._base = self._latest = self._known = Reading()
        self._mark_was_reset = False
        self._own_cpu_base = self._tree_cpu_base = self._reaped_before_walk = 0.0
        self._io_base = self._io = (0, 0)
        self._walk: Mapping[Key, ProcessStat] = {}
        self._walked_usage_peak = 0
        self._was_joined = False
        self._empty_samples = 0

        self._cpu_seconds = 0.0
        self._memory_bytes: int | None = None
        self._memory_peak: int | None = None
        self._anonymous_peak: int | None = None
        self._is_estimate = False
        self._processes = self._process_peak = 0
        self._sampled_at = self._sampled_cpu = 0.0
        self._memory_since_sample = 0
        self._kills = MemoryKills(command=self._top.command)
        self._phases = Phases()
        self._ended_at: float | None = None

    def begin(self, now: float) -> None:
        """Take the figures that everything later is compared with."""
        self._start = self._sampled_at = now
        if self._counters:
            self._mark_was_reset = self._counters.reset_mark()
            self._base = self._known = self._counters.read()
        with contextlib.suppress(OSError, ValueError):  # the walk below tells of it
            self._strangers = frozenset(key for key in self._descendants() if key[0] not in self.roots)
        self._own_cpu_base, self._io_base = time.process_time(), reaped_io(proc=self._proc)
        self._walk_tree()
        self._tree_cpu_base = self._tree_cpu()
        self._look(now)

    def glance(self, now: float) -> None:
        """Read the memory, to see peaks shorter than the interval, or all if it has grown. Does nothing without a group."""
        reading = self._counters.read_memory() if self._counters else Reading()
        if reading.working_set_bytes is None:
            return
        if (reading.usage_bytes or 0) > self._walked_usage_peak * _GROWTH:
            self._look(now)
            return
        self._keep_memory(reading)

    def sample(self, now: float, *, late_seconds: float) -> None:
        """Read everything and add a point to the curves; without a group only as often as walking may cost."""
        self._give_up_empty_group()
        if self._needs_walk and not self._pace.is_due(now):
            return
        self._look(now)
        self._add_point(now, late_seconds)

    def mark(self, name: str, *, at: float, now: float) -> bool:
        """End the phase under way and begin the next one; say whether there is a new one.

        The same name again goes on with the phase, an empty one begins none; so do further ones after the 200th.
        """
        if not self._phases.is_new(name):
            return False
        self._look(now)
        self._phases.begin(name, at=at - self._start, cpu_seconds=self._cpu_seconds, memory_bytes=self._memory_bytes)
        return True

    def end(self, now: float) -> None:
        """Take the last figures and close the files."""
        self._look(now, walk=True)
        self._kills.name(self._alive(), now_seconds=now - self._start, at_last=True)
        self._phases.end(at=now - self._start, cpu_seconds=self._cpu_seconds)
        if now > self._sampled_at:
            self._add_point(now, 0.0)
        self._measure_io()
        self._ended_at = now
        self.close()

    def close(self) -> None:
        """Close the files; idempotent. Whatever is asked for afterwards stays as it was."""
        if self._counters:
            self._counters.close()

    def observation(self, now: float, *, disk_peak_bytes: int | None) -> Observation:
        """Return everything so far; an unfinished phase ends now. After `end` the time is that of the end."""
        known, base = self._known, self._base
        if self._ended_at is None:
            self._measure_io()
        else:
            now = self._ended_at
        totals = Totals(
            wall_seconds=_rounded(now - self._start),
            cpu_seconds=_rounded(self._cpu_seconds),
            memory_working_set_peak_bytes=self._memory_peak,
            memory_anonymous_peak_bytes=self._anonymous_peak,
            memory_peak_bytes=known.mark_bytes,
            memory_peak_is_upper_bound=is_upper_bound(
                before=base.mark_bytes, after=known.mark_bytes, was_reset=self._mark_was_reset
            ),
            memory_is_estimate=self._is_estimate,
            cpu_throttled_seconds=_since(known.throttled_seconds, base.throttled_seconds),
            memory_pressure_seconds=_since(known.pressure_seconds, base.pressure_seconds),
            read_bytes=self._io[0],
            written_bytes=self._io[1],
            disk_peak_bytes=disk_peak_bytes,
            process_peak=self._process_peak,
        )
        return Observation(
            totals=totals,
            phases=self._phases.phases(now=now - self._start, cpu_seconds=self._cpu_seconds),
            samples=self._curve.samples(),
            top_processes=self._top.top(),
            memory_kills=self._kills.kills(),
        )

    @property
    def _needs_walk(self) -> bool:
        """Whether memory or CPU can be told only by walking over the processes."""
        return self._latest.working_set_bytes is None or self._latest.cpu_seconds is None

    @property
    def _counted_kills(self) -> int:
        """How often the kernel has killed since the start."""
        return (self._known.kills or 0) - (self._base.kills or 0)

    def _new_pace(self) -> _Pace:
        return _Pace(_WALK_SHARE_WITH_GROUP if self._counters else _WALK_SHARE_WITHOUT)

    def _look(self, now: float, *, walk: bool = False) -> None:
        """Read the counters, walk if it is due or called for, and keep extremes, kills and the phase's peak."""
        begun, previous = self._thread_time(), self._walk
        self._read()
        usage = self._latest.usage_bytes or 0
        has_grown = usage > self._walked_usage_peak * _GROWTH
        if (
            walk
            or has_grown
            or self._kills.is_waiting
            or self._needs_walk
            or self._kills.has_news(self._counted_kills)
            or self._pace.is_due(now)
        ):
            self._walk_tree()
            self._walked_usage_peak = max(self._walked_usage_peak, usage)
            if self._counters and not self._needs_walk:
                self._read()  # a kill during the walk is noticed now, while the walk before is still known
        self._kills.name(self._alive(), now_seconds=now - self._start)
        if self._kills.has_news(self._counted_kills):
            limit_bytes = self._cgroup.memory_limit_bytes if self._cgroup else None
            self._kills.notice(
                self._counted_kills,
                at_seconds=_rounded(now - self._start),
                limit_bytes=limit_bytes,
                before={**previous, **self._walk},
            )
        self._keep_cpu()
        self._keep_memory(self._latest)
        self._keep_processes()
        self._pace.spend(self._thread_time() - begun)

    def _read(self) -> None:
        self._latest = self._counters.read() if self._counters else Reading()
        self._known = _latest_known(self._known, self._latest)

    def _keep_cpu(self) -> None:
        if self._latest.cpu_seconds is not None and self._base.cpu_seconds is not None:
            used = self._latest.cpu_seconds - self._base.cpu_seconds
            if self._agent_is_inside:
                used -= time.process_time() - self._own_cpu_base + self._aside_cpu()
            self._was_joined = self._was_joined or used > 0
        else:
            used = self._tree_cpu() - self._tree_cpu_base
        self._cpu_seconds = max(self._cpu_seconds, used)  # a sum over processes may fall when one is missed

    def _keep_memory(self, reading: Reading) -> None:
        working_set, anonymous = reading.working_set_bytes, reading.anonymous_bytes
        if working_set is None:
            estimate = self._shared_memory.estimate(self._alive())
            working_set, anonymous = estimate.total_bytes, estimate.anonymous_bytes
            self._is_estimate = True
        elif self._agent_is_inside:
            own = private_bytes("self", proc=self._proc) + sum(private_bytes(each, proc=self._proc) for each in self.aside)
            working_set = max(working_set - own, 0)
            anonymous = None if anonymous is None else max(anonymous - own, 0)
        self._memory_bytes = working_set
        self._memory_since_sample = max(self._memory_since_sample, working_set)
        self._memory_peak = max(self._memory_peak or 0, working_set)
        if anonymous is not None:
            self._anonymous_peak = max(self._anonymous_peak or 0, anonymous)
        self._phases.keep_peak(working_set)

    def _keep_processes(self) -> None:
        counted = self._latest.processes
        self._was_joined = self._was_joined or bool(counted)
        others = 1 + len(self.aside) if self._agent_is_inside else 0
        self._processes = len(self._alive()) if counted is None else max(counted - others, 0)
        self._process_peak = max(self._process_peak, self._processes)

    def _alive(self) -> Mapping[Key, ProcessStat]:
        """Return the processes of the last walk that had not ended."""
        return {key: stat for key, stat in self._walk.items() if not stat.is_zombie and stat.memory_bytes}

    def _walk_tree(self) -> None:
        # Before the walk: what ends in between is missed once, and not counted twice.
        self._reaped_before_walk = _reaped_cpu_seconds()
        try:
            if self._cgroup and self._counters:
                walk: Mapping[Key, ProcessStat] = walk_members(self._cgroup.procs(), own_pid=os.getpid(), proc=self._proc)
            else:
                walk = self._descendants()
            self._walk = {key: stat for key, stat in walk.items() if key[0] not in self.aside}
            self._top.update(self._walk)
        except (OSError, ValueError) as error:
            self._note(f"a walk over the processes failed: {error}")

    def _descendants(self) -> Mapping[Key, ProcessStat]:
        if Path(self._proc, "stat").exists():
            return walk_descendants(self.roots, own_pid=os.getpid(), strangers=self._strangers, proc=self._proc)
        return walk_with_psutil(self.roots, own_pid=os.getpid(), strangers=self._strangers)

    def _tree_cpu(self) -> float:
        """Return what our reaped children and the processes of the last walk have used."""
        return self._reaped_before_walk + live_cpu_seconds(self._walk)

    def _aside_cpu(self) -> float:
        """Return what those that do not count have used; all of them have been started by us, and none has been reaped."""
        stats = (read_stat(pid, proc=self._proc) for pid in self.aside)
        return sum(stat.tree_ticks for stat in stats if stat) / TICKS_PER_SECOND

    def _give_up_empty_group(self) -> None:
        """Go over to walking if the build never came into the group that was made for it."""
        if self._cgroup is None or self._counters is None or self._agent_is_inside or self._was_joined or not self.roots:
            return
        self._empty_samples += 1
        if self._empty_samples < _PATIENCE_SAMPLES:
            return
        self._note("the build did not join its group: its figures are sums over processes")
        self._counters.close()
        self._counters = None
        self._latest = self._known = self._base = Reading()
        self._pace = self._new_pace()

    def _add_point(self, now: float, late_seconds: float) -> None:
        span = now - self._sampled_at
        cores = (self._cpu_seconds - self._sampled_cpu) / span if span > 0 else 0.0
        self._curve.add(
            Point(
                time_seconds=now - self._start,
                span_seconds=span,
                memory_bytes=self._memory_since_sample,
                cpu_cores=cores,
                processes=self._processes,
                late_seconds=late_seconds,
            )
        )
        self._sampled_at, self._sampled_cpu, self._memory_since_sample = now, self._cpu_seconds, self._memory_bytes or 0

    def _measure_io(self) -> None:
        """Keep what was read and written: the group's counter, or the sum over our reaped children and the live tree."""
        known, base = self._known, self._base
        if known.read_bytes is not None and known.written_bytes is not None:
            sums = [known.read_bytes - (base.read_bytes or 0), known.written_bytes - (base.written_bytes or 0)]
        else:
            busiest = heapq.nlargest(_MOST_IO_FILES, self._walk.values(), key=lambda stat: stat.tree_ticks)
            pairs = [reaped_io(proc=self._proc), *(read_io(stat.pid, proc=self._proc) for stat in busiest)]
            sums = [sum(column) - base for column, base in zip(zip(*pairs, strict=True), self._io_base, strict=True)]
        self._io = (max(self._io[0], sums[0]), max(self._io[1], sums[1]))


def is_upper_bound(*, before: int | None, after: int | None, was_reset: bool) -> bool:
    """Tell whether the mark may be older than the build: it stood before, could not be set anew and did not rise."""
    return after is not None and not was_reset and after <= (before or 0)


def _latest_known(known: Reading, latest: Reading) -> Reading:
    """Return the latest reading, in which what could not be read any more stays as it was."""
    gaps = {name: getattr(known, name) for name in latest.__struct_fields__ if getattr(latest, name) is None}
    return msgspec.structs.replace(latest, **gaps) if any(gap is not None for gap in gaps.values()) else latest


def _since(latest: float | None, base: float | None) -> float | None:
    return None if latest is None or base is None else _rounded(max(latest - base, 0.0))


def _rounded(seconds: float) -> float:
    return round(seconds, 3)


def _reaped_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
