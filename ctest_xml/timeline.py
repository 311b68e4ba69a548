"""Turns phases and samples into what CDash's instrumentation page and test pages show.

Pure. Obeys: CDash 5.3, resources/js/vue/components/BuildInstrumentation*.vue: each command is a bar; if it has
`BeforeHostMemoryUsed` or `AfterHostMemoryUsed` (KiB), it is also a point of the memory curve, at the command's start.
"""

import itertools
import math
from collections.abc import Iterator

from ctest_xml.model import Command, Content, Measurement, Phase, Sample, Test

SHORTEST_RATE_SECONDS = 1.0
"""CPU time is counted in ticks: over a shorter time it says nothing about the CPUs in use."""
MOST_SAMPLES = 300
"""More would slow the page down and show nothing new."""
_MIB = 1 << 20


def phase_command(phase: Phase, working_directory: str) -> Command:
    """Return a phase as a bar of the timeline."""
    return Command(
        kind="Install" if phase.name == "install" else "Custom",
        command=f"spack phase: {phase.name}",
        working_directory=working_directory,
        start_seconds=phase.start_seconds,
        duration_seconds=phase.wall_seconds,
        result=str(phase.exit_code),
        measurements=(*_host_memory(phase), *costs(phase)),
    )


def _host_memory(phase: Phase) -> Iterator[Measurement]:
    for name, value in (
        ("BeforeHostMemoryUsed", phase.memory_before_bytes),
        ("AfterHostMemoryUsed", phase.memory_after_bytes),
    ):
        if value is not None:
            yield Measurement(name=name, value=value / 1024)


def costs(phase: Phase) -> Iterator[Measurement]:
    """Yield what a phase used, as far as it is known; each name has its unit."""
    user, system = phase.cpu_user_seconds, phase.cpu_system_seconds
    are_separate = user is not None or system is not None
    cpu = (user or 0) + (system or 0) if are_separate else phase.cpu_seconds
    values: dict[str, float | None] = {
        "PeakMemoryMiB": _mib(phase.memory_peak_bytes),
        "CPUTimeSeconds": phase.cpu_seconds,
        "CPUTimeUserSeconds": user,
        "CPUTimeSystemSeconds": system,
        "CPUPercent": None if cpu is None or phase.wall_seconds < SHORTEST_RATE_SECONDS else 100 * cpu / phase.wall_seconds,
        "IOReadMiB": _mib(phase.read_bytes),
        "IOWrittenMiB": _mib(phase.written_bytes),
    }
    for name, value in values.items():
        if value is not None:
            yield Measurement(name=name, value=value)


def _mib(size: int | None) -> float | None:
    return None if size is None else size / _MIB


def sample_commands(samples: tuple[Sample, ...], *, end_seconds: float = math.inf) -> Iterator[Command]:
    """Yield the memory curve: at most 300 intervals, each with the highest samples in it. The last one ends by the end.

    They leave no gap, except where samples lie further apart than three times their usual distance.
    """
    if len(samples) < 2:
        return
    width = -(-len(samples) // MOST_SAMPLES)  # samples in an interval, rounded up
    distances = sorted(later.time_seconds - earlier.time_seconds for earlier, later in itertools.pairwise(samples))
    usual = distances[len(distances) // 2]
    for first in range(0, len(samples), width):
        inside = samples[first : first + width]
        ends = min(inside[-1].time_seconds + usual, max(end_seconds, inside[-1].time_seconds))
        if first + width < len(samples) and samples[first + width].time_seconds - inside[-1].time_seconds <= 3 * usual:
            ends = samples[first + width].time_seconds
        cores = [sample.cpu_cores for sample in inside if sample.cpu_cores is not None]
        yield Command(
            command="sample: memory and CPU in use",
            start_seconds=inside[0].time_seconds,
            duration_seconds=max(0.0, ends - inside[0].time_seconds),
            measurements=(
                Measurement(name="BeforeHostMemoryUsed", value=max(sample.memory_bytes for sample in inside) / 1024),
                *(Measurement(name="BeforeCPULoadAverage", value=max(cores)) for _ in cores[:1]),
            ),
        )


def phase_test(phase: Phase, package: str, log: Content, images: tuple[Measurement, ...], *, number: int = 1) -> Test:
    """Return a phase, the `number`th of its name, as a test, whose page draws the trend of each measurement."""
    return Test(
        name=f"{package}.{phase.name}" + (f".{number}" if number > 1 else ""),
        status="failed" if phase.exit_code else "passed",
        command_line=f"spack phase: {phase.name}",
        start_seconds=phase.start_seconds,
        execution_seconds=phase.wall_seconds,
        completion="Completed",
        exit_code=f"Exit code {phase.exit_code}" if phase.exit_code else "",
        measurements=(*costs(phase), *images),
        output=log,
        labels=(package,),
    )
