from dataclasses import replace

import pytest

from ctest_xml.model import Measurement, Phase, Sample
from ctest_xml.timeline import MOST_SAMPLES, costs, phase_command, phase_test, sample_commands

PHASE = Phase(name="build", start_seconds=100, wall_seconds=10)


def values(measurements: object) -> dict[str, object]:
    return {measurement.name: measurement.value for measurement in measurements}  # type: ignore[attr-defined]


def test_a_phase_is_a_bar_with_memory_at_both_ends() -> None:
    phase = replace(PHASE, exit_code=1, memory_before_bytes=2048, memory_after_bytes=4096)
    command = phase_command(phase, "/stage")
    assert (command.kind, command.command, command.working_directory) == ("Custom", "spack phase: build", "/stage")
    assert (command.start_seconds, command.duration_seconds, command.result) == (100, 10, "1")
    assert values(command.measurements) == {"BeforeHostMemoryUsed": 2, "AfterHostMemoryUsed": 4}


def test_the_phase_that_installs_has_a_kind_of_its_own() -> None:
    assert phase_command(replace(PHASE, name="install"), "").kind == "Install"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, {}),
        ({"cpu_seconds": 5.0}, {"CPUTimeSeconds": 5.0, "CPUPercent": 50}),
        ({"cpu_user_seconds": 15.0}, {"CPUTimeUserSeconds": 15.0, "CPUPercent": 150}),
        (
            {"cpu_user_seconds": 3.0, "cpu_system_seconds": 2.0, "cpu_seconds": 9.0},
            {"CPUTimeSeconds": 9.0, "CPUTimeUserSeconds": 3.0, "CPUTimeSystemSeconds": 2.0, "CPUPercent": 50},
        ),
        ({"cpu_seconds": 5.0, "wall_seconds": 0.0}, {"CPUTimeSeconds": 5.0}),
        ({"cpu_seconds": 0.3, "wall_seconds": 0.004}, {"CPUTimeSeconds": 0.3}),
        ({"cpu_seconds": 0.9, "wall_seconds": 0.999}, {"CPUTimeSeconds": 0.9}),
        ({"memory_peak_bytes": 3 << 20, "read_bytes": 0}, {"PeakMemoryMiB": 3, "IOReadMiB": 0}),
        ({"written_bytes": 1 << 19}, {"IOWrittenMiB": 0.5}),
    ],
)
def test_what_a_phase_cost_is_listed_as_far_as_it_is_known(changes: dict[str, float], found: dict[str, float]) -> None:
    assert values(costs(replace(PHASE, **changes))) == found  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_samples_make_no_curve(count: int) -> None:
    assert list(sample_commands((Sample(time_seconds=1, memory_bytes=1, cpu_cores=1),) * count)) == []


@pytest.mark.parametrize("count", [2, 299, 300, 301, 1000, 1201])
def test_the_curve_has_no_gaps_and_keeps_the_peaks(count: int) -> None:
    samples = tuple(
        Sample(time_seconds=10 + 2 * at, memory_bytes=(at * 7919) % 10**6, cpu_cores=(at * 31) % 7) for at in range(count)
    )
    commands = list(sample_commands(samples))
    assert len(commands) <= MOST_SAMPLES
    ends = [command.start_seconds + command.duration_seconds for command in commands]
    assert ends[:-1] == [command.start_seconds for command in commands[1:]]
    assert (commands[0].start_seconds, ends[-1]) == (10, 10 + 2 * count)
    peaks = [values(command.measurements) for command in commands]
    assert max(peak["BeforeHostMemoryUsed"] for peak in peaks) == max(one.memory_bytes for one in samples) / 1024  # type: ignore[type-var]
    assert max(peak["BeforeCPULoadAverage"] for peak in peaks) == max(one.cpu_cores for one in samples)  # type: ignore[type-var]


def test_where_no_sample_was_taken_the_curve_has_a_gap() -> None:
    samples = tuple(Sample(time_seconds=at, memory_bytes=1, cpu_cores=None) for at in (1, 2, 3, 20, 21))
    commands = list(sample_commands(samples))
    assert [(command.start_seconds, command.duration_seconds) for command in commands] == [
        (1, 1),
        (2, 1),
        (3, 1),
        (20, 1),
        (21, 1),
    ]
    assert [sorted(values(command.measurements)) for command in commands] == [["BeforeHostMemoryUsed"]] * 5


def test_the_curve_ends_with_the_build() -> None:
    samples = tuple(Sample(time_seconds=time, memory_bytes=1, cpu_cores=1) for time in (11.0, 12.0, 12.4))
    commands = list(sample_commands(samples, end_seconds=12.5))
    assert commands[-1].start_seconds + commands[-1].duration_seconds == 12.5


def test_samples_at_one_instant_have_no_negative_duration() -> None:
    samples = tuple(Sample(time_seconds=time, memory_bytes=1, cpu_cores=1) for time in (5, 4, 4))
    assert [command.duration_seconds for command in sample_commands(samples)] == [0, 0, 0]


def test_a_phase_is_a_test_with_its_costs_log_and_plots() -> None:
    plot = Measurement(name="memory", type="image/png", value=b"png")
    passed = phase_test(replace(PHASE, cpu_seconds=1.0), "zlib", "log", (plot,))
    assert (passed.name, passed.status, passed.exit_code, passed.output) == ("zlib.build", "passed", "", "log")
    assert [measurement.name for measurement in passed.measurements] == ["CPUTimeSeconds", "CPUPercent", "memory"]
    failed = phase_test(replace(PHASE, exit_code=2), "zlib", "", ())
    assert (failed.status, failed.exit_code) == ("failed", "Exit code 2")
