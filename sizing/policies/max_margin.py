"""The policy `max_margin`: the largest need seen, with a margin; after a kill twice as much, up to the largest node."""

from sizing.observations import Evidence, Ladder, PolicySettings
from sizing.policies.windows import chosen, largest, largest_of_package


def ladder(evidence: Evidence, *, now: float, settings: PolicySettings) -> Ladder | None:
    """Return the ladder of the most exact level that says enough; else of the prior; else None."""
    found = chosen(evidence, now=now, settings=settings)
    if found is None:
        prior = evidence.prior.memory_bytes
        few = with_margin(largest_of_package(evidence, now=now, settings=settings), settings)
        return Ladder(memory_bytes=doubling(max(prior, few), settings)) if prior else None
    first = with_margin(max(largest(found.observations), found.at_least_bytes), settings)
    return Ladder(
        memory_bytes=doubling(first, settings), key=found.level.key, samples=found.samples, largest_bytes=largest(found.own)
    )


def with_margin(memory_bytes: int, settings: PolicySettings) -> int:
    """Return the memory with the margin on top, rounded up."""
    return -(-memory_bytes * settings.margin_percent // 100)


def doubling(first_bytes: int, settings: PolicySettings) -> tuple[int, ...]:
    """Return the limits of all attempts; fewer where the cap is reached before."""
    limits = [first_bytes << step for step in range(settings.most_attempts)]
    if settings.cap_bytes is None:
        return tuple(limits)
    return tuple(dict.fromkeys(min(limit, settings.cap_bytes) for limit in limits))
