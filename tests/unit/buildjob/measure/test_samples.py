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
                span_seconds=span,
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
        assert max(samples.memory_bytes) == max(sample.memory_bytes for sample in samples_in)
        assert max(samples.processes) == max(sample.processes for sample in samples_in)
        assert max(samples.late_seconds) == pytest.approx(max(sample.late_seconds for sample in samples_in), abs=1e-4)
        assert samples.time_seconds[-1] == pytest.approx(samples_in[-1].time_seconds, abs=1e-3)


@pytest.mark.long
@given(_SAMPLES.filter(bool))
def test_merging_keeps_the_cpu_time(rows: list[tuple[float, int, float, int, float]]) -> None:
    samples_in = _samples(rows)
    merged = functools.reduce(merge, samples_in)
    true_seconds = sum(sample.cpu_cores * sample.span_seconds for sample in samples_in)
    assert merged.cpu_cores * merged.span_seconds == pytest.approx(true_seconds, abs=1e-9)
    assert merged.span_seconds == pytest.approx(sum(sample.span_seconds for sample in samples_in))


def test_a_day_at_one_hertz_fits_in_two_thousand_samples() -> None:
    buffer = SampleBuffer(interval_seconds=1.0)
    for second in range(1, 86_401):
        buffer.add(
            Sample(
                time_seconds=float(second),
                span_seconds=1.0,
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
    assert max(samples.memory_bytes) == 976
