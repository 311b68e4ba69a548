"""Other ways of sizing, as their authors describe them, for the replay; each yields a task's limits without end."""

import math
from collections.abc import Callable, Iterator, Sequence

from scripts.benches.parts.sizing_traces import NODE_BYTES
from sizing.observations import Observation
from sizing.replay import Past, Sizing

_MIB = 1 << 20
_First = Callable[[Sequence[float]], float]


def peers() -> dict[str, Sizing]:
    """Return them by name. Where nothing has ended yet, all ask for what the user asked for."""
    return {
        "user request": _user,
        "gantry: mean of 5": _bumping(lambda peaks: sum(peaks[-5:]) / len(peaks[-5:])),
        "max of 5 × 1.2, bump": _bumping(lambda peaks: max(peaks[-5:]) * 1.2),
        "max × 1.0, double": _doubling(max),
        "max × 1.1, double": _doubling(lambda peaks: max(peaks) * 1.1),
        "max × 1.2, double": _doubling(lambda peaks: max(peaks) * 1.2),
        "p95, double": _doubling(lambda peaks: sorted(peaks)[math.ceil(0.95 * len(peaks)) - 1]),
        "VPA-like": _vpa,
        "Tovar": _tovar,
    }


def _user(seen: Observation, past: Past) -> Iterator[float]:
    del past  # a user knows nothing of it
    yield from _doubled(_asked(seen))


def _doubling(first: _First) -> Sizing:
    def limits(seen: Observation, past: Past) -> Iterator[float]:
        peaks = _peaks(seen, past)
        yield from _doubled(first(peaks) if peaks else _asked(seen))

    return limits


def _bumping(first: _First) -> Sizing:
    """After a kill a fifth more, three times; then a node."""

    def limits(seen: Observation, past: Past) -> Iterator[float]:
        peaks = _peaks(seen, past)
        limit = first(peaks) if peaks else _asked(seen)
        yield from (limit * 1.2**kills for kills in range(4))
        yield from _doubled(NODE_BYTES)

    return limits


def _vpa(seen: Observation, past: Past) -> Iterator[float]:
    """Yield by Kubernetes' Vertical Pod Autoscaler: a decaying 90th percentile and 15 percent, then small bumps."""
    peaks = _peaks(seen, past)
    limit = _asked(seen)
    if peaks:
        weighted = sorted((peak, 0.5 ** (age / 20)) for age, peak in enumerate(reversed(peaks)))
        left = 0.9 * sum(weight for _, weight in weighted)
        for peak, weight in weighted:
            limit, left = peak, left - weight
            if left <= 0:
                break
        limit = max(limit * 1.15, 250e6)
    for _ in range(20):
        yield limit
        limit = max(1.2 * limit, limit + 100 * _MIB)
    yield from _doubled(NODE_BYTES)


def _tovar(seen: Observation, past: Past) -> Iterator[float]:
    """Yield the first allocation of least expected waste, then the largest seen, then a node."""
    tasks = past.of(seen.keys[0])
    if not tasks:
        yield from _doubled(_asked(seen))
    needs = sorted((task.memory_needed_bytes or 0, task.wall_seconds or 0.0) for task in tasks)
    largest = float(needs[-1][0])
    left = total = sum(seconds for _, seconds in needs)
    best, least = largest, math.inf
    for need, seconds in needs:
        left -= seconds
        waste = need * total + largest * left
        if waste < least:
            best, least = float(need), waste
    yield best
    if best < largest:
        yield largest
    yield from _doubled(NODE_BYTES)


def _doubled(limit: float) -> Iterator[float]:
    while True:
        yield limit
        limit *= 2


def _asked(seen: Observation) -> float:
    return float(seen.asked_memory_bytes or NODE_BYTES)


def _peaks(seen: Observation, past: Past) -> list[float]:
    return [float(task.memory_needed_bytes or 0) for task in past.of(seen.keys[0])]
