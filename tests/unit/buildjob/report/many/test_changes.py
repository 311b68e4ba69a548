"""What counts as a change since earlier builds, and what does not."""

from typing import Any

import msgspec
import pytest

from buildjob.report.many.changes import changes, changes_of_all, comparable
from buildjob.report.many.entries import Entry, read_entry
from tests.labs.made_up_builds import document, encoded
from tests.labs.telemetry_samples import MIB


def _build(begin: float, **changes: Any) -> Entry:
    return read_entry(encoded(document("hdf5", begin=begin, **changes)))


def _memory(now: int, *before: int) -> list[str]:
    """Return the changes of a build with this memory in MiB; the earlier ones from the oldest to the last."""
    earlier = [_build(10.0 * at, version="1.14.3", memory_bytes=size * MIB) for at, size in enumerate(before)]
    this = _build(1000, version="1.14.5", memory_bytes=now * MIB)
    return [str(change) for change in changes(this, comparable(this, [this, *earlier]))]


@pytest.mark.parametrize(
    ("now", "before", "told"),
    [
        (1400, (1000, 1000, 1000), ["memory + 40 % since 1.14.3"]),
        (600, (1000, 1000, 1000), ["memory − 40 % since 1.14.3"]),
        (1090, (1000, 1000, 1000), []),  # within a tenth
        (1110, (1000, 1000, 1000), ["memory + 11 % since 1.14.3"]),
        (1300, (1000, 1300, 1000), []),  # has been as large before
        (1400, (1000, 1300, 1000), []),  # within a tenth of the largest
        (1240, (1000,), []),  # one build shows no range: a quarter
        (1260, (1000,), ["memory + 26 % since 1.14.3"]),
        (1260, (1000, 1000), ["memory + 26 % since 1.14.3"]),
        (1240, (1000, 1000), []),
        (100, (40, 40, 40), []),  # less than 64 MiB more
        (110, (40, 40, 40), ["memory + 175 % since 1.14.3"]),
        (1400, (5000, 1000, 1000, 1000, 1000, 1000), ["memory + 40 % since 1.14.3"]),  # only the last five
        (9_000_000, (100,), ["memory + 9,999 % since 1.14.3"]),
        (1400, (), []),
    ],
)
def test_a_change_lies_outside_the_range_of_the_last_five(now: int, before: tuple[int, ...], told: list[str]) -> None:
    assert _memory(now, *before) == told


def test_time_changes_too_and_short_builds_do_not() -> None:
    earlier = [_build(0, minutes=10, version="1.0")]
    slow = _build(100, minutes=20, version="1.1")
    assert [str(each) for each in changes(slow, comparable(slow, earlier))] == [
        "wall + 100 % since 1.0",
        "CPU + 100 % since 1.0",
    ]
    short = _build(200, minutes=0.02)
    assert changes(short, comparable(short, [_build(100, minutes=0.01)])) == []


@pytest.mark.parametrize(
    "other",
    [
        {"outcome": "build_failed"},
        {"outcome": "already_there"},
        {"minutes": 0.0},
        {"spec": {"name": "hdf5", "version": "1", "build_jobs": 4}},
        {"spec": {"name": "hdf5", "version": "1", "build_jobs": 8, "architecture": "linux-debian12-aarch64"}},
        {"machine": {"cpus": 64, "memory_bytes": 1}},
    ],
)
def test_only_good_builds_on_the_same_kind_of_machine_are_compared(other: dict[str, Any]) -> None:
    this = _build(100, memory_bytes=4000 * MIB)
    assert comparable(this, [_build(0, **other)]) == []
    assert comparable(this, [_build(200)]) == []  # later
    assert len(comparable(this, [_build(0)])) == 1


def test_a_build_that_failed_has_no_changes() -> None:
    this = _build(100, memory_bytes=4000 * MIB, outcome="build_failed")
    assert changes(this, [_build(0)]) == []


def test_estimates_are_compared_with_estimates_only() -> None:
    totals = {
        "wall_seconds": 120.0,
        "cpu_seconds": 600.0,
        "memory_working_set_peak_bytes": 4000 * MIB,
        "memory_is_estimate": True,
    }
    this = _build(100, totals=totals)
    assert changes(this, [_build(0)]) == []


def test_of_the_same_version_the_hash_is_named_and_of_the_same_hash_the_build_before() -> None:
    this = _build(100, memory_bytes=4000 * MIB, dag_hash="b" * 32)
    assert [str(each) for each in changes(this, [_build(0, dag_hash="c" * 32)])] == ["memory + 900 % since /ccccccc"]
    assert [str(each) for each in changes(this, [_build(0, dag_hash="b" * 32)])] == ["memory + 900 % since the build before"]


def test_of_many_builds_the_same_is_said_as_of_each() -> None:
    sizes = [400, 410, 390, 700, 700, 705, 300]
    builds = [_build(10.0 * at, memory_bytes=size * MIB, version=str(at)) for at, size in enumerate(sizes)]
    newest_first = tuple(reversed(builds))
    each = {at: found for at, build in enumerate(newest_first) if (found := changes(build, comparable(build, builds)))}
    assert changes_of_all(newest_first) == each
    assert [str(change) for change in each[3]] == ["memory + 79 % since 2"]
    assert each[0][0].percent < 0
    unlike = msgspec.structs.replace(builds[3], name="zlib")
    assert changes_of_all((unlike, *reversed(builds[:3]))) == {}
