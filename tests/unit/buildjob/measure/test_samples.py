"""Thinning: bounded, in order, and nothing that counts is lost."""

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.measure.samples import Sample, SampleBuffer, merge

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


def _samples(rows: list[tuple[float, int, float, int, float]]) -> list[Sample]:
    now = 0.0
    samples_in = []
    for span, memory, cores, processes, late in rows:
        now += span
        samples_in.append(
            Sample(
                time_seconds=now,
                cpu_span_seconds=span,
                memory_bytes=memory,
                cpu_cores=cores,
                processes=processes,
                late_seconds=late,
            )
        )
    return samples_in


@pytest.mark.long
@given(_SAMPLES, st.sampled_from([2, 4, 16]))
def test_thinning_is_bounded_and_keeps_extremes_and_order(
    rows: list[tuple[float, int, float, int, float]], capacity: int
) -> None:
    samples_in = _samples(rows)
    buffer = SampleBuffer(interval_seconds=1.0, capacity=capacity)
    for sample in samples_in:
        buffer.add(sample)
    samples = buffer.samples()
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
    if samples_in:
        assert max(filter(None, samples.memory_bytes), default=0) == max(sample.memory_bytes or 0 for sample in samples_in)
        assert max(filter(None, samples.processes), default=0) == max(sample.processes or 0 for sample in samples_in)
        assert max(samples.late_seconds) == pytest.approx(max(sample.late_seconds for sample in samples_in), abs=1e-4)
        assert samples.time_seconds[-1] == pytest.approx(samples_in[-1].time_seconds, abs=1e-3)


@pytest.mark.long
@given(_SAMPLES.filter(bool))
def test_merging_keeps_the_cpu_time(rows: list[tuple[float, int, float, int, float]]) -> None:
    samples_in = _samples(rows)
    merged = functools.reduce(merge, samples_in)
    true_seconds = sum((sample.cpu_cores or 0.0) * sample.cpu_span_seconds for sample in samples_in)
    assert (merged.cpu_cores or 0.0) * merged.cpu_span_seconds == pytest.approx(true_seconds, abs=1e-9)
    assert merged.cpu_span_seconds == pytest.approx(sum(sample.cpu_span_seconds for sample in samples_in))


def _row(at: float, *, memory: int | None = None, cores: float | None = None, span: float = 0.0) -> Sample:
    return Sample(
        time_seconds=at, memory_bytes=memory, cpu_cores=cores, cpu_span_seconds=span, processes=None, late_seconds=0.0
    )


def test_a_figure_that_was_not_read_is_unknown_and_not_zero() -> None:
    buffer = SampleBuffer(interval_seconds=1.0)
    for sample in (_row(1.0, memory=5), _row(2.0, memory=6, cores=1.5, span=2.0), _row(3.0, cores=0.5, span=1.0)):
        buffer.add(sample)
    samples = buffer.samples()
    assert samples.memory_bytes == [5, 6, None]
    assert samples.cpu_cores == [None, 1.5, 0.5]
    assert samples.processes == [None, None, None]


def test_merging_takes_what_one_of_the_two_knows() -> None:
    first, second = _row(1.0, memory=5), _row(2.0, cores=1.5, span=2.0)
    assert merge(first, second) == _row(2.0, memory=5, cores=1.5, span=2.0)
    both = merge(_row(3.0, cores=3.0, span=1.0), _row(5.0, memory=7, cores=0.0, span=2.0))
    assert (both.cpu_cores, both.cpu_span_seconds, both.memory_bytes) == (1.0, 3.0, 7)


@pytest.mark.parametrize(
    ("known_at", "holes", "seconds"),
    [
        ([1.0, 2.0, 3.0], 0, 0.0),
        ([1.0, 4.0], 0, 0.0),  # two samples are missing: no more than a busy machine does
        ([1.0, 9.0, 10.0], 1, 8.0),
        ([6.0, 7.0], 1, 6.0),  # from the start
        ([1.0, 9.0, 10.0, 46.0], 2, 44.0),
    ],
)
def test_holes_in_the_memory_are_counted(known_at: list[float], holes: int, seconds: float) -> None:
    buffer = SampleBuffer(interval_seconds=1.0, capacity=4)
    for at in range(1, 47):
        buffer.add(_row(float(at), memory=5 if at in known_at else None, cores=1.0, span=1.0))
        if at == max(known_at):
            break
    assert (buffer.samples().holes, buffer.samples().hole_seconds) == (holes, seconds)


def test_a_day_at_one_hertz_fits_in_two_thousand_samples() -> None:
    buffer = SampleBuffer(interval_seconds=1.0)
    for second in range(1, 86_401):
        buffer.add(
            Sample(
                time_seconds=float(second),
                cpu_span_seconds=1.0,
                memory_bytes=second % 977,
                cpu_cores=1.5,
                processes=3,
                late_seconds=0.0,
            )
        )
    samples = buffer.samples()
    assert 1000 <= len(samples.time_seconds) <= 2000
    assert samples.interval_seconds == 64.0
    assert set(samples.cpu_cores) == {1.5}
    assert max(filter(None, samples.memory_bytes), default=0) == 976
