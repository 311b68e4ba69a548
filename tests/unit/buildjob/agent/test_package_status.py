"""What the line says of the package that is being built."""

import pytest

from buildjob.agent.package_status import PackageStatus
from status_line.text import fitting


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def status(*, title: str = "hdf5@1.14.3", phase: str = "build", memory: int = 3_328_599_655) -> PackageStatus:
    clock = Clock()
    made = PackageStatus(title, number=3, of=5, clock=clock)
    clock.now = 1000.0
    made.begin()
    clock.now += 151.9
    made.phase, made.memory_bytes = (lambda: phase), (lambda: memory)
    return made


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (80, "[3/5] hdf5@1.14.3 (build, 2:31, 3.1 GiB)"),
        (39, "[3/5] hdf5@1.14.3 (build, 2:31)"),
        (30, "[3/5] hdf5@1.14.3 (2:31)"),
        (23, "[3/5] hdf5 (2:31)"),
        (19, "[3/5] hdf5 (2:31)"),
        (16, "[3/5] hdf5@1...."),
    ],
)
def test_a_package_is_shown_with_place_phase_time_and_memory_as_far_as_there_is_room(columns: int, line: str) -> None:
    assert fitting(status().forms(), columns) == line


@pytest.mark.parametrize(
    ("phase", "memory", "line"),
    [
        ("", 0, "[3/5] hdf5@1.14.3 (2:31)"),
        ("", 640 << 20, "[3/5] hdf5@1.14.3 (2:31, 640 MiB)"),
        ("cmake", 0, "[3/5] hdf5@1.14.3 (cmake, 2:31)"),
    ],
)
def test_what_is_not_known_is_left_out(phase: str, memory: int, line: str) -> None:
    assert status(phase=phase, memory=memory).forms()[0] == line


def test_what_follows_the_build_has_no_memory() -> None:
    made = status()
    made.at("publishing")
    assert made.forms()[0] == "[3/5] hdf5@1.14.3 (publishing, 2:31)"


def test_the_line_a_minute_has_the_peak_and_a_place_only_where_there_are_several() -> None:
    assert status().line(peak_bytes=4 << 30) == "[3/5] hdf5@1.14.3 (build, 2:31, 4.0 GiB)"
    alone = PackageStatus("mine@1", clock=Clock())
    assert alone.line(peak_bytes=None) == "mine@1 (0:00)"
    assert alone.forms()[0] == "[1/1] mine@1 (0:00)"
