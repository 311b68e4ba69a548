"""Readings become totals, phases and kills: on a made-up v2 group and /proc, by a clock that the test sets."""

from pathlib import Path

import pytest

from buildjob.measure.cgroup import Cgroup, Kind
from buildjob.measure.cgroup_position import Position
from buildjob.measure.cgroup_readings import is_upper_bound
from buildjob.measure.measurement import Measurement, Observation

_MIB = 1 << 20
_PAGE = 4096


class _Machine:
    """A v2 group and a /proc that the test writes; files keep their inode, as the kernel's do."""

    def __init__(self, folder: Path) -> None:
        self.group, self.proc = folder / "group", folder / "proc"
        self.missing = ""
        self.group.mkdir()
        self.proc.mkdir()
        (self.proc / "stat").touch()
        (self.group / "memory.max").write_text(f"{512 * _MIB}\n")
        self.use(usage=0)
        self.run()

    def use(
        self,
        *,
        usage: int,
        inactive: int = 0,
        anonymous: int = 0,
        peak: int = 0,
        cpu: float = 0.0,
        kills: int = 0,
        stalled: float = 0.0,
        written: int = 0,
    ) -> None:
        for name, text in {
            "memory.current": f"{usage * _MIB}\n",
            "memory.stat": f"anon {anonymous * _MIB}\nfile 0\nshmem 0\ninactive_file {inactive * _MIB}\n",
            "memory.peak": f"{peak * _MIB}\n",
            "memory.events": f"low 0\noom 0\noom_kill {kills}\n",
            "memory.pressure": f"some avg10=0.00 total={round(stalled * 1e6)}\nfull avg10=0.00 total=0\n",
            "cpu.stat": f"usage_usec {round(cpu * 1e6)}\nnr_throttled 0\nthrottled_usec {round(stalled * 1e6)}\n",
            "io.stat": f"8:0 rbytes={written} wbytes={written * 2} rios=0 wios=0\n",
        }.items():
            if name != self.missing:
                (self.group / name).write_text(text)

    def run(self, **mib: int) -> None:
        """Let exactly these processes run: name to resident MiB."""
        for folder in self.proc.iterdir():
            if folder.is_dir():
                (folder / "stat").unlink()
                folder.rmdir()
        for number, (name, resident) in enumerate(mib.items()):
            pid = 9_000_000 + sum(name.encode()) * 10 + number
            (self.proc / str(pid)).mkdir()
            fields = f"S 1 1 1 0 -1 0 0 0 0 0 100 0 0 0 20 0 1 0 77 0 {resident * _MIB // _PAGE} 0"
            (self.proc / str(pid) / "stat").write_text(f"{pid} ({name}) {fields}\n")
        pids = [folder.name for folder in self.proc.iterdir() if folder.is_dir()]
        (self.group / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))

    def cgroup(self, kind: Kind = Kind.MADE) -> Cgroup:
        folders = dict.fromkeys(("memory", "cpuacct", "cpu"), self.group)
        tops = dict.fromkeys(folders, self.group)
        return Cgroup(Position(version="v2", path="/job", folders=folders, tops=tops, limit_folders=folders), kind=kind)


@pytest.fixture
def machine(tmp_path: Path) -> _Machine:
    return _Machine(tmp_path)


def _measurement(machine: _Machine, notes: list[str] | None = None, kind: Kind = Kind.MADE) -> Measurement:
    note = (notes if notes is not None else []).append
    # walks cost nothing by this clock, so that one is always due
    return Measurement(
        cgroup=machine.cgroup(kind), interval_seconds=1.0, note=note, proc=str(machine.proc), thread_time=lambda: 0.0
    )


def _end(measurement: Measurement, now: float) -> Observation:
    measurement.end(now)
    return measurement.observation(now, disk_peak_bytes=None)


def test_the_working_set_leads_and_the_mark_is_told_beside_it(machine: _Machine) -> None:
    measurement = _measurement(machine)
    measurement.begin(100.0)
    machine.use(usage=900, inactive=600, anonymous=250, peak=950, cpu=1.5, stalled=0.5, written=1000)
    measurement.sample(101.0, late_seconds=0.25)
    machine.use(usage=10, anonymous=5, peak=950, cpu=2.0, stalled=0.5, written=1000)
    totals = _end(measurement, 102.0).totals
    assert totals.wall_seconds == 2.0
    assert totals.cpu_seconds == 2.0
    assert totals.memory_working_set_peak_bytes == 300 * _MIB
    assert totals.memory_anonymous_peak_bytes == 250 * _MIB
    assert totals.memory_peak_bytes == 950 * _MIB
    assert not totals.memory_is_estimate
    assert (totals.cpu_throttled_seconds, totals.memory_pressure_seconds) == (0.5, 0.5)
    assert (totals.read_bytes, totals.written_bytes) == (1000, 2000)


def test_the_curves_hold_what_each_second_used(machine: _Machine) -> None:
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
    assert samples.memory_bytes == [100 * _MIB, 400 * _MIB]  # a peak between two samples that a glance saw
    assert samples.cpu_cores == [0.5, 2.0]
    assert samples.processes == [2, 0]
    assert samples.late_seconds == [0.0, 0.125]


def test_phases_share_out_wall_time_cpu_time_and_peaks(machine: _Machine) -> None:
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
    assert [phase.memory_working_set_peak_bytes for phase in phases] == [300 * _MIB, 30 * _MIB]


def test_a_phase_under_way_is_told_up_to_now(machine: _Machine) -> None:
    measurement = _measurement(machine)
    measurement.begin(0.0)
    measurement.begin_phase("build", at=1.0, now=1.0)
    observation = measurement.observation(4.0, disk_peak_bytes=7)
    assert [(phase.name, phase.wall_seconds) for phase in observation.phases] == [("build", 3.0)]
    assert observation.totals.disk_peak_bytes == 7


def test_phases_without_end_stay_bounded(machine: _Machine) -> None:
    measurement = _measurement(machine)
    measurement.begin(0.0)
    for number in range(500):
        measurement.begin_phase(f"phase {number}", at=float(number), now=float(number))
    assert len(_end(measurement, 600.0).phases) <= 200


def test_a_memory_kill_is_laid_on_the_largest_process_that_vanished(machine: _Machine) -> None:
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
    assert kills[0].limit_bytes == 512 * _MIB


def test_a_victim_that_is_still_dying_when_the_kill_is_counted_is_named_later(machine: _Machine) -> None:
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


def test_a_victim_that_no_sample_saw_has_no_name(machine: _Machine) -> None:
    measurement = _measurement(machine)
    machine.run(sh=2)
    measurement.begin(0.0)
    machine.use(usage=10, kills=2)
    kills = _end(measurement, 0.5).memory_kills
    assert [(kill.process, kill.inferred) for kill in kills] == [(None, True), (None, True)]


def test_kills_before_the_build_are_not_the_builds(machine: _Machine) -> None:
    machine.use(usage=10, kills=3)
    measurement = _measurement(machine)
    measurement.begin(0.0)
    assert _end(measurement, 1.0).memory_kills == []


def test_without_a_mark_the_rest_is_measured(tmp_path: Path) -> None:
    """Kernels before 5.19 have no memory.peak."""
    machine = _Machine(tmp_path)
    machine.missing = "memory.peak"
    (machine.group / "memory.peak").unlink()
    measurement = _measurement(machine)
    measurement.begin(0.0)
    machine.use(usage=100, anonymous=90)
    totals = _end(measurement, 1.0).totals
    assert (totals.memory_peak_bytes, totals.memory_peak_is_upper_bound) == (None, False)
    assert totals.memory_working_set_peak_bytes == 100 * _MIB


@pytest.mark.parametrize(
    "missing", ["memory.events", "memory.pressure", "cpu.stat", "io.stat", "memory.stat", "memory.current"]
)
def test_a_missing_file_ends_its_figure_and_nothing_else(tmp_path: Path, missing: str) -> None:
    machine = _Machine(tmp_path)
    machine.missing = missing
    (machine.group / missing).unlink()
    measurement = _measurement(machine)
    measurement.begin(0.0)
    machine.use(usage=100, anonymous=90, peak=110, cpu=1.0)
    measurement.sample(1.0, late_seconds=0.0)
    observation = _end(measurement, 2.0)
    assert observation.totals.memory_peak_bytes == 110 * _MIB
    assert observation.totals.memory_is_estimate == (missing in {"memory.stat", "memory.current"})
    assert (observation.totals.memory_pressure_seconds is None) == (missing == "memory.pressure")


def test_a_group_that_vanishes_leaves_what_was_measured(machine: _Machine) -> None:
    notes: list[str] = []
    measurement = _measurement(machine, notes)
    measurement.begin(0.0)
    machine.use(usage=100, anonymous=90, peak=110, cpu=1.0)
    measurement.sample(1.0, late_seconds=0.0)
    measurement.close()
    totals = _end(measurement, 2.0).totals
    assert totals.memory_anonymous_peak_bytes == 90 * _MIB
    assert totals.memory_peak_bytes == 110 * _MIB
    assert totals.cpu_seconds == 1.0


def test_in_a_group_that_the_agent_shares_cpu_is_a_difference_and_not_the_agents(machine: _Machine) -> None:
    machine.use(usage=100, cpu=1000.0, peak=400)
    machine.run(agent=1, cc1=1)
    measurement = _measurement(machine, kind=Kind.CONTAINER)
    measurement.begin(0.0)
    machine.use(usage=120, cpu=1007.0, peak=400)
    totals = _end(measurement, 1.0).totals
    assert totals.cpu_seconds == pytest.approx(7.0, abs=0.5)
    assert totals.cpu_seconds < 7.0
    assert totals.process_peak == 1


@pytest.mark.parametrize(
    ("before", "after", "was_reset", "expected"),
    [
        (400, 400, False, True),  # somebody else's
        (400, 401, False, False),  # it rose: the build set it
        (400, 120, True, False),
        (400, 400, True, False),  # set anew, and reached again
        (None, 100, False, False),
        (400, None, False, False),
    ],
)
def test_a_mark_is_an_upper_bound_if_it_may_be_older_than_the_build(
    *, before: int | None, after: int | None, was_reset: bool, expected: bool
) -> None:
    assert is_upper_bound(before=before, after=after, was_reset=was_reset) is expected


def test_what_was_started_for_later_does_not_count(machine: _Machine) -> None:
    measurement = _measurement(machine, kind=Kind.CONTAINER)
    measurement.begin(0.0)
    machine.run(cc1plus=200, python=100)  # each has used a second
    later = next(
        folder for folder in machine.proc.iterdir() if folder.is_dir() and "(python)" in (folder / "stat").read_text()
    )
    (later / "statm").write_text(f"0 {100 * _MIB // _PAGE} {10 * _MIB // _PAGE} 0 0 0 0\n")
    measurement.add_standby(int(later.name))
    machine.use(usage=400, anonymous=300, cpu=10.0)
    result = _end(measurement, 1.0)
    assert result.totals.memory_working_set_peak_bytes == 310 * _MIB  # less what no file backs, as for the agent itself
    assert result.totals.memory_anonymous_peak_bytes == 210 * _MIB
    assert result.totals.cpu_seconds == pytest.approx(9.0, abs=0.5)  # this process's own time is taken off too
    assert [top.command for top in result.top_processes] == ["cc1plus"]
