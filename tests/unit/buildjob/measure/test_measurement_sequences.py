"""Whole runs, reading by reading, on a made-up machine: what is observed of them is kept in `tests/data/observe/sequences/`.

Where a change of these figures is meant, the failing test says where the new ones lie.
"""

import contextlib
import resource
import time
import types
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from buildjob.measure.cgroup import Kind
from buildjob.measure.measurement import Measurement
from tests.labs.made_up_machine import MadeUpMachine, Process

_EXPECTED = Path(__file__).parents[3] / "data" / "observe" / "sequences"


class Run:
    """One run on a machine; the sequence sets the clock and the agent's own CPU time."""

    def __init__(self, machine: MadeUpMachine, kind: Kind, *, look_seconds: float = 0.0) -> None:
        self.machine = machine
        self.notes: list[str] = []
        self.agent_cpu = 0.5
        self.reaped_cpu = 0.0
        self._thread_seconds = 0.0
        self._look_seconds = look_seconds
        self.now = 1000.0
        self.measurement = Measurement(
            cgroup=machine.cgroup(kind),
            interval_seconds=1.0,
            note=self.notes.append,
            thread_time=self._thread_time,
        )

    def _thread_time(self) -> float:
        self._thread_seconds += self._look_seconds
        return self._thread_seconds

    def begin(self) -> None:
        self.measurement.begin(self.now)

    def glance(self, after: float = 0.2) -> None:
        self.now += after
        self.measurement.glance(self.now)

    def sample(self, after: float = 0.2, *, late: float = 0.0) -> None:
        self.now += after
        self.measurement.sample(self.now, late_seconds=late)

    def phase(self, name: str, after: float = 0.2) -> None:
        self.now += after
        self.measurement.begin_phase(name, at=self.now - 0.05, now=self.now)

    def end(self, after: float = 0.2) -> None:
        self.now += after
        self.measurement.end(self.now)

    def seen(self) -> object:
        return msgspec.to_builtins(self.measurement.observation(self.now, disk_peak_bytes=None))


Sequence = Callable[[Run], None]


def a_build(run: Run) -> None:
    """Memory grows, peaks between two samples, and falls; two phases; the agent works beside it."""
    machine = run.machine
    machine.use(usage=40, anonymous=20, peak=300, cpu=10, read=1000, written=5000)
    machine.agent(private_mib=15, reaped_read=100, reaped_written=200)
    run.begin()
    run.measurement.watch(machine.pid("sh"))
    machine.run(sh=2, configure=Process(mib=10, cpu=0.2))
    machine.use(usage=60, inactive=5, anonymous=40, peak=300, cpu=10.5, read=2000, written=5000)
    run.phase("configure")
    run.agent_cpu += 0.1
    run.glance()
    run.sample(0.8)
    machine.run(sh=2, make=3, cc1plus=Process(mib=200, cpu=1.5), zombie=Process(mib=0, cpu=0.3, is_zombie=True))
    machine.use(
        usage=400, inactive=100, anonymous=250, peak=450, cpu=13, throttled=0.3, stalled=0.2, read=2000, written=9000
    )
    run.phase("build")
    machine.use(usage=700, inactive=100, anonymous=500, peak=750, cpu=13.5, throttled=0.4, stalled=0.2)
    run.glance()
    machine.use(usage=710, inactive=50, anonymous=600, peak=760, cpu=14, throttled=0.4, stalled=0.2)
    run.glance()
    machine.run(sh=2, make=Process(mib=3, cpu=0.1, reaped_cpu=3.2))
    machine.use(usage=90, inactive=60, anonymous=20, peak=760, cpu=15, throttled=0.5, stalled=0.3, read=2500, written=50_000)
    run.sample(0.4, late=0.015)
    run.agent_cpu += 0.2
    machine.agent(private_mib=18, reaped_read=700, reaped_written=900)
    run.phase("build")
    run.phase("")
    machine.run()
    run.reaped_cpu = 4.5
    machine.use(
        usage=20, inactive=10, anonymous=5, peak=760, cpu=15.5, throttled=0.5, stalled=0.3, read=2500, written=60_000
    )
    run.sample(1.0)
    run.end()


def kills(run: Run) -> None:
    """A kill before the build; one whose victim has gone; one whose victim is still dying; two at once; one too late."""
    machine = run.machine
    machine.use(usage=10, kills=2)
    machine.run(sh=2)
    run.begin()
    machine.run(sh=2, cc1plus=300, ld=100)
    machine.use(usage=410, kills=2)
    run.sample(1.0)
    machine.run(sh=2, ld=100)
    machine.use(usage=110, kills=3)
    run.glance()
    run.sample(0.8)
    machine.use(usage=110, kills=4)
    run.sample(1.0)
    run.glance()
    machine.run(sh=2)
    machine.use(usage=5, kills=4)
    run.sample(1.0)
    machine.run(sh=2, rustc=50, cc1=60, cc1obj=40)
    machine.use(usage=160, kills=4)
    run.sample(1.0)
    machine.run(sh=2, cc1obj=40)
    machine.use(usage=50, kills=6)
    run.sample(1.0)
    machine.run(sh=2, cc1obj=40)
    machine.use(usage=50, kills=7)
    for _ in range(4):
        run.sample(1.0)
    machine.use(usage=50, kills=8)
    run.end()


def a_cgroup_that_stays_empty(run: Run) -> None:
    """The build never joins the cgroup that was made for it: after three samples it is measured by walks."""
    machine = run.machine
    run.begin()
    run.measurement.watch(machine.pid("sh"))
    machine.run()
    for number in range(2):
        (machine.cgroup_folder / "cgroup.procs").write_text("")
        run.sample(1.0, late=number / 10)
    run.phase("build")
    machine.run(sh=Process(mib=5, cpu=1.5), cc1=Process(mib=70, cpu=0.5))
    (machine.cgroup_folder / "cgroup.procs").write_text("")
    run.sample(0.8)
    run.sample(1.0)
    machine.run(sh=Process(mib=5, cpu=1.5, reaped_cpu=0.75))
    (machine.cgroup_folder / "cgroup.procs").write_text("")
    run.sample(1.0)
    run.end()


def standby_processes(run: Run) -> None:
    """A process is started for what comes after the build: its CPU time, its memory and itself are not the build's."""
    machine = run.machine
    machine.use(usage=50, anonymous=30, cpu=2)
    machine.agent(private_mib=20)
    run.begin()
    machine.run(make=Process(mib=30, cpu=1.0))
    machine.use(usage=120, anonymous=90, cpu=3.2)
    run.sample(1.0)
    machine.run(make=Process(mib=30, cpu=1.0), python=Process(mib=45, cpu=0.4, shared_mib=15))
    run.measurement.add_standby(machine.pid("python"))
    machine.use(usage=180, anonymous=140, cpu=3.8)
    run.sample(1.0)
    machine.run(make=Process(mib=90, cpu=1.4), python=Process(mib=55, cpu=0.9, shared_mib=5))
    machine.use(usage=260, anonymous=200, cpu=5)
    run.glance()
    run.end()


def counters_that_come_to_nothing(run: Run) -> None:
    """Figures that could be read once, and then cannot, stay as they were; memory is summed over processes from then on."""
    machine = run.machine
    machine.use(usage=10, cpu=1, peak=10, read=10, written=10)
    run.begin()
    machine.run(sh=2, cc1=Process(mib=50, cpu=0.5))
    machine.use(usage=60, anonymous=45, cpu=2, peak=80, read=20, written=30, throttled=1, stalled=2)
    run.sample(1.0)
    for name in ("memory.stat", "cpu.stat", "cpuacct.usage", "io.stat", "memory.peak", "memory.max_usage_in_bytes"):
        if (machine.cgroup_folder / name).exists():
            (machine.cgroup_folder / name).write_text("?\n")
    run.glance()
    machine.run(sh=2, cc1=Process(mib=100, cpu=1.5), cc1plus=Process(mib=30, cpu=0.5))
    run.phase("build")
    run.sample(1.0)
    run.end()


def a_walk_that_fails(run: Run) -> None:
    """A walk breaks off at a stat file that is cut off: the walk before stands, and the reason is noted once a walk."""
    machine = run.machine
    run.begin()
    machine.run(sh=2, cc1=Process(mib=50, cpu=0.5))
    machine.use(usage=52, anonymous=40, cpu=0.5)
    run.sample(1.0)
    machine.run(sh=2, cc1=Process(mib=90, cpu=1.5), ld=Process(mib=10, cpu=0.5))
    machine.use(usage=102, anonymous=80, cpu=2)
    whole = (machine.proc / str(machine.pid("ld")) / "stat").read_text()
    (machine.proc / str(machine.pid("ld")) / "stat").write_text("1 (ld) S 1")
    run.reaped_cpu = 0.25
    run.sample(1.0)
    (machine.proc / str(machine.pid("ld")) / "stat").write_text(whole)
    run.sample(1.0)
    run.end()


def processes_that_come_and_go(run: Run) -> None:
    """A pid is used again; a process is missed by one walk, so that a sum falls; samples come late; nothing runs at last."""
    machine = run.machine
    run.begin()
    machine.run(sh=2, cc1=Process(mib=50, cpu=2.5))
    machine.use(usage=52, cpu=2.5)
    run.sample(1.0)
    machine.restart("cc1")
    machine.run(sh=2)
    machine.use(usage=2, cpu=2.5)
    run.sample(1.0)
    machine.run(sh=Process(mib=2, reaped_cpu=2.5), cc1=Process(mib=20, cpu=0.25))
    machine.use(usage=22, cpu=2.75)
    run.sample(3.0, late=2.0)
    machine.run()
    machine.use(usage=0, cpu=2.75)
    run.reaped_cpu = 2.75
    run.end(0.0)


def walks_that_cost(run: Run) -> None:
    """Walks may take a share of the time only: with a cgroup there are fewer walks, without one fewer samples."""
    machine = run.machine
    run.begin()
    for second in range(12):
        machine.run(sh=2, cc1=Process(mib=50 + second % 3, cpu=second / 2), **({"ld": 5} if second % 4 else {}))
        machine.use(usage=55, anonymous=50, cpu=second / 2)
        run.glance(0.5)
        run.sample(0.5)
    run.end()


_CASES: dict[str, tuple[Sequence, str, Kind]] = {
    **{f"build-{version}-{kind}": (a_build, version, kind) for version in ("v1", "v2") for kind in Kind},
    "build-none": (a_build, "none", Kind.MADE),
    **{f"kills-{version}": (kills, version, Kind.MADE) for version in ("v1", "v2", "none")},
    **{f"empty-cgroup-{version}": (a_cgroup_that_stays_empty, version, Kind.MADE) for version in ("v1", "v2")},
    "empty-cgroup-container": (a_cgroup_that_stays_empty, "v2", Kind.CONTAINER),
    **{f"standby-{version}": (standby_processes, version, Kind.CONTAINER) for version in ("v1", "v2", "none")},
    **{f"lost-counters-{version}": (counters_that_come_to_nothing, version, Kind.MADE) for version in ("v1", "v2")},
    **{f"failed-walk-{version}": (a_walk_that_fails, version, Kind.MADE) for version in ("v2", "none")},
    **{f"come-and-go-{version}": (processes_that_come_and_go, version, Kind.MADE) for version in ("v1", "none")},
    **{f"costly-walks-{version}": (walks_that_cost, version, Kind.MADE) for version in ("v2", "none")},
}


@pytest.mark.parametrize("case", _CASES)
def test_a_run_is_observed_as_before(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sequence, version, kind = _CASES[case]
    run = Run(MadeUpMachine(tmp_path, version), kind, look_seconds=0.002 if sequence is walks_that_cost else 0.0)
    monkeypatch.setattr(time, "process_time", lambda: run.agent_cpu)
    monkeypatch.setattr(resource, "getrusage", lambda _who: types.SimpleNamespace(ru_utime=run.reaped_cpu, ru_stime=0.0))
    sequence(run)
    observed = {"sequence": sequence.__doc__, "observation": run.seen(), "notes": run.notes}
    name = f"{case}.json"
    (tmp_path / name).write_bytes(msgspec.json.format(msgspec.json.encode(observed), indent=1) + b"\n")
    expected = None
    with contextlib.suppress(FileNotFoundError):
        expected = msgspec.json.decode((_EXPECTED / name).read_bytes())
    assert observed == expected, f"if the change is meant: cp {tmp_path / name} {_EXPECTED}"
