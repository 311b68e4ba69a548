"""The measuring of a build: a thread that looks every second, and a slow one for what may take its time.

The sampling thread is told phases through a queue, so that neither a stalled terminal nor a stalled disk makes the other
wait. The second thread rewrites `telemetry.json` (an fsync may take seconds under load) and walks over folders. Nothing that
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
from buildjob.measure.disk_use import DiskUse
from buildjob.measure.measurement import Measurement, Observation
from buildjob.telemetry import Machine

__all__ = ["Cgroup", "Observation", "Observer", "find_cgroup", "machine"]

_CHECKPOINT_SECONDS = 10.0
_GLANCE_SECONDS = 0.2
_LEAST_WAIT_SECONDS = 0.001  # a fault that repeats must not become a busy loop
_STOP_SECONDS = 30.0
_MOST_NOTES = 20

# Walks over folders: 5 ms of every 2.5 s are 0.2 % of a core; a round at most this often, or at a mark if it was cheap.
_SLICE_SECONDS = 0.005
_SLICE_EVERY_SECONDS = 2.5
_ROUND_EVERY_SECONDS = 30.0
_CHEAP_ROUND_SECONDS = 0.1


class _PhaseBegin(msgspec.Struct, frozen=True):
    name: str
    at: float


class Observer:
    """Measures from `with` to `stop`. The methods are for the thread that made it and never wait but `stop`."""

    def __init__(
        self,
        *,
        cgroup: Cgroup | None,
        checkpoint: Callable[[Observation], None] | None = None,
        interval_seconds: float = 1.0,
        watched_folders: tuple[Path, ...] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`checkpoint` is called, in a thread of ours, every 10 s and after each mark, never after `stop` has returned."""
        self._interval_seconds = interval_seconds
        self._monotonic = monotonic
        self._notes: dict[str, None] = {}
        self._measurement = Measurement(cgroup=cgroup, interval_seconds=interval_seconds, note=self._note)
        self._orders: queue.SimpleQueue[_PhaseBegin | None] = queue.SimpleQueue()
        self._chores = _Chores(checkpoint, watched_folders, note=self._note)
        self._thread = threading.Thread(target=self._run, name="observe", daemon=True)
        self._result: Observation | None = None
        self._due = self._checkpoint_due = 0.0

    def watch(self, pid: int) -> None:
        """Count this process and its descendants; descendants of the calling process count anyway."""
        self._measurement.watch(pid)

    def add_standby(self, pid: int) -> None:
        """Do not count this child: it serves what comes after the build, and has no children while the build runs."""
        self._measurement.add_standby(pid)

    def begin_phase(self, name: str, *, at: float | None = None) -> None:
        """Begin a phase, now or at a reading of `monotonic`; an empty name ends the current one and begins none."""
        self._orders.put(_PhaseBegin(name, self._monotonic() if at is None else at))

    def stop(self) -> Observation:
        """Take the last reading and return everything. Idempotent; waits for a checkpoint that is being written."""
        if self._result is None:
            if self._thread.is_alive():
                self._orders.put(None)
                self._thread.join(_STOP_SECONDS)
            if self._thread.is_alive():  # it hangs in a reading: what it knew has to do
                self._note("the sampling thread did not end: the last figures are missing")
            self._chores.stop()
            self._result = self._observe()
        return self._result

    def notes(self) -> list[str]:
        """Return in words what could not be measured, each reason once; empty if all went well."""
        return list(self._notes)

    def __enter__(self) -> Self:
        self._safely(lambda: self._measurement.begin(self._monotonic()))
        self._thread.start()
        self._chores.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        self._due = self._monotonic() + self._interval_seconds
        self._checkpoint_due = self._monotonic() + _CHECKPOINT_SECONDS
        while self._safely(self._wait_and_look):
            pass
        self._safely(lambda: self._measurement.end(self._monotonic()))

    def _wait_and_look(self) -> bool:
        """Do what is next: a mark's reading, a glance or a sample; say whether to go on."""
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
            # Samples that were missed are left out: the next one is planned on the old grid.
            self._due += self._interval_seconds * (late_seconds // self._interval_seconds + 1)
            self._measurement.sample(now, late_seconds=late_seconds)
        elif order is None:
            self._measurement.glance(now)
        if is_new_phase or now >= self._checkpoint_due:
            self._checkpoint_due = now + _CHECKPOINT_SECONDS
            self._chores.hand_over(self._observe() if self._chores.wants_checkpoints else None, at_mark=is_new_phase)
        return True

    def _safely(self, step: Callable[[], object]) -> bool:
        """Take a step; say whether to go on: no fault of the measuring may break a build, or end the measuring."""
        try:
            return step() is not False
        except Exception as error:  # noqa: BLE001 - see above
            self._note(f"a reading failed: {type(error).__name__}: {error}")
            return True

    def _observe(self) -> Observation:
        return self._measurement.observation(self._monotonic(), disk_peak_bytes=self._chores.disk_peak_bytes)

    def _note(self, text: str) -> None:
        if len(self._notes) < _MOST_NOTES:
            self._notes.setdefault(text)


class _Chores:
    """The slow thread: checkpoints, of which only the newest waits, and walks over folders."""

    def __init__(
        self, checkpoint: Callable[[Observation], None] | None, folders: tuple[Path, ...], *, note: Callable[[str], None]
    ) -> None:
        self._checkpoint = checkpoint
        self._disk = DiskUse(folders) if folders else None
        self._note = note
        self._woken = threading.Event()
        self._newest: Observation | None = None
        self._is_stopped = self._is_marked = False
        self._thread = threading.Thread(target=self._run, name="observe-chores", daemon=True)

    @property
    def wants_checkpoints(self) -> bool:
        return self._checkpoint is not None

    @property
    def disk_peak_bytes(self) -> int | None:
        return self._disk.peak_bytes if self._disk else None

    def start(self) -> None:
        if self._checkpoint or self._disk:
            self._thread.start()

    def hand_over(self, observation: Observation | None, *, at_mark: bool) -> None:
        self._newest = observation or self._newest
        self._is_marked = self._is_marked or at_mark
        self._woken.set()

    def stop(self) -> None:
        self._is_stopped = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        round_due = 0.0  # the first round at once
        while not self._is_stopped:
            self._woken.clear()
            self._write()
            if self._disk:
                cheap = self._is_marked and self._disk.round_seconds < _CHEAP_ROUND_SECONDS
                self._is_marked = False
                now = time.monotonic()
                if (cheap or now >= round_due) and self._step(_CHEAP_ROUND_SECONDS if cheap else _SLICE_SECONDS):
                    round_due = now + _ROUND_EVERY_SECONDS
            self._woken.wait(_SLICE_EVERY_SECONDS if self._disk else None)
        if self._disk and self._disk.round_seconds < _CHEAP_ROUND_SECONDS:
            self._step(_CHEAP_ROUND_SECONDS)  # what the build left behind

    def _write(self) -> None:
        observation, self._newest = self._newest, None
        if observation is None or self._checkpoint is None:
            return
        try:
            self._checkpoint(observation)
        except Exception as error:  # noqa: BLE001 - the document of a running build is a courtesy
            self._note(f"a checkpoint failed: {type(error).__name__}: {error}")

    def _step(self, seconds: float) -> bool:
        try:
            return bool(self._disk and self._disk.step(seconds))
        except Exception as error:  # noqa: BLE001 - as above
            self._note(f"the disk use is unknown: {type(error).__name__}: {error}")
            self._disk = None
            return False


def machine(cgroup: Cgroup | None, *, proc: Path = Path("/proc")) -> Machine:
    """Return where the build runs. Limits hold, and are told, also where the group is not fit to measure by."""
    position = cgroup.position if cgroup else read_position(proc)
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        cgroup=cgroup.version if cgroup else "none",
        memory_limit_bytes=memory_limit_bytes(position) if position else None,
        cpu_limit_cores=cpu_limit_cores(position) if position else None,
    )
