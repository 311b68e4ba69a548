"""Which observations count: a window by count and by age, and the most exact level that says enough.

Source: a maximum over ten days once halved py-torch's size, two weeks before a build needed the old one. So a window holds
the newest observations by count and, besides, all of the last months.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

from sizing.observations import Evidence, Level, Observation, PolicySettings

_DAY_SECONDS = 86_400


def in_window(observations: Sequence[Observation], *, now: float, settings: PolicySettings) -> Iterator[Observation]:
    """Yield the observations that count, the newest first: they know the memory that they needed."""
    oldest = now - settings.window_days * _DAY_SECONDS
    newest_first = (seen for seen in reversed(observations) if seen.memory_needed_bytes)
    yield from islice(newest_first, settings.window_count)
    for seen in newest_first:
        if seen.ended < oldest:
            return  # they are in the order in which they ended
        yield seen


def accepted(evidence: Evidence, *, now: float, settings: PolicySettings) -> Iterator[tuple[Level, list[Observation]]]:
    """Yield the levels that say enough, from most to least exact, each with the observations that count."""
    for level in evidence.levels:
        needed = 1 if level.key.startswith("/") else settings.accepted_count
        counted = list(in_window(level.observations, now=now, settings=settings))
        if len(counted) >= needed:
            yield level, counted
