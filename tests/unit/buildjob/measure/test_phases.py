"""Phases share out wall time, CPU time and memory; there is always one phase or none."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.measure.phases import Phases
from buildjob.telemetry import Phase


def test_a_phase_ends_where_the_next_one_begins() -> None:
    phases = Phases()
    phases.begin("configure", at=1.0, cpu_seconds=2.0, memory_bytes=10)
    phases.keep_peak(30)
    phases.keep_peak(20)
    phases.begin("build", at=4.0, cpu_seconds=5.0, memory_bytes=15)
    phases.end(at=6.0, cpu_seconds=9.5)
    phases.keep_peak(999)  # after the last phase: no phase's
    assert phases.phases(now=100.0, cpu_seconds=100.0) == [
        Phase(name="configure", start_seconds=1.0, wall_seconds=3.0, cpu_seconds=3.0, memory_working_set_peak_bytes=30),
        Phase(name="build", start_seconds=4.0, wall_seconds=2.0, cpu_seconds=4.5, memory_working_set_peak_bytes=15),
    ]


def test_the_time_between_phases_is_no_phase() -> None:
    phases = Phases()
    phases.keep_peak(5)
    phases.end(at=1.0, cpu_seconds=1.0)
    phases.begin("build", at=1.0, cpu_seconds=0.0, memory_bytes=None)
    phases.begin("", at=2.0, cpu_seconds=1.0, memory_bytes=7)
    phases.keep_peak(70)
    phases.begin("install", at=3.0, cpu_seconds=2.0, memory_bytes=8)
    found = phases.phases(now=5.0, cpu_seconds=2.5)
    assert [(phase.name, phase.wall_seconds, phase.cpu_seconds) for phase in found] == [
        ("build", 1.0, 1.0),
        ("install", 2.0, 0.5),  # the current one, as if it ended now
    ]
    assert [phase.memory_working_set_peak_bytes for phase in found] == [None, 8]


def test_the_name_of_the_current_phase_is_not_new() -> None:
    phases = Phases()
    assert not phases.is_new("")
    assert phases.is_new("build")
    phases.begin("build", at=0.0, cpu_seconds=0.0, memory_bytes=None)
    assert not phases.is_new("build")
    assert phases.is_new("")
    phases.begin("", at=1.0, cpu_seconds=0.0, memory_bytes=None)
    assert phases.is_new("build")  # again: a second phase of this name


def test_after_the_200th_phase_none_is_new() -> None:
    phases = Phases()
    for number in range(200):
        assert phases.is_new(f"phase {number}")
        phases.begin(f"phase {number}", at=float(number), cpu_seconds=0.0, memory_bytes=None)
    assert not phases.is_new("another")
    assert not phases.is_new("")


def test_no_phase_begins_before_the_run_or_ends_before_it_began() -> None:
    phases = Phases()
    phases.begin("build", at=-0.5, cpu_seconds=0.0, memory_bytes=None)
    phases.end(at=-0.2, cpu_seconds=0.0)
    found = phases.phases(now=9.0, cpu_seconds=0.0)
    assert [(phase.start_seconds, phase.wall_seconds) for phase in found] == [(0.0, 0.0)]


def test_a_phase_without_a_reading_in_time_has_no_peak() -> None:
    phases = Phases()
    phases.begin("build", at=0.0, cpu_seconds=0.0, memory_bytes=0)
    phases.keep_peak(0)
    assert [phase.memory_working_set_peak_bytes for phase in phases.phases(now=1.0, cpu_seconds=0.0)] == [None]


@given(st.lists(st.tuples(st.floats(-1, 50), st.floats(0, 50)), max_size=30), st.floats(50, 60), st.floats(50, 60))
def test_phases_without_gaps_add_up_to_the_run(marks: list[tuple[float, float]], wall: float, cpu: float) -> None:
    """Whatever the order in which lines and counters were read."""
    phases = Phases()
    phases.begin("first", at=-math.inf, cpu_seconds=0.0, memory_bytes=None)
    for number, (at, cpu_seconds) in enumerate(marks):
        phases.begin(f"phase {number}", at=at, cpu_seconds=cpu_seconds, memory_bytes=None)
    found = phases.phases(now=wall, cpu_seconds=cpu)
    assert sum(phase.wall_seconds for phase in found) == pytest.approx(round(wall, 3), abs=1e-9)
    assert sum(phase.cpu_seconds or 0 for phase in found) == pytest.approx(round(cpu, 3), abs=1e-9)
    assert all(phase.wall_seconds >= 0 and (phase.cpu_seconds or 0) >= 0 for phase in found)
    ends = [phase.start_seconds + phase.wall_seconds for phase in found]
    assert [0.0, *ends[:-1]] == pytest.approx([phase.start_seconds for phase in found])
