"""Each figure from the cgroup where it has it, from a walk where it has not, and less what the agent uses itself."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.measure.agent_use import AgentUse
from buildjob.measure.cgroup_counters import Reading
from buildjob.measure.meters import CpuCurve, CpuMeter, IoMeter, MemoryMeter, ProcessMeter
from buildjob.measure.process_walks import Walk, Walker
from buildjob.measure.shared_memory import SharedMemory, Shares
from tests.labs.made_up_machine import MIB, MadeUpMachine, Process


@pytest.fixture
def machine(tmp_path: Path) -> MadeUpMachine:
    return MadeUpMachine(tmp_path, "none")


def _agent(*, shares_cgroup: bool = False) -> AgentUse:
    agent = AgentUse(shares_cgroup=shares_cgroup)
    agent.begin()
    return agent


def _walk(machine: MadeUpMachine, **processes: Process | float) -> Walk:
    machine.run(**processes)
    return Walker(_agent(), note=print).walk(None, before=Walk())


def test_an_estimate_of_memory_stays_below_what_there_is(machine: MadeUpMachine) -> None:
    whole = SharedMemory(read=lambda _pid: Shares(50 * MIB, 50 * MIB, 50 * MIB))
    meter = MemoryMeter(_agent(), whole, most_bytes=120 * MIB)
    meter.read(Reading(), _walk(machine, cc1=100, cc1plus=100))
    assert (meter.working_set_peak_bytes, meter.anonymous_peak_bytes) == (120 * MIB, 120 * MIB)
    meter.read(Reading(working_set_bytes=150 * MIB, anonymous_bytes=140 * MIB), Walk())
    assert meter.working_set_peak_bytes == 150 * MIB, "what the kernel counts is no estimate"


def _memory_meter(*, shares_cgroup: bool = False) -> MemoryMeter:
    half = SharedMemory(read=lambda _pid: Shares(50 * MIB, 25 * MIB, 100 * MIB))
    return MemoryMeter(_agent(shares_cgroup=shares_cgroup), half)


def test_cpu_time_is_the_counters_difference(machine: MadeUpMachine) -> None:
    meter = CpuMeter(_agent())
    meter.begin(Reading(cpu_seconds=100.0), Walk(), at=0.0)
    meter.read(Reading(cpu_seconds=102.5), _walk(machine, cc1=Process(cpu=99.0)), at=1.0)
    assert meter.seconds == 2.5


def test_cpu_time_without_a_counter_is_a_sum_over_processes_that_never_falls(machine: MadeUpMachine) -> None:
    meter = CpuMeter(_agent())
    meter.begin(Reading(), Walk(), at=0.0)
    reaped = _walk(machine).reaped_cpu_seconds
    meter.read(Reading(), _walk(machine, make=Process(cpu=0.5, reaped_cpu=1.0), cc1=Process(cpu=2.0)), at=1.0)
    assert meter.seconds == pytest.approx(reaped + 3.5, abs=0.2)
    high = meter.seconds
    meter.read(Reading(), _walk(machine, make=Process(cpu=0.5, reaped_cpu=1.0)), at=1.0)
    assert meter.seconds == high


def test_cores_are_a_mean_over_the_time_since_cpu_time_was_last_read() -> None:
    meter = CpuMeter(_agent())
    meter.begin(Reading(), Walk(), at=10.0)
    meter.read(Reading(), Walk(reaped_cpu_seconds=1.0), at=12.0)
    assert meter.take_cores() == (0.5, 2.0)
    for at in (13.0, 14.0):
        meter.read(Reading(), None, at=at)  # neither a counter nor a walk
        assert meter.take_cores() == (None, 0.0)
    meter.read(Reading(), Walk(reaped_cpu_seconds=7.0), at=15.0)
    assert meter.take_cores() == (2.0, 3.0)


def test_a_counter_that_came_too_late_has_no_base_and_is_not_taken() -> None:
    meter = CpuMeter(_agent())
    meter.begin(Reading(), Walk(reaped_cpu_seconds=1.0), at=0.0)
    meter.read(Reading(cpu_seconds=500.0), Walk(reaped_cpu_seconds=1.5), at=1.0)
    assert meter.seconds == 0.5


def test_the_agents_own_cpu_time_is_not_the_builds(machine: MadeUpMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    own = [1.0]
    monkeypatch.setattr(time, "process_time", lambda: own[0])
    agent = _agent(shares_cgroup=True)
    meter = CpuMeter(agent)
    meter.begin(Reading(cpu_seconds=10.0), Walk(), at=0.0)
    machine.run(python=Process(cpu=0.25))
    agent.standby |= {machine.pid("python"), 1 << 22}  # the second one does not exist
    own[0] = 1.5
    meter.read(Reading(cpu_seconds=12.0), Walk(), at=1.0)
    assert meter.seconds == 1.25


def test_cpu_time_between_two_readings_lies_on_the_line() -> None:
    curve = CpuCurve(cpus=2)
    curve.add(1.0, 0.5)
    curve.add(3.0, 4.5)
    assert [curve.seconds_at(at) for at in (-9.0, 0.0, 0.5, 1.0, 2.0, 3.0, 9.0)] == [0.0, 0.0, 0.25, 0.5, 2.5, 4.5, 4.5]


def test_cpu_time_that_is_counted_late_goes_to_the_time_that_follows() -> None:
    """A child that is reaped brings all of its CPU time at once: 75 cores in a phase of 0.01 s were seen."""
    curve = CpuCurve(cpus=2)
    curve.add(1.0, 1.0)
    curve.add(1.01, 1.75)
    assert curve.seconds == pytest.approx(1.02)
    curve.add(2.0, 1.75)
    assert curve.seconds == 1.75


@given(
    st.integers(1, 64),
    st.lists(st.tuples(st.floats(0, 10), st.floats(-5, 50)), max_size=400),
    st.floats(-1, 5000),
    st.floats(0, 100),
)
def test_no_span_has_more_cpu_time_than_all_cpus_give(
    cpus: int, steps: list[tuple[float, float]], start: float, span: float
) -> None:
    curve = CpuCurve(cpus=cpus)
    at = used = 0.0
    for after, more in steps:
        at, used = at + after, used + more
        curve.add(at, used)
    assert 0 <= curve.seconds <= at * cpus + 1e-6
    assert 0 <= curve.seconds_at(start) <= curve.seconds_at(start + span) <= curve.seconds
    if len(steps) < 256:  # what is longer ago is forgotten
        assert curve.seconds_at(start + span) - curve.seconds_at(start) <= span * cpus + 1e-6


def test_memory_is_the_working_set_less_what_the_agent_holds(machine: MadeUpMachine) -> None:
    machine.agent(private_mib=30)
    meter = _memory_meter(shares_cgroup=True)
    meter.read(Reading(working_set_bytes=100 * MIB, anonymous_bytes=80 * MIB), Walk())
    meter.read(Reading(working_set_bytes=10 * MIB, anonymous_bytes=5 * MIB), Walk())
    assert (meter.working_set_bytes, meter.working_set_peak_bytes, meter.anonymous_peak_bytes) == (0, 70 * MIB, 50 * MIB)
    assert not meter.is_estimate


def test_memory_without_a_counter_is_an_estimate_over_the_live_processes(machine: MadeUpMachine) -> None:
    meter = _memory_meter()
    meter.read(Reading(anonymous_bytes=7), _walk(machine, cc1=100, zombie=Process(mib=50, is_zombie=True)))
    assert (meter.working_set_peak_bytes, meter.anonymous_peak_bytes) == (50 * MIB, 25 * MIB)
    assert meter.is_estimate


def test_a_kernel_that_does_not_tell_anonymous_memory_leaves_it_unknown() -> None:
    meter = _memory_meter()
    meter.read(Reading(working_set_bytes=5), Walk())
    assert (meter.working_set_peak_bytes, meter.anonymous_peak_bytes) == (5, None)


def test_a_sample_holds_the_peak_since_the_last_one() -> None:
    meter = _memory_meter()
    for size in (5, 9, 4):
        meter.read(Reading(working_set_bytes=size), Walk())
    assert meter.take_peak_since_sample() == 9
    assert meter.take_peak_since_sample() is None  # nothing was read since
    meter.read(Reading(), None)
    assert meter.take_peak_since_sample() is None
    meter.read(Reading(working_set_bytes=3), None)
    assert meter.take_peak_since_sample() == 4  # with what was used when the span began


def test_processes_are_counted_without_agent_and_standby(machine: MadeUpMachine) -> None:
    agent = _agent(shares_cgroup=True)
    agent.standby |= {1}
    meter = ProcessMeter(agent)
    for counted in (7, 3, 1):
        meter.read(Reading(processes=counted), Walk())
    assert (meter.take_count(), meter.peak) == (0, 5)
    meter.read(Reading(), _walk(machine, sh=1, cc1=1, zombie=Process(mib=0, is_zombie=True)))
    assert meter.take_count() == 2
    meter.read(Reading(), None)
    assert meter.take_count() is None


@pytest.mark.usefixtures("machine")
def test_bytes_are_the_counters_differences_where_both_are_known() -> None:
    meter = IoMeter()
    meter.begin(Reading(read_bytes=100, written_bytes=1000))
    meter.read(Reading(read_bytes=150, written_bytes=1200), Walk())
    assert (meter.read_bytes, meter.written_bytes) == (50, 200)
    meter.read(Reading(read_bytes=150), Walk())  # half a reading is none
    assert (meter.read_bytes, meter.written_bytes) == (50, 200)


def test_bytes_without_counters_are_those_of_reaped_children_and_of_the_live_processes(machine: MadeUpMachine) -> None:
    machine.agent(reaped_read=1000, reaped_written=2000)
    meter = IoMeter()
    meter.begin(Reading())
    machine.agent(reaped_read=1500, reaped_written=2000)
    walk = _walk(machine, cc1=1, ld=1)
    machine.does_io(machine.pid("cc1"), read=7, written=70)
    meter.read(Reading(), walk)
    assert (meter.read_bytes, meter.written_bytes) == (507, 70)
    meter.read(Reading(), Walk())  # cc1 has ended and has not been reaped yet: what it wrote was written
    assert (meter.read_bytes, meter.written_bytes) == (507, 70)
