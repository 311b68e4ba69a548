"""The samples of a run, bounded: however long it runs, about `CAPACITY` are kept.

When there are too many they are merged pair by pair, which doubles the interval. Pure: no clock, no files.
"""

from typing import TypeVar

import msgspec

from buildjob.telemetry import Samples, hole_after

CAPACITY = 2000

_Number = TypeVar("_Number", int, float)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured in the span that ends at `time_seconds`. None: the figure was not read in it."""

    time_seconds: float
    """End of the span, from the start of the run."""
    memory_bytes: int | None
    cpu_cores: float | None
    """The mean since it was last read."""
    cpu_span_seconds: float
    """How long ago that was; 0 if it was not read."""
    processes: int | None
    late_seconds: float


def merge(first: Sample, second: Sample) -> Sample:
    """Return one sample for two adjacent ones: the maxima, and the mean of the CPU weighted by its spans."""
    span = first.cpu_span_seconds + second.cpu_span_seconds
    cpu_seconds = sum((sample.cpu_cores or 0.0) * sample.cpu_span_seconds for sample in (first, second))
    cores = _greater(first.cpu_cores, second.cpu_cores)
    return Sample(
        time_seconds=second.time_seconds,
        memory_bytes=_greater(first.memory_bytes, second.memory_bytes),
        cpu_cores=cpu_seconds / span if span else cores,
        cpu_span_seconds=span,
        processes=_greater(first.processes, second.processes),
        late_seconds=max(first.late_seconds, second.late_seconds),
    )


def _greater(first: _Number | None, second: _Number | None) -> _Number | None:
    if first is None or second is None:
        return second if first is None else first
    return max(first, second)


class SampleBuffer:
    """Samples in order of time; never more than `capacity`, which is even, plus the one that is being filled."""

    def __init__(self, *, interval_seconds: float, capacity: int = CAPACITY) -> None:
        self._interval_seconds = interval_seconds
        self._capacity = capacity
        self._samples: list[Sample] = []
        self._merged_count = 1  # how many readings make one sample
        self._filling: Sample | None = None
        self._filling_count = 0
        # Holes are counted before samples are merged, which hides them.
        self._memory_known_at = 0.0
        self._holes = 0
        self._hole_seconds = 0.0

    def add(self, sample: Sample) -> None:
        """Add the next reading; its time is not before the last one's."""
        if sample.memory_bytes is not None:
            unknown_seconds = sample.time_seconds - self._memory_known_at
            if unknown_seconds > hole_after(self._interval_seconds):
                self._holes, self._hole_seconds = self._holes + 1, self._hole_seconds + unknown_seconds
            self._memory_known_at = sample.time_seconds
        self._filling = sample if self._filling is None else merge(self._filling, sample)
        self._filling_count += 1
        if self._filling_count < self._merged_count:
            return
        self._samples.append(self._filling)
        self._filling, self._filling_count = None, 0
        if len(self._samples) >= self._capacity:
            self._samples = [merge(*pair) for pair in zip(self._samples[::2], self._samples[1::2], strict=True)]
            self._merged_count *= 2

    def samples(self) -> Samples:
        """Return the document's lists, the unfinished sample last."""
        rows = [*self._samples, self._filling] if self._filling else self._samples
        return Samples(
            interval_seconds=self._interval_seconds * self._merged_count,
            time_seconds=[round(row.time_seconds, 3) for row in rows],
            memory_bytes=[row.memory_bytes for row in rows],
            cpu_cores=[None if row.cpu_cores is None else round(row.cpu_cores, 3) for row in rows],
            processes=[row.processes for row in rows],
            late_seconds=[round(row.late_seconds, 4) for row in rows],
            holes=self._holes,
            hole_seconds=round(self._hole_seconds, 3),
        )
