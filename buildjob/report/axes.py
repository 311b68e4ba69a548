"""Scales for the plots: where an axis ends, where its ticks are, and how many points a plot needs.

Pure arithmetic on any numbers; knows neither SVG nor telemetry.
"""

import itertools
import math
import operator
from collections.abc import Iterable

import msgspec

_MOST = 1e24
_LONGEST = 1e10
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


class Axis(msgspec.Struct, frozen=True):
    """An axis from 0 to `top`."""

    top: float
    ticks: tuple[float, ...]
    """In order, from 0, none above `top`."""

    def share(self, value: float) -> float:
        """Return where the value lies, in percent from 0; values beyond the ends lie on them."""
        return 100 * min(max(clamp(value) / self.top, 0.0), 1.0)


def clamp(value: float, *, most: float = _MOST) -> float:
    """Return the value as a finite float between 0 and `most`; NaN counts as 0."""
    if value != value:  # noqa: PLR0124 (NaN, in one comparison also for integers that no float holds)
        return 0.0
    return float(min(max(value, 0), most))


def byte_axis(most: float) -> Axis:
    """Return an axis for memory: steps are powers of two, at least 1 MiB, two to four of them."""
    most = max(clamp(most), float(1 << 20))
    step = float(1 << max(20, math.ceil(math.log2(most / 4))))
    return _axis(most, step)


def core_axis(most: float) -> Axis:
    """Return an axis for CPU: steps 1, 2, 5 × powers of ten, at least half a core."""
    most = max(clamp(most), 1.0)
    for exponent in range(26):
        for digit in (0.5, 1, 2):
            if most / (digit * 10**exponent) <= 4:
                return _axis(most, digit * 10**exponent)
    raise AssertionError(most)


def time_axis(span_seconds: float) -> Axis:
    """Return an axis for time: from 0 to exactly the span (at least a second), at most seven ticks."""
    span = min(max(clamp(span_seconds), 1.0), _LONGEST)
    step = next((step for step in _TIME_STEPS if span / step <= 6), 86400 * math.ceil(span / 86400 / 6))
    return Axis(top=span, ticks=tuple(float(step * number) for number in range(int(span // step) + 1)))


def format_clock(seconds: float, *, span_seconds: float) -> str:
    """Return a point in time as the span's axis writes it: seconds, `m:ss`, `h:mm` or days and hours."""
    whole = round(clamp(seconds, most=_LONGEST))
    if span_seconds < 120:
        return f"{whole}"
    if span_seconds < 7200:
        return f"{whole // 60}:{whole % 60:02d}"
    if span_seconds < 172800:
        return f"{whole // 3600}:{whole // 60 % 60:02d}"
    return f"{whole // 86400} d {whole // 3600 % 24} h"


def clock_unit(span_seconds: float) -> str:
    """Return what the numbers of `format_clock` are."""
    for bound, unit in ((120, "seconds"), (7200, "minutes:seconds"), (172800, "hours:minutes")):
        if span_seconds < bound:
            return unit
    return "days and hours"


def thin(points: Iterable[tuple[float, float]], *, span_seconds: float, buckets: int) -> list[tuple[float, float]]:
    """Return at most one point for each of `buckets` equal parts of the time, the highest; in order of time.

    The highest, since a plot that hides its peak is worse than none.
    """
    return [point for piece in thin_pieces(points, span_seconds=span_seconds, buckets=buckets) for point in piece]


def thin_pieces(
    points: Iterable[tuple[float, float]], *, span_seconds: float, buckets: int, hole_seconds: float = math.inf
) -> list[list[tuple[float, float]]]:
    """Return the same points in pieces: between two of them lie points more than `hole_seconds` apart."""
    highest: dict[int, tuple[int, tuple[float, float]]] = {}
    piece, before = 0, math.inf
    for time, value in points:
        point = (clamp(time, most=span_seconds), clamp(value))
        # Counted over all points: two that are kept may be far apart although many lie between them.
        piece += point[0] - before > hole_seconds
        before = point[0]
        bucket = min(int(point[0] / span_seconds * buckets), buckets - 1)
        if bucket not in highest or point[1] > highest[bucket][1][1]:
            highest[bucket] = (piece, point)
    kept = [highest[bucket] for bucket in sorted(highest)]
    return [[point for _, point in group] for _, group in itertools.groupby(kept, key=operator.itemgetter(0))]


def _axis(most: float, step: float) -> Axis:
    """Leave room above the highest value for the text on a limit's line."""
    top = max(most * 1.15, step)
    return Axis(top=top, ticks=tuple(step * number for number in range(int(top // step) + 1)))
