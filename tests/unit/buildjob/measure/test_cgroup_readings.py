"""The readings of one cgroup: differences to the first one, and the last known value of what ends."""

import os
from pathlib import Path

import pytest

from buildjob.measure.cgroup import Kind
from buildjob.measure.cgroup_readings import CgroupReadings, is_upper_bound
from tests.labs.made_up_machine import MIB, MadeUpMachine


@pytest.fixture
def machine(tmp_path: Path) -> MadeUpMachine:
    return MadeUpMachine(tmp_path)


def _begun(machine: MadeUpMachine, kind: Kind = Kind.MADE, notes: list[str] | None = None) -> CgroupReadings:
    readings = CgroupReadings(machine.cgroup(kind), note=(notes if notes is not None else []).append)
    readings.begin()
    return readings


def test_without_a_cgroup_every_reading_is_empty() -> None:
    readings = CgroupReadings(None, note=print)
    readings.begin()
    assert readings.read() == readings.read_memory() == readings.first == readings.known
    assert readings.needs_walk
    assert not readings.is_made_and_empty
    assert (readings.kills, readings.memory_limit_bytes) == (0, None)
    assert (readings.throttled_seconds, readings.pressure_seconds) == (None, None)
    assert not readings.high_water_mark_is_upper_bound
    readings.close()


def test_counts_are_differences_to_the_first_reading(machine: MadeUpMachine) -> None:
    machine.use(throttled=1.0, stalled=2.0, kills=3)
    readings = _begun(machine)
    machine.use(throttled=1.5, stalled=2.25, kills=5)
    readings.read()
    assert (readings.throttled_seconds, readings.pressure_seconds, readings.kills) == (0.5, 0.25, 2)
    assert readings.memory_limit_bytes == 512 * MIB


def test_what_can_no_longer_be_read_keeps_its_last_value(machine: MadeUpMachine) -> None:
    readings = _begun(machine)
    machine.use(usage=50, peak=70, cpu=2.0)
    readings.read()
    assert not readings.needs_walk
    (machine.cgroup_folder / "memory.peak").write_text("?")
    (machine.cgroup_folder / "cpu.stat").write_text("")
    machine.run(sh=1)
    readings.read()
    assert (readings.latest.high_water_mark_bytes, readings.known.high_water_mark_bytes) == (None, 70 * MIB)
    assert (readings.latest.cpu_seconds, readings.known.cpu_seconds) == (None, 2.0)
    assert readings.known.processes == 1
    assert readings.needs_walk


@pytest.mark.parametrize("sign", ["a process", "CPU time"])
def test_a_cgroup_is_empty_until_a_process_or_its_cpu_time_was_seen(machine: MadeUpMachine, sign: str) -> None:
    readings = _begun(machine)
    found = []
    for processes, cpu in ((0, 0.0), (1, 0.0) if sign == "a process" else (0, 0.001), (0, 0.0)):
        machine.run(**{"sh": 1.0} if processes else {})
        machine.use(cpu=cpu)
        readings.read()
        found.append(readings.is_made_and_empty)
    assert found == [True, False, False]


def test_a_containers_cgroup_is_never_called_empty(machine: MadeUpMachine) -> None:
    readings = _begun(machine, Kind.CONTAINER)
    readings.read()
    assert not readings.is_made_and_empty


def test_a_cgroup_that_was_given_up_is_forgotten(machine: MadeUpMachine) -> None:
    readings = _begun(machine)
    machine.use(usage=50, peak=70, kills=2)
    readings.read()
    readings.give_up()
    readings.read()
    assert readings.cgroup is None
    assert readings.needs_walk
    assert readings.kills == 0
    assert readings.known.high_water_mark_bytes is None


def test_a_counter_that_ends_is_noted_once(machine: MadeUpMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    readings = _begun(machine, notes=notes)
    machine.use(usage=50)
    read, failing = os.pread, os.open(machine.cgroup_folder / "io.stat", os.O_RDONLY)
    file = os.fstat(failing).st_ino
    os.close(failing)

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        if os.fstat(descriptor).st_ino == file:
            raise OSError(19, "No such device")
        return read(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    for _ in range(2):
        assert readings.read().usage_bytes == 50 * MIB
        assert readings.latest.read_bytes is None
    assert len(notes) == 1
    assert "'io'" in notes[0]
    assert "No such device" in notes[0]


@pytest.mark.parametrize(
    ("before", "after", "was_reset", "expected"),
    [
        (400, 400, False, True),  # somebody else's
        (400, 401, False, False),  # it rose: the build set it
        (400, 120, True, False),
        (400, 400, True, False),  # reset, and reached again
        (None, 100, False, False),
        (400, None, False, False),
    ],
)
def test_a_high_water_mark_is_an_upper_bound_if_it_may_be_older_than_the_build(
    *, before: int | None, after: int | None, was_reset: bool, expected: bool
) -> None:
    assert is_upper_bound(before=before, after=after, was_reset=was_reset) is expected


def test_a_high_water_mark_that_can_be_reset_is_the_builds(tmp_path: Path) -> None:
    machine = MadeUpMachine(tmp_path, "v1")
    machine.use(peak=400)
    readings = _begun(machine, Kind.CONTAINER)
    assert (machine.cgroup_folder / "memory.max_usage_in_bytes").read_text() == "0"
    machine.use(peak=300)
    readings.read()
    assert not readings.high_water_mark_is_upper_bound


def test_without_a_high_water_mark_none_is_an_upper_bound(machine: MadeUpMachine) -> None:
    """Kernels before 5.19 have no memory.peak."""
    machine.missing = {"memory.peak"}
    machine.use()
    readings = _begun(machine, Kind.CONTAINER)
    readings.read()
    assert (readings.known.high_water_mark_bytes, readings.high_water_mark_is_upper_bound) == (None, False)
