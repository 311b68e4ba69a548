"""Thinning: bounded, in order, and nothing that counts is lost."""

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.measure.samples import Curve, Point, merge

_SAMPLES = st.lists(
    st.tuples(
        st.floats(0.01, 10),  # span
        st.integers(0, 1 << 40),  # memory
        st.floats(0, 256),  # cores
        st.integers(0, 5000),  # processes
        st.floats(0, 5),  # late
    ),
    max_size=200,
)


def _points(rows: list[tuple[float, int, float, int, float]]) -> list[Point]:
    now = 0.0
    points = []
    for span, memory, cores, processes, late in rows:
        now += span
        points.append(
            Point(
                time_seconds=now,
                span_seconds=span,
                memory_bytes=memory,
                cpu_cores=cores,
                processes=processes,
                late_seconds=late,
            )
        )
    return points


@given(_SAMPLES, st.sampled_from([2, 4, 16]))
def test_thinning_is_bounded_and_keeps_extremes_and_order(
    rows: list[tuple[float, int, float, int, float]], capacity: int
) -> None:
    points = _points(rows)
    curve = Curve(interval_seconds=1.0, capacity=capacity)
    for point in points:
        curve.add(point)
    samples = curve.samples()
    lengths = {
        len(column)
        for column in (
            samples.time_seconds,
            samples.memory_bytes,
            samples.cpu_cores,
            samples.processes,
            samples.late_seconds,
        )
    }
    assert len(lengths) == 1
    assert lengths.pop() <= capacity
    assert samples.time_seconds == sorted(samples.time_seconds)
    if points:
        assert max(samples.memory_bytes) == max(point.memory_bytes for point in points)
        assert max(samples.processes) == max(point.processes for point in points)
        assert max(samples.late_seconds) == pytest.approx(max(point.late_seconds for point in points), abs=1e-4)
        assert samples.time_seconds[-1] == pytest.approx(points[-1].time_seconds, abs=1e-3)


@given(_SAMPLES.filter(bool))
def test_merging_keeps_the_cpu_time(rows: list[tuple[float, int, float, int, float]]) -> None:
    points = _points(rows)
    merged = functools.reduce(merge, points)
    true_seconds = sum(point.cpu_cores * point.span_seconds for point in points)
    assert merged.cpu_cores * merged.span_seconds == pytest.approx(true_seconds, abs=1e-9)
    assert merged.span_seconds == pytest.approx(sum(point.span_seconds for point in points))


def test_a_day_at_one_hertz_fits_in_two_thousand_points() -> None:
    curve = Curve(interval_seconds=1.0)
    for second in range(1, 86_401):
        curve.add(
            Point(
                time_seconds=float(second),
                span_seconds=1.0,
                memory_bytes=second % 977,
                cpu_cores=1.5,
                processes=3,
                late_seconds=0.0,
            )
        )
    samples = curve.samples()
    assert 1000 <= len(samples.time_seconds) <= 2000
    assert samples.interval_seconds == 64.0
    assert set(samples.cpu_cores) == {1.5}
    assert max(samples.memory_bytes) == 976
