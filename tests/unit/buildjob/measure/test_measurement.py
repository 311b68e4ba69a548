"""Readings become totals, phases and kills: on a made-up machine with a v2 cgroup, by a clock that the test sets."""

import math
import shutil
from pathlib import Path

import pytest

from buildjob.measure.cgroup import Kind
from buildjob.measure.measurement import Measurement, Observation
from buildjob.telemetry import Machine
from tests.labs.made_up_machine import MIB, MadeUpMachine, Process


@pytest.fixture
def machine(tmp_path: Path) -> MadeUpMachine:
    return MadeUpMachine(tmp_path)


def _measurement(machine: MadeUpMachine, notes: list[str] | None = None, kind: Kind = Kind.MADE) -> Measurement:
    note = (notes if notes is not None else []).append
    # walks cost nothing by this clock, so that one is always due
    return Measurement(cgroup=machine.cgroup(kind), interval_seconds=1.0, note=note, thread_time=lambda: 0.0)


def _end(measurement: Measurement, now: float) -> Observation:
    measurement.end(now)
    return measurement.observation(now, disk_peak_bytes=None)


def test_the_working_set_leads_and_the_high_water_mark_stands_beside_it(machine: MadeUpMachine) -> None:
    measurement = _measurement(machine)
    measurement.begin(100.0)
    held = {"throttled": 0.5, "stalled": 0.5, "read": 1000, "written": 2000}
    machine.use(usage=900, inactive=600, anonymous=250, peak=950, cpu=1.5, **held)
    measurement.sample(101.0, late_seconds=0.25)
    machine.use(usage=10, anonymous=5, peak=950, cpu=2.0, **held)
    totals = _end(measurement, 102.0).totals
    assert totals.wall_seconds == 2.0
    assert totals.cpu_seconds == 2.0
    assert totals.memory_working_set_peak_bytes == 300 * MIB
    assert totals.memory_anonymous_peak_bytes == 250 * MIB
    assert totals.memory_peak_bytes == 950 * MIB
    assert not totals.memory_is_estimate
    assert (totals.cpu_throttled_seconds, totals.memory_pressure_seconds) == (0.5, 0.5)
    assert (totals.read_bytes, totals.written_bytes) == (1000, 2000)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_peak_of_swap_is_kept_also_between_two_samples(version: str, tmp_path: Path) -> None:
    machine = MadeUpMachine(tmp_path, version)
    measurement = _measurement(machine)
    measurement.begin(100.0)
    machine.use(usage=300, anonymous=250, swap=40)
    measurement.sample(101.0, late_seconds=0.0)
    machine.use(usage=300, anonymous=250, swap=70)
    measurement.glance(101.2)
    machine.use(usage=10, swap=5)
    totals = _end(measurement, 102.0).totals
    assert totals.memory_swap_peak_bytes == 70 * MIB
    assert totals.memory_working_set_peak_bytes == 300 * MIB


def test_swap_of_which_the_kernel_keeps_no_count_is_unknown(machine: MadeUpMachine) -> None:
    machine.missing.add("memory.swap.current")
    machine.use(usage=300)
    measurement = _measurement(machine)
    measurement.begin(100.0)
    assert _end(measurement, 102.0).totals.memory_swap_peak_bytes is None


def test_the_samples_hold_what_each_second_used(machine: MadeUpMachine) -> None:
    measurement = _measurement(machine)
    measurement.begin(0.0)
    machine.run(cc1plus=20, sh=1)
    machine.use(usage=100, cpu=0.5)
    measurement.sample(1.0, late_seconds=0.0)
    machine.use(usage=400, cpu=1.0)
    measurement.glance(1.5)
    machine.run()
    machine.use(usage=50, cpu=2.5)
    measurement.sample(2.0, late_seconds=0.125)
    samples = _end(measurement, 2.0).samples
    assert samples.time_seconds == [1.0, 2.0]
    assert samples.memory_bytes == [100 * MIB, 400 * MIB]  # a peak between two samples that a glance saw
    assert samples.cpu_cores == [0.5, 2.0]
    assert samples.processes == [2, 0]
    assert samples.late_seconds == [0.0, 0.125]


def test_phases_share_out_wall_time_cpu_time_and_peaks(machine: MadeUpMachine) -> None:
    measurement = _measurement(machine)
    measurement.begin(10.0)
    machine.use(usage=10, cpu=1.0)
    measurement.begin_phase("configure", at=11.0, now=11.0)
    machine.use(usage=300, cpu=3.0)
    measurement.sample(12.0, late_seconds=0.0)
    measurement.begin_phase("configure", at=12.5, now=12.5)  # the same line again
    machine.use(usage=20, cpu=4.0)
    measurement.begin_phase("build", at=13.0, now=13.0)
    machine.use(usage=30, cpu=6.0)
    measurement.begin_phase("", at=15.0, now=15.0)
    machine.use(usage=500, cpu=9.0)
    phases = _end(measurement, 20.0).phases
    assert [(phase.name, phase.start_seconds, phase.wall_seconds, phase.cpu_seconds) for phase in phases] == [
        ("configure", 1.0, 2.0, 3.0),
        ("build", 3.0, 2.0, 2.0),
    ]
    assert [phase.memory_working_set_peak_bytes for phase in phases] == [300 * MIB, 30 * MIB]


def test_a_line_that_is_read_late_leaves_the_phase_what_was_used_in_it(machine: MadeUpMachine) -> None:
    """The thread that samples may be late: what was used since the line is not the ended phase's."""
    measurement = _measurement(machine)
    measurement.begin(10.0)
    measurement.begin_phase("spack-start", at=-math.inf, now=10.0)
    machine.use(usage=10, cpu=1.0)
    measurement.sample(11.0, late_seconds=0.0)
    machine.use(usage=10, cpu=3.0)
    measurement.begin_phase("edit", at=11.5, now=13.0)
    measurement.begin_phase("build", at=11.501, now=13.0)
    machine.use(usage=10, cpu=4.0)
    observation = _end(measurement, 14.0)
    assert [(phase.name, phase.wall_seconds, phase.cpu_seconds) for phase in observation.phases] == [
        ("spack-start", 1.5, 1.5),
        ("edit", 0.001, 0.001),
        ("build", 2.499, 2.499),
    ]
    assert observation.totals.cpu_seconds == 4.0


def test_what_was_over_before_anybody_looked_is_not_measured(machine: MadeUpMachine) -> None:
    measurement = _measurement(machine)
    measurement.begin(0.0)
    totals = _end(measurement, 0.003).totals
    assert totals.wall_seconds == 0.003
    assert (totals.memory_working_set_peak_bytes, totals.memory_anonymous_peak_bytes, totals.process_peak) == (None,) * 3


def test_no_sample_has_more_cores_than_the_machine(machine: MadeUpMachine) -> None:
    measurement = Measurement(
        cgroup=machine.cgroup(),
        interval_seconds=1.0,
        note=print,
        where=Machine(cpus=2, memory_bytes=8 << 30),
    )
    measurement.begin(0.0)
    machine.use(cpu=9.0)
    measurement.sample(1.0, late_seconds=0.0)
    observation = _end(measurement, 1.001)
    assert max(cores or 0 for cores in observation.samples.cpu_cores) == 2.0
    assert observation.totals.cpu_seconds == 2.002


def test_the_current_phase_lasts_until_now(machine: MadeUpMachine) -> None:
    measurement = _measurement(machine)
    measurement.begin(0.0)
    measurement.begin_phase("build", at=1.0, now=1.0)
    observation = measurement.observation(4.0, disk_peak_bytes=7)
    assert [(phase.name, phase.wall_seconds) for phase in observation.phases] == [("build", 3.0)]
    assert observation.totals.disk_peak_bytes == 7


def test_phases_without_end_stay_bounded(machine: MadeUpMachine) -> None:
    measurement = _measurement(machine)
    measurement.begin(0.0)
    for number in range(500):
        measurement.begin_phase(f"phase {number}", at=float(number), now=float(number))
    assert len(_end(measurement, 600.0).phases) <= 200


def test_the_victim_of_a_memory_kill_is_the_largest_process_that_vanished(machine: MadeUpMachine) -> None:
    measurement = _measurement(machine)
    measurement.begin(0.0)
    machine.run(sh=2, cc1plus=400, ld=300, make=3)
    machine.use(usage=500)
    measurement.sample(1.0, late_seconds=0.0)
    machine.run(sh=2, ld=300)
    machine.use(usage=310, kills=1)
    measurement.sample(2.0, late_seconds=0.0)
    kills = _end(measurement, 3.0).memory_kills
    assert [(kill.process, kill.inferred, kill.at_seconds) for kill in kills] == [("cc1plus", True, 2.0)]
    assert kills[0].limit_bytes == 512 * MIB


def test_a_victim_that_is_still_dying_when_the_kill_is_counted_is_named_later(machine: MadeUpMachine) -> None:
    measurement = _measurement(machine)
    measurement.begin(0.0)
    machine.run(sh=2, cc1plus=400)
    machine.use(usage=410)
    measurement.sample(1.0, late_seconds=0.0)
    machine.use(usage=410, kills=1)
    measurement.sample(2.0, late_seconds=0.0)
    assert [kill.process for kill in measurement.observation(2.0, disk_peak_bytes=None).memory_kills] == [None]
    machine.run(sh=2)
    measurement.sample(3.0, late_seconds=0.0)
    assert [(kill.process, kill.at_seconds) for kill in _end(measurement, 4.0).memory_kills] == [("cc1plus", 2.0)]


def test_a_victim_that_no_sample_saw_has_no_name(machine: MadeUpMachine) -> None:
    measurement = _measurement(machine)
    machine.run(sh=2)
    measurement.begin(0.0)
    machine.use(usage=10, kills=2)
    kills = _end(measurement, 0.5).memory_kills
    assert [(kill.process, kill.inferred) for kill in kills] == [(None, True), (None, True)]


def test_kills_before_the_build_are_not_the_builds(machine: MadeUpMachine) -> None:
    machine.use(usage=10, kills=3)
    measurement = _measurement(machine)
    measurement.begin(0.0)
    assert _end(measurement, 1.0).memory_kills == []


def test_without_a_high_water_mark_the_rest_is_measured(tmp_path: Path) -> None:
    """Kernels before 5.19 have no memory.peak."""
    machine = MadeUpMachine(tmp_path)
    machine.missing = {"memory.peak"}
    machine.use()
    measurement = _measurement(machine)
    measurement.begin(0.0)
    machine.use(usage=100, anonymous=90)
    totals = _end(measurement, 1.0).totals
    assert (totals.memory_peak_bytes, totals.memory_peak_is_upper_bound) == (None, False)
    assert totals.memory_working_set_peak_bytes == 100 * MIB


@pytest.mark.parametrize(
    "missing", ["memory.events", "memory.pressure", "cpu.stat", "io.stat", "memory.stat", "memory.current"]
)
def test_a_missing_file_ends_its_figure_and_nothing_else(tmp_path: Path, missing: str) -> None:
    machine = MadeUpMachine(tmp_path)
    machine.missing = {missing}
    machine.use()
    measurement = _measurement(machine)
    measurement.begin(0.0)
    machine.use(usage=100, anonymous=90, peak=110, cpu=1.0)
    measurement.sample(1.0, late_seconds=0.0)
    observation = _end(measurement, 2.0)
    assert observation.totals.memory_peak_bytes == 110 * MIB
    assert observation.totals.memory_is_estimate == (missing in {"memory.stat", "memory.current"})
    assert (observation.totals.memory_pressure_seconds is None) == (missing == "memory.pressure")


def test_a_cgroup_that_vanishes_leaves_what_was_measured(machine: MadeUpMachine) -> None:
    notes: list[str] = []
    measurement = _measurement(machine, notes)
    measurement.begin(0.0)
    machine.use(usage=100, anonymous=90, peak=110, cpu=1.0)
    measurement.sample(1.0, late_seconds=0.0)
    measurement.close()
    totals = _end(measurement, 2.0).totals
    assert totals.memory_anonymous_peak_bytes == 90 * MIB
    assert totals.memory_peak_bytes == 110 * MIB
    assert totals.cpu_seconds == 1.0


def test_in_a_cgroup_that_the_agent_shares_cpu_time_is_a_difference_without_its_own(machine: MadeUpMachine) -> None:
    machine.use(usage=100, cpu=1000.0, peak=400)
    machine.run(agent=1, cc1=1)
    measurement = _measurement(machine, kind=Kind.CONTAINER)
    measurement.begin(0.0)
    machine.use(usage=120, cpu=1007.0, peak=400)
    totals = _end(measurement, 1.0).totals
    assert totals.cpu_seconds == pytest.approx(7.0, abs=0.5)
    assert totals.cpu_seconds < 7.0
    assert totals.process_peak == 1


def test_standby_processes_are_not_measured(machine: MadeUpMachine) -> None:
    measurement = _measurement(machine, kind=Kind.CONTAINER)
    measurement.begin(0.0)
    machine.run(cc1plus=200, python=Process(mib=90, cpu=1.0, shared_mib=10))
    measurement.add_standby(machine.pid("python"))
    machine.use(usage=400, anonymous=300, cpu=10.0)
    result = _end(measurement, 1.0)
    assert result.totals.memory_working_set_peak_bytes == 310 * MIB  # less what no file backs, as for the agent itself
    assert result.totals.memory_anonymous_peak_bytes == 210 * MIB
    assert result.totals.cpu_seconds == pytest.approx(9.0, abs=0.5)  # this process's own time is taken off too
    assert [top.command for top in result.top_processes] == ["cc1plus"]


def _without_cpu_counter(tmp_path: Path) -> MadeUpMachine:
    """A v1 memory cgroup without cpuacct beside it: only walks can measure CPU time."""
    machine = MadeUpMachine(tmp_path, "v1")
    machine.missing = {"cpuacct.usage"}
    machine.use(usage=10)
    return machine


def test_memory_that_the_cgroup_counts_does_not_wait_for_walks_that_cpu_time_needs(tmp_path: Path) -> None:
    """Growth calls for walks that overdraw their budget: the memory has its sample each second all the same."""
    machine = _without_cpu_counter(tmp_path)
    costs = iter(range(10_000))
    measurement = Measurement(
        cgroup=machine.cgroup(), interval_seconds=1.0, note=print, thread_time=lambda: next(costs) * 0.1
    )
    measurement.begin(0.0)
    machine.run(cc1=Process(mib=50, cpu=1.0))
    for tenth in range(2, 82, 2):
        machine.use(usage=10 * 1.06 ** (tenth / 2))  # every glance sees 6 % more
        measurement.glance(tenth / 10)
        if tenth % 10 == 0:
            measurement.sample(tenth / 10, late_seconds=0.0)
    samples = _end(measurement, 8.5).samples
    assert samples.time_seconds[:8] == [float(second) for second in range(1, 9)]
    assert None not in samples.memory_bytes
    assert samples.memory_bytes[:8] == sorted(samples.memory_bytes[:8], key=lambda size: size or 0)
    assert (samples.holes, samples.hole_seconds) == (0, 0.0)


def test_cpu_time_is_unknown_between_two_walks_and_a_mean_after_the_next(tmp_path: Path) -> None:
    machine = _without_cpu_counter(tmp_path)
    spent = [0.0]

    def thread_time() -> float:
        spent[0] += 0.1  # a walk costs the budget of some seconds
        return spent[0]

    measurement = Measurement(cgroup=machine.cgroup(), interval_seconds=1.0, note=print, thread_time=thread_time)
    measurement.begin(0.0)
    for second in range(1, 13):
        machine.run(cc1=Process(mib=50, cpu=second * 0.5))
        measurement.sample(float(second), late_seconds=0.0)
    samples = measurement.observation(12.0, disk_peak_bytes=None).samples
    assert len(samples.time_seconds) == 12
    known = [cores for cores in samples.cpu_cores if cores is not None]
    assert 3 <= len(known) < 12
    assert known == [pytest.approx(0.5, abs=0.01)] * len(known)


def test_an_agent_that_was_suspended_has_a_hole(machine: MadeUpMachine) -> None:
    measurement = _measurement(machine)
    measurement.begin(0.0)
    for at in (1.0, 2.0, 10.0, 11.0):
        machine.use(usage=50, cpu=at)
        measurement.sample(at, late_seconds=7.0 if at == 10.0 else 0.0)
    samples = _end(measurement, 11.0).samples
    assert samples.time_seconds == [1.0, 2.0, 10.0, 11.0]
    assert samples.cpu_cores == [1.0] * 4  # the counter went on
    assert (samples.holes, samples.hole_seconds, max(samples.late_seconds)) == (1, 8.0, 7.0)


def test_a_build_that_was_moved_out_of_its_cgroup_is_walked(machine: MadeUpMachine) -> None:
    notes: list[str] = []
    measurement = _measurement(machine, notes)
    measurement.begin(0.0)
    machine.run(cc1=Process(mib=50, cpu=1.0))
    machine.use(usage=100, anonymous=90, peak=110, cpu=1.0, throttled=0.5)
    measurement.sample(1.0, late_seconds=0.0)
    shutil.rmtree(machine.cgroup_folder)
    measurement.close()  # every file of it fails from now on
    machine.cgroup_folder.mkdir()
    machine.run(cc1=Process(mib=300, cpu=2.0))
    shutil.rmtree(machine.cgroup_folder)
    measurement.sample(2.0, late_seconds=0.0)
    observation = _end(measurement, 3.0)
    totals = observation.totals
    assert observation.samples.memory_bytes[:2] == [100 * MIB, 300 * MIB]
    assert (totals.memory_anonymous_peak_bytes, totals.memory_peak_bytes) == (300 * MIB, None)
    assert (totals.memory_is_estimate, totals.cpu_throttled_seconds) == (True, 0.5)
    assert notes == ["the cgroup no longer exists: from then on the figures are sums over processes"]


def test_a_limit_that_was_changed_is_the_one_of_the_kill(machine: MadeUpMachine) -> None:
    measurement = _measurement(machine)
    measurement.begin(0.0)
    machine.run(cc1=100)
    measurement.sample(1.0, late_seconds=0.0)
    machine.run()
    machine.use(kills=1)
    (machine.cgroup_folder / "memory.max").write_text(f"{100 * MIB}\n")
    measurement.sample(2.0, late_seconds=0.0)
    assert [kill.limit_bytes for kill in _end(measurement, 3.0).memory_kills] == [100 * MIB]
