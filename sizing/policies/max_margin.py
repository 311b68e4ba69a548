"""The policy `max_margin`: the largest need seen, with a margin; after a kill twice as much, up to the largest node."""

from sizing.observations import Evidence, Ladder, Observation, PolicySettings
from sizing.policies.windows import accepted


def ladder(evidence: Evidence, *, now: float, settings: PolicySettings) -> Ladder | None:
    """Return the ladder of the most exact level that says enough; else of the prior; else None."""
    levels = accepted(evidence, now=now, settings=settings)
    level, counted = next(levels, (None, []))
    if level is None:
        prior = evidence.prior.memory_bytes
        return Ladder(memory_bytes=_doubling(prior, settings)) if prior else None
    largest = _largest(counted)
    if len(counted) < settings.mixed_below_count:
        _, less_exact = next(levels, (None, []))
        largest = max(largest, _largest(less_exact))
    first = -(-largest * settings.margin_percent // 100)
    return Ladder(
        memory_bytes=_doubling(first, settings), key=level.key, samples=len(counted), largest_bytes=_largest(counted)
    )  # fmt: skip


def _largest(observations: list[Observation]) -> int:
    return max((seen.memory_needed_bytes or 0 for seen in observations), default=0)


def _doubling(first_bytes: int, settings: PolicySettings) -> tuple[int, ...]:
    """Return the limits of all attempts; fewer where the cap is reached before."""
    limits = [first_bytes << step for step in range(settings.most_attempts)]
    if settings.cap_bytes is None:
        return tuple(limits)
    return tuple(dict.fromkeys(min(limit, settings.cap_bytes) for limit in limits))
