"""The curves of a build, bounded: however long it runs, at most `capacity` points are kept.

Points are merged pair by pair when there are too many, so that the distance of two points doubles. Pure: no clock, no files.
"""

import msgspec

from buildjob.telemetry import Samples

CAPACITY = 2000


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the span that ends at `time_seconds`."""

    time_seconds: float
    """End of the span, from the start of the run."""
    span_seconds: float
    memory_bytes: int
    cpu_cores: float
    processes: int
    late_seconds: float


def merge(first: Point, second: Point) -> Point:
    """Return one point for two adjacent ones: the maxima, and the mean of the CPU weighted by the spans."""
    span = first.span_seconds + second.span_seconds
    cpu_seconds = first.cpu_cores * first.span_seconds + second.cpu_cores * second.span_seconds
    return Point(
        time_seconds=second.time_seconds,
        span_seconds=span,
        memory_bytes=max(first.memory_bytes, second.memory_bytes),
        cpu_cores=cpu_seconds / span if span else max(first.cpu_cores, second.cpu_cores),
        processes=max(first.processes, second.processes),
        late_seconds=max(first.late_seconds, second.late_seconds),
    )


class Curve:
    """Points in order of time; never more than `capacity`, which is even, plus the one that is being filled."""

    def __init__(self, *, interval_seconds: float, capacity: int = CAPACITY) -> None:
        self._interval_seconds = interval_seconds
        self._capacity = capacity
        self._points: list[Point] = []
        self._group = 1  # how many samples make one point
        self._filling: Point | None = None
        self._filled = 0

    def add(self, point: Point) -> None:
        """Take in the next sample; its time is not before the last one's."""
        self._filling = point if self._filling is None else merge(self._filling, point)
        self._filled += 1
        if self._filled < self._group:
            return
        self._points.append(self._filling)
        self._filling, self._filled = None, 0
        if len(self._points) >= self._capacity:
            self._points = [merge(*pair) for pair in zip(self._points[::2], self._points[1::2], strict=True)]
            self._group *= 2

    def samples(self) -> Samples:
        """Return the document's lists, the unfinished point last."""
        points = [*self._points, self._filling] if self._filling else self._points
        return Samples(
            interval_seconds=self._interval_seconds * self._group,
            time_seconds=[round(point.time_seconds, 3) for point in points],
            memory_bytes=[point.memory_bytes for point in points],
            cpu_cores=[round(point.cpu_cores, 3) for point in points],
            processes=[point.processes for point in points],
            late_seconds=[round(point.late_seconds, 4) for point in points],
        )
