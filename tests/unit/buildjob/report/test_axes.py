"""Scales: ticks that people count in, for any numbers whatever."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.report.axes import Axis, byte_axis, clamp, clock_unit, core_axis, format_clock, thin, thin_pieces, time_axis

_MIB, _GIB = 1 << 20, 1 << 30
ANY_NUMBER = st.one_of(st.floats(), st.integers())


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (0, [0, _MIB]),
        (3 * _MIB, [0, _MIB, 2 * _MIB, 3 * _MIB]),
        (431 * _MIB, [0, 128 * _MIB, 256 * _MIB, 384 * _MIB]),
        (4 * _GIB, [0, _GIB, 2 * _GIB, 3 * _GIB, 4 * _GIB]),
        (5 * _GIB, [0, 2 * _GIB, 4 * _GIB]),
    ],
)
def test_memory_is_counted_in_powers_of_two(most: int, ticks: list[int]) -> None:
    assert list(byte_axis(most).ticks) == ticks


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (0, [0, 0.5, 1]),
        (1, [0, 0.5, 1]),
        (2, [0, 0.5, 1, 1.5, 2]),
        (3.9, [0, 1, 2, 3, 4]),
        (8, [0, 2, 4, 6, 8]),
        (17, [0, 5, 10, 15]),
        (128, [0, 50, 100]),
    ],
)
def test_cores_are_counted_in_ones_twos_and_fives(most: float, ticks: list[float]) -> None:
    assert list(core_axis(most).ticks) == ticks


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (0, ["0", "1"]),
        (3.9, ["0", "1", "2", "3"]),
        (59, ["0", "10", "20", "30", "40", "50"]),
        (150.8, ["0:00", "0:30", "1:00", "1:30", "2:00", "2:30"]),
        (3600, ["0:00", "10:00", "20:00", "30:00", "40:00", "50:00", "60:00"]),
        (7300, ["0:00", "0:30", "1:00", "1:30", "2:00"]),
        (86400, ["0:00", "6:00", "12:00", "18:00", "24:00"]),
        (3 * 86400, ["0 d 0 h", "0 d 12 h", "1 d 0 h", "1 d 12 h", "2 d 0 h", "2 d 12 h", "3 d 0 h"]),
    ],
)
def test_time_is_counted_as_clocks_do(span: float, words: list[str]) -> None:
    axis = time_axis(span)
    assert [format_clock(tick, span_seconds=axis.top) for tick in axis.ticks] == words


@pytest.mark.parametrize(
    ("span", "unit"),
    [
        (119, "seconds"),
        (120, "minutes:seconds"),
        (7199, "minutes:seconds"),
        (7200, "hours:minutes"),
        (172800, "days and hours"),
    ],
)
def test_the_axis_says_what_its_numbers_are(span: float, unit: str) -> None:
    assert clock_unit(span) == unit


@given(ANY_NUMBER)
def test_any_axis_has_a_few_finite_ticks_within_it(most: float) -> None:
    for axis in (byte_axis(most), core_axis(most), time_axis(most)):
        assert math.isfinite(axis.top)
        assert axis.top > 0
        assert 1 <= len(axis.ticks) <= 7
        assert axis.ticks[0] == 0
        assert axis.ticks[-1] <= axis.top
        assert list(axis.ticks) == sorted(set(axis.ticks))


@given(st.floats(0, 1e15))
def test_values_keep_room_above_them(most: float) -> None:
    assert byte_axis(most).share(most) <= 100 / 1.1
    assert core_axis(most).share(most) <= 100 / 1.1


@given(ANY_NUMBER)
def test_any_value_has_a_place_on_the_axis(value: float) -> None:
    assert 0 <= Axis(top=8.0, ticks=(0.0,)).share(value) <= 100


def test_shares_are_percent() -> None:
    axis = Axis(top=8.0, ticks=(0.0,))
    assert [axis.share(value) for value in (0, 2, 8, 9, -1, math.nan, math.inf, 10**400)] == [
        0,
        25,
        100,
        100,
        0,
        0,
        100,
        100,
    ]


def test_what_is_no_number_counts_as_zero() -> None:
    assert [clamp(value) for value in (math.nan, -1, 3, math.inf, 10**400)] == [0, 0, 3, 1e24, 1e24]


def test_thinning_keeps_the_highest_of_each_part_of_the_time() -> None:
    points = [(0.0, 1.0), (1.0, 5.0), (2.0, 2.0), (5.0, 3.0), (9.0, 4.0), (10.0, 1.0)]
    assert thin(points, span_seconds=10, buckets=2) == [(1.0, 5.0), (9.0, 4.0)]
    assert thin(points, span_seconds=10, buckets=1000) == points


def test_thinning_joins_what_lay_close_and_parts_what_did_not() -> None:
    points = [(float(at), 1.0) for at in (*range(50), *range(60, 100))]
    pieces = thin_pieces(points, span_seconds=100, buckets=10, hole_seconds=3.0)
    assert [[at for at, _ in piece] for piece in pieces] == [[0, 10, 20, 30, 40], [60, 70, 80, 90]]
    assert len(thin_pieces(points, span_seconds=100, buckets=10)) == 1


@given(st.lists(st.tuples(ANY_NUMBER, ANY_NUMBER), max_size=50), st.integers(1, 10))
def test_thinning_bounds_the_points_and_keeps_the_peak(points: list[tuple[float, float]], buckets: int) -> None:
    thinned = thin(points, span_seconds=100, buckets=buckets)
    assert len(thinned) <= buckets
    assert thinned == sorted(thinned)
    assert max((value for _, value in thinned), default=0) == max((clamp(value) for _, value in points), default=0)
