"""Watches a build from outside: for now its wall time, CPU time and the largest of its processes."""

import contextlib
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import msgspec
import psutil

from buildjob import telemetry


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured so far."""

    totals: telemetry.Totals
    phases: list[telemetry.Phase] = []
    samples: telemetry.Samples = telemetry.Samples()
    top_processes: list[telemetry.TopProcess] = []
    memory_kills: list[telemetry.MemoryKill] = []


class Cgroup:
    """A control group that holds the build and nothing else."""

    def join(self) -> None:
        """Move the calling process into it."""


@contextlib.contextmanager
def find_cgroup() -> Iterator[Cgroup | None]:
    """Give the build's control group, or None if there is none to be had."""
    yield None


def machine(cgroup: Cgroup | None) -> telemetry.Machine:
    """Return where the build runs."""
    del cgroup
    return telemetry.Machine(cpus=psutil.cpu_count() or 1, memory_bytes=psutil.virtual_memory().total)


class Observer:
    """Measures from the moment it is made until it is stopped."""

    def __init__(
        self,
        *,
        cgroup: Cgroup | None,
        checkpoint: Callable[[Observation], None],
        interval_seconds: float,
        watched_folders: tuple[Path, ...],
    ) -> None:
        del cgroup, interval_seconds, watched_folders
        self._checkpoint = checkpoint
        self._begun = time.monotonic()
        self._used = resource.getrusage(resource.RUSAGE_CHILDREN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def watch(self, pid: int) -> None:
        """Take the root of the tree to watch."""
        del pid
        self._checkpoint(self.stop())

    def mark(self, phase: str) -> None:
        """Begin a phase."""

    def stop(self) -> Observation:
        """Return what was measured so far."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return Observation(
            totals=telemetry.Totals(
                wall_seconds=time.monotonic() - self._begun,
                cpu_seconds=used.ru_utime + used.ru_stime - self._used.ru_utime - self._used.ru_stime,
                memory_peak_bytes=used.ru_maxrss * 1024,
                memory_is_estimate=True,
            )
        )
