"""Measures a build in two threads: one reads every second, the other one does what may take long.

The sampling thread gets the phases through a queue, so that neither a stalled terminal nor a stalled disk makes the other
wait. The other one rewrites `telemetry.json` (an fsync may take seconds under load) and walks over folders. Nothing that
fails in here ever breaks a build: what could not be measured is None, and `notes` says why.
"""

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from buildjob.measure.cgroup import Cgroup, find_cgroup
from buildjob.measure.cgroup_position import cpu_limit_cores, memory_limit_bytes, read_position
from buildjob.measure.measurement import Measurement, Observation
from buildjob.measure.resident_code import keep_code_resident
from buildjob.measure.slow_work import SlowWork
from buildjob.telemetry import Machine, Samples

__all__ = ["Cgroup", "Observation", "Observer", "find_cgroup", "machine"]

_CHECKPOINT_SECONDS = 10.0
_GLANCE_SECONDS = 0.2
_LEAST_WAIT_SECONDS = 0.001  # a fault that repeats must not become a busy loop
_STOP_SECONDS = 30.0
_MOST_NOTES = 20


class _PhaseBegin(msgspec.Struct, frozen=True):
    name: str
    at: float


class Observer:
    """Measures from `with` to `stop`. The methods are for the thread that made it; only `stop` waits."""

    def __init__(
        self,
        *,
        cgroup: Cgroup | None,
        checkpoint: Callable[[Observation], None] | None = None,
        interval_seconds: float = 1.0,
        watched_folders: tuple[Path, ...] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`checkpoint` is called, in a thread of ours, every 10 s and with each phase, never after `stop` has returned."""
        self._interval_seconds = interval_seconds
        self._monotonic = monotonic
        self._notes: dict[str, None] = {}
        self._measurement = Measurement(
            cgroup=cgroup, interval_seconds=interval_seconds, note=self._note, where=machine(cgroup)
        )
        self._orders: queue.SimpleQueue[_PhaseBegin | None] = queue.SimpleQueue()
        self._slow_work = SlowWork(checkpoint, watched_folders, note=self._note)
        self._thread = threading.Thread(target=self._run, name="observe", daemon=True)
        self._is_resident = False
        self._result: Observation | None = None
        self._due = self._checkpoint_due = 0.0

    def watch(self, pid: int) -> None:
        """Count this process and its descendants, besides the descendants of the calling process."""
        self._measurement.watch(pid)

    def add_standby(self, pid: int) -> None:
        """Do not count this child: it serves what comes after the build, and has no children while the build runs."""
        self._measurement.add_standby(pid)

    def begin_phase(self, name: str, *, at: float | None = None) -> None:
        """Begin a phase, now or at a reading of `monotonic`; an empty name ends the current one and begins none.

        A phase whose reading lies before the run begins with the run.
        """
        self._orders.put(_PhaseBegin(name, self._monotonic() if at is None else at))

    @property
    def memory_bytes(self) -> int:
        """The working set when it was last read; 0 before. For any thread."""
        return self._measurement.memory_bytes

    def stop(self) -> Observation:
        """Take the last reading and return everything. Idempotent; waits for a checkpoint that is being written."""
        if self._result is None:
            if self._thread.is_alive():
                self._orders.put(None)
                self._thread.join(_STOP_SECONDS)
            if self._thread.is_alive():  # it hangs in a reading; what it knew before is returned
                self._note("the sampling thread did not end: the last figures are missing")
            self._slow_work.stop()
            self._result = self._observe()
            self._note_holes(self._result.samples)
        return self._result

    def notes(self) -> list[str]:
        """Return a message for each thing that could not be measured; empty if all went well."""
        return list(self._notes)

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError, AttributeError):
            self._is_resident = keep_code_resident()
        self._safely(lambda: self._measurement.begin(self._monotonic()))
        self._thread.start()
        self._slow_work.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        self._due = self._monotonic() + self._interval_seconds
        self._checkpoint_due = self._monotonic() + _CHECKPOINT_SECONDS
        while self._safely(self._wait_and_read):
            pass
        self._safely(lambda: self._measurement.end(self._monotonic()))

    def _wait_and_read(self) -> bool:
        """Do what is next: begin a phase, glance or sample. Return whether to go on."""
        order: _PhaseBegin | None = None
        with contextlib.suppress(queue.Empty):
            wait_seconds = min(self._due - self._monotonic(), _GLANCE_SECONDS)
            order = self._orders.get(timeout=max(wait_seconds, _LEAST_WAIT_SECONDS))
            if order is None:
                return False
        now = self._monotonic()
        is_new_phase = order is not None and self._measurement.begin_phase(order.name, at=min(order.at, now), now=now)
        if now >= self._due:
            late_seconds = now - self._due
            # Missed samples are skipped: the next one is due on the old grid.
            self._due += self._interval_seconds * (late_seconds // self._interval_seconds + 1)
            self._measurement.sample(now, late_seconds=late_seconds)
        elif order is None:
            self._measurement.glance(now)
        if is_new_phase or now >= self._checkpoint_due:
            self._checkpoint_due = now + _CHECKPOINT_SECONDS
            self._slow_work.hand_over(self._observe() if self._slow_work.wants_checkpoints else None, new_phase=is_new_phase)
        return True

    def _safely(self, step: Callable[[], object]) -> bool:
        """Take a step; return whether to go on. A fault in measuring breaks neither the build nor the measuring."""
        try:
            return step() is not False
        except Exception as error:  # noqa: BLE001 - see above
            self._note(f"a reading failed: {type(error).__name__}: {error}")
            return True

    def _observe(self) -> Observation:
        return self._measurement.observation(self._monotonic(), disk_peak_bytes=self._slow_work.disk_peak_bytes)

    def _note_holes(self, samples: Samples) -> None:
        """Say for how long the memory was not read: a peak within that time is in no figure but the kernel's."""
        if samples.holes:
            places = "1 hole" if samples.holes == 1 else f"{samples.holes} holes"
            advice = "" if self._is_resident else "; RLIMIT_MEMLOCK of 8 MiB (ulimit -l 8192) keeps it in memory"
            self._note(
                f"the memory was not read for {samples.hole_seconds:.0f} s in {places}: the agent was held up{advice}"
            )

    def _note(self, text: str) -> None:
        if len(self._notes) < _MOST_NOTES:
            self._notes.setdefault(text)


def machine(cgroup: Cgroup | None, *, proc: Path = Path("/proc")) -> Machine:
    """Return where the build runs. The limits of our own cgroup hold even if it is not used to measure by."""
    position = cgroup.position if cgroup else read_position(proc)
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        cgroup=cgroup.version if cgroup else "none",
        memory_limit_bytes=memory_limit_bytes(position) if position else None,
        cpu_limit_cores=cpu_limit_cores(position) if position else None,
    )
