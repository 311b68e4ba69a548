"""The policy `percentile`: nearly all needs seen, with a margin; after a kill the largest one, then twice as much.

For queues of short jobs that may fail: it asks for less than `max_margin` and is killed more often.
"""

from sizing.observations import Evidence, Ladder, PolicySettings
from sizing.policies.max_margin import doubling, with_margin
from sizing.policies.max_margin import ladder as max_margin
from sizing.policies.windows import chosen, largest


def ladder(evidence: Evidence, *, now: float, settings: PolicySettings) -> Ladder | None:
    """Return the ladder of the most exact level that says enough; without one, that of `max_margin`."""
    found = chosen(evidence, now=now, settings=settings)
    if found is None:
        return max_margin(evidence, now=now, settings=settings)
    needs = sorted(seen.memory_needed_bytes or 0 for seen in found.observations)
    # the smallest need that so many percent of the builds do not pass
    usual = needs[-(-len(needs) * settings.percentile // 100) - 1]
    first = with_margin(max(usual, found.at_least_bytes), settings)
    after = doubling(with_margin(max(needs[-1], found.at_least_bytes), settings), settings)
    limits = (first if settings.cap_bytes is None else min(first, settings.cap_bytes), *after)
    return Ladder(
        memory_bytes=tuple(dict.fromkeys(limits))[: settings.most_attempts], key=found.level.key, samples=found.samples,
        largest_bytes=largest(found.own),
    )  # fmt: skip
