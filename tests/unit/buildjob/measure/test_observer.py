"""The observer's promises to its caller: it never breaks, never waits, and has the last word."""

import threading
from pathlib import Path

import pytest

from buildjob.measure.cgroup import Cgroup, Kind
from buildjob.measure.cgroup_position import Position
from buildjob.measure.observer import Observation, Observer


def test_stop_gives_the_same_result_again() -> None:
    with Observer(cgroup=None, interval_seconds=0.01) as observer:
        observer.begin_phase("build")
        first = observer.stop()
    assert observer.stop() is first
    assert [phase.name for phase in first.phases] == ["build"]


def test_every_phase_calls_the_checkpoint_and_none_comes_after_stop() -> None:
    seen: list[Observation] = []
    marked = threading.Event()

    def checkpoint(observation: Observation) -> None:
        seen.append(observation)
        if [phase.name for phase in observation.phases] == ["configure", "build"]:
            marked.set()

    with Observer(cgroup=None, checkpoint=checkpoint) as observer:
        observer.begin_phase("configure")
        observer.begin_phase("build")
        assert marked.wait(60)
        observer.stop()
        count = len(seen)
    assert len(seen) == count


def test_a_checkpoint_that_fails_breaks_nothing_and_is_noted_once() -> None:
    calls = threading.Semaphore(0)

    def checkpoint(_observation: Observation) -> None:
        calls.release()
        raise OSError("disk full")

    with Observer(cgroup=None, checkpoint=checkpoint) as observer:
        for phase in ("one", "two"):
            observer.begin_phase(phase)
            assert calls.acquire(timeout=60)
    assert observer.notes() == ["a checkpoint failed: OSError: disk full"]


def test_a_slow_checkpoint_does_not_hold_up_the_samples() -> None:
    writing, sampled = threading.Event(), threading.Event()
    asked = [0]

    def monotonic() -> float:
        """Every sample asks for the time: when it was asked often enough, the samples went on."""
        asked[0] += writing.is_set()
        if asked[0] > 100:
            sampled.set()
        return asked[0] / 100

    def checkpoint(_observation: Observation) -> None:
        writing.set()
        assert sampled.wait(60)

    with Observer(cgroup=None, checkpoint=checkpoint, interval_seconds=0.01, monotonic=monotonic) as observer:
        observer.begin_phase("build")
        assert sampled.wait(60)
    assert observer.notes() == []


def test_a_hole_in_the_samples_is_noted() -> None:
    asked = [0]
    later = threading.Event()

    def monotonic() -> float:
        """The clock goes on by 20 s at once, as for a process that was suspended."""
        asked[0] += 1
        if asked[0] > 200:
            later.set()
        return asked[0] / 100 + (20.0 if asked[0] > 100 else 0.0)

    with Observer(cgroup=None, interval_seconds=0.01, monotonic=monotonic) as observer:
        assert later.wait(60)
    samples = observer.stop().samples
    assert (samples.holes, round(samples.hole_seconds)) == (1, 20)
    assert observer.notes()[0].startswith("the memory was not read for 20 s in 1 hole: the agent was held up")


def test_a_phase_begins_when_its_line_was_read() -> None:
    with Observer(cgroup=None, monotonic=lambda: 50.0) as observer:
        observer.begin_phase("build", at=49.5)
        phases = observer.stop().phases
    assert phases[0].start_seconds == pytest.approx(0.0)  # not before the run


def test_the_folders_are_watched(tmp_path: Path) -> None:
    (tmp_path / "object").write_bytes(b"x" * 50_000)
    done = threading.Event()

    def checkpoint(observation: Observation) -> None:
        if observation.totals.disk_peak_bytes:
            done.set()

    with Observer(cgroup=None, checkpoint=checkpoint, watched_folders=(tmp_path,)) as observer:
        for number in range(600):
            observer.begin_phase(f"phase {number % 2}")
            if done.wait(0.1):
                break
        result = observer.stop()
    assert (result.totals.disk_peak_bytes or 0) >= 50_000


def test_a_cgroup_that_cannot_be_read_is_no_reason_to_fail(tmp_path: Path) -> None:
    folders = {"memory": tmp_path / "gone"}
    position = Position(version="v2", path="/x", folders=folders, tops=folders, limit_folders=folders)
    with Observer(cgroup=Cgroup(position, kind=Kind.MADE), interval_seconds=0.01) as observer:
        observer.begin_phase("build")
    result = observer.stop()
    assert result.totals.memory_is_estimate
    assert result.totals.memory_peak_bytes is None


def test_a_fault_in_a_reading_is_noted_once_and_measuring_goes_on() -> None:
    failed, later = threading.Event(), threading.Event()
    asked = [0]

    def monotonic() -> float:
        asked[0] += 1
        if 10 <= asked[0] < 15:
            failed.set()
            raise ValueError("no time")
        if asked[0] > 40:
            later.set()
        return asked[0] / 10

    with Observer(cgroup=None, interval_seconds=0.01, monotonic=monotonic) as observer:
        assert later.wait(60)
    assert failed.is_set()
    assert observer.notes() == ["a reading failed: ValueError: no time"]
    assert observer.stop().samples.time_seconds
