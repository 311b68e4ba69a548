"""Which observations count: a window by count and by age, and the most exact level that says enough.

Source: a maximum over ten days once halved py-torch's size, two weeks before a build needed the old one. So a window holds
the newest observations by count and, besides, all of the last months.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sizing.observations import Evidence, Level, Observation, PolicySettings

_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Counted:
    """The level that a size comes from, and the observations that count."""

    level: Level
    observations: list[Observation]
    """Of the level, the newest first; with few of them, those of the package's next level too. Each once."""
    samples: int
    """How many of them are the level's own: they stand first."""
    at_least_bytes: int
    """What the package is known to have needed, where its own builds are too few to size it by."""

    @property
    def own(self) -> list[Observation]:
        """The level's own observations."""
        return self.observations[: self.samples]


def chosen(evidence: Evidence, *, now: float, settings: PolicySettings) -> Counted | None:
    """Return the most exact level that says enough; None where the prior says more, or nothing does.

    The prior is about the package. So it comes after the package's own levels and before those of all packages together.
    """
    levels = accepted(evidence, now=now, settings=settings)
    level, counted = next(levels, (None, []))
    if level is None:
        return None
    if level is not evidence.levels[0] and not is_of_package(level.key):
        few = largest_of_package(evidence, now=now, settings=settings)
        return None if evidence.prior.memory_bytes else Counted(level, counted, len(counted), few)
    samples = len(counted)
    if samples < settings.mixed_below_count:
        next_level, next_counted = next(levels, (None, []))
        # the maximum over all packages would be every new package's size
        if next_level is not None and is_of_package(next_level.key):
            counted = list({id(seen): seen for seen in [*counted, *next_counted]}.values())
    return Counted(level, counted, samples, 0)


def accepted(evidence: Evidence, *, now: float, settings: PolicySettings) -> Iterator[tuple[Level, list[Observation]]]:
    """Yield the levels that say enough, from most to least exact, each with the observations that count."""
    for level in evidence.levels:
        needed = 1 if level.key.startswith("/") else settings.accepted_count
        counted = list(in_window(level.observations, now=now, settings=settings))
        if len(counted) >= needed:
            yield level, counted


def in_window(observations: Sequence[Observation], *, now: float, settings: PolicySettings) -> Iterator[Observation]:
    """Yield the observations that count, the newest first: they know the memory that they needed."""
    oldest = now - settings.window_days * _DAY_SECONDS
    newest_first = (seen for seen in reversed(observations) if seen.memory_needed_bytes)
    yield from islice(newest_first, settings.window_count)
    for seen in newest_first:
        if seen.ended < oldest:
            return  # they are in the order in which they ended
        yield seen


def largest_of_package(evidence: Evidence, *, now: float, settings: PolicySettings) -> int:
    """Return the largest need of the package, also where too few builds are known to accept a level; else 0."""
    levels = [level for index, level in enumerate(evidence.levels) if index == 0 or is_of_package(level.key)]
    return max((largest(list(in_window(level.observations, now=now, settings=settings))) for level in levels), default=0)


def largest(observations: Sequence[Observation]) -> int:
    """Return the largest need in bytes; 0 without observations."""
    return max((seen.memory_needed_bytes or 0 for seen in observations), default=0)


def is_of_package(key: str) -> bool:
    """Return whether the key is of one package, not of several."""
    return key != "*" and not key.startswith("build_system=")
