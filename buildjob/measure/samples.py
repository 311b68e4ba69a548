"""The samples of a run, bounded: however long it runs, about `CAPACITY` are kept.

When there are too many they are merged pair by pair, which doubles the interval. Pure: no clock, no files.
"""

import msgspec

from buildjob.telemetry import Samples

CAPACITY = 2000


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured in the span that ends at `time_seconds`."""

    time_seconds: float
    """End of the span, from the start of the run."""
    span_seconds: float
    memory_bytes: int
    cpu_cores: float
    processes: int
    late_seconds: float


def merge(first: Sample, second: Sample) -> Sample:
    """Return one sample for two adjacent ones: the maxima, and the mean of the CPU weighted by the spans."""
    span = first.span_seconds + second.span_seconds
    cpu_seconds = first.cpu_cores * first.span_seconds + second.cpu_cores * second.span_seconds
    return Sample(
        time_seconds=second.time_seconds,
        span_seconds=span,
        memory_bytes=max(first.memory_bytes, second.memory_bytes),
        cpu_cores=cpu_seconds / span if span else max(first.cpu_cores, second.cpu_cores),
        processes=max(first.processes, second.processes),
        late_seconds=max(first.late_seconds, second.late_seconds),
    )


class SampleBuffer:
    """Samples in order of time; never more than `capacity`, which is even, plus the one that is being filled."""

    def __init__(self, *, interval_seconds: float, capacity: int = CAPACITY) -> None:
        self._interval_seconds = interval_seconds
        self._capacity = capacity
        self._samples: list[Sample] = []
        self._merged_count = 1  # how many readings make one sample
        self._filling: Sample | None = None
        self._filling_count = 0

    def add(self, sample: Sample) -> None:
        """Add the next reading; its time is not before the last one's."""
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
            cpu_cores=[round(row.cpu_cores, 3) for row in rows],
            processes=[row.processes for row in rows],
            late_seconds=[round(row.late_seconds, 4) for row in rows],
        )
