"""The policy `min_waste`: the ladder that is expected to waste least, what a killed attempt costs included.

What a next build may need is a distribution. With a history, most of it lies where past builds lie; a part, which shrinks
as builds are added, lies above the largest, and reaches the farther the more the builds differ. So a package that always
needs the same gets hardly any margin, and short builds, for which a kill costs more than memory, get a large one. Without a
history, it is the prior times the shares of their priors that other packages turned out to need.

The constants are the same for all data; docs/sizing.md says how much each of them matters.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from sizing.observations import Evidence, Ladder, Neighbor, Observation, PolicySettings
from sizing.policies.steps import Need, cheapest
from sizing.policies.windows import chosen, largest, largest_of_package

_HOUR = 3600
_GB = 10**9
# The last of n+1 builds in random order is the largest with the chance 1/(n+1). Their order is not random: the small ones
# end first.
_DRIFT = 2.0
# How far a new largest need lies above the old one, as a mean of logarithms: in standard deviations of the past builds, and
# what is added while their deviation says little, for one build.
_SPREADS = 1.2
_FIRST_SPREAD = 0.5
_LEAST_SPREAD = 0.002
# A person's request was seldom too small: so much of the chance beyond it is believed.
_BELIEVED_BEYOND_PRIOR = 0.1
# Past builds count at sizes of a grid below the largest, and larger ones above it; finer is slower and no better.
_BELOW_PER_E = 8
_BELOW_STEPS = 24
_ABOVE = tuple(
    math.exp(step)
    for step in (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.27, 0.35, 0.45, 0.6, 0.8, 1, 1.3, 1.6, 2, 2.5, 3, 4)
)
# Without a history: quarters of the prior, each as likely as what so many neighbors show, until neighbors say more.
_QUARTERS = (0.25, 0.5, 0.75, 1.0)
_ASSUMED_NEIGHBORS = 16
_NEIGHBOR_MARGIN = 1.1
# Beyond the prior, of the whole: twice as much, and the largest node.
_BEYOND_PRIOR = ((2.0, 0.02), (math.inf, 0.005))
# How long a build takes of which nothing is known, and how many neighbors that weighs as much as.
_ASSUMED_SECONDS = 900.0
_ASSUMED_SECONDS_WEIGHT = 5
# Without a known largest node, the last step of a ladder, over the largest that is known or asked for.
_UNCAPPED = 8


def ladder(evidence: Evidence, *, now: float, settings: PolicySettings) -> Ladder | None:
    """Return the ladder of the most exact level that says enough; else one below and up to the prior; else None.

    The margin of the settings does not apply: each ladder has its own.
    """
    found = chosen(evidence, now=now, settings=settings)
    prior = evidence.prior.memory_bytes
    if found is not None:
        limits = _limits(_needs_by_history(found.observations, prior=prior, settings=settings), settings)
        return Ladder(
            memory_bytes=_above(limits, found.at_least_bytes, settings), key=found.level.key, samples=found.samples,
            largest_bytes=largest(found.own),
        )  # fmt: skip
    if not prior:
        return None
    limits = _limits(_needs_by_prior(prior, evidence.neighbors, settings), settings)
    # two builds are too few to size the third by, but they are known to have needed so much
    return Ladder(memory_bytes=_above(limits, largest_of_package(evidence, now=now, settings=settings), settings))


def _above(limits: tuple[int, ...], at_least_bytes: int, settings: PolicySettings) -> tuple[int, ...]:
    """Return the limits that are not below what is known to be needed; at least one."""
    fitting = tuple(limit for limit in limits if limit >= at_least_bytes)
    return fitting or (at_least_bytes if settings.cap_bytes is None else min(at_least_bytes, settings.cap_bytes),)


def _limits(needs: list[Need], settings: PolicySettings) -> tuple[int, ...]:
    kill_costs = settings.kill_costs_gb_hours * _GB * _HOUR
    steps = cheapest(needs, kill_costs=kill_costs, most_steps=settings.most_attempts)
    return tuple(dict.fromkeys(math.ceil(step) for step in steps))


def _needs_by_history(counted: Sequence[Observation], *, prior: int | None, settings: PolicySettings) -> list[Need]:
    """Return what a next build may need, after these, rising."""
    # below the floor, differences are noise that costs nothing
    least = settings.floor_bytes / 2
    logs = [math.log(max(_needed(seen, settings), least)) for seen in counted]
    highest = max(logs)
    top = math.exp(highest)
    count = len(logs)
    seconds = [seen.wall_seconds or _ASSUMED_SECONDS for seen in counted]
    mean_seconds = sum(seconds) / count
    above = min(0.5, _DRIFT / (count + 1))
    outcomes: dict[float, tuple[float, float]] = {}
    for log, duration in zip(logs, seconds, strict=True):
        steps_below = min(_BELOW_STEPS, math.floor((highest - log) * _BELOW_PER_E))
        size = top * math.exp(-steps_below / _BELOW_PER_E)
        chance, run = outcomes.get(size, (0.0, 0.0))
        outcomes[size] = chance + (1 - above) / count, run + duration * (1 - above) / count
    end = _end(max(top, prior or 0), settings)
    for size, chance in _tail(top, _mean_excess(logs), above=above, prior=prior, end=end):
        outcomes[size] = chance, chance * mean_seconds
    return _merged(outcomes, settings)


def _needed(seen: Observation, settings: PolicySettings) -> float:
    """Return what a build needed; a killed one more than its limit."""
    need = max(1, seen.memory_needed_bytes or 0)
    return need * settings.margin_percent / 100 if seen.censored else need


def _mean_excess(logs: Sequence[float]) -> float:
    """Return by how much the next largest need is expected to pass the largest, as a logarithm."""
    mean = sum(logs) / len(logs)
    deviation = math.sqrt(sum((log - mean) ** 2 for log in logs) / len(logs))
    return _SPREADS * deviation + _FIRST_SPREAD / len(logs) + _LEAST_SPREAD


def _tail(top: float, excess: float, *, above: float, prior: int | None, end: float) -> Iterator[tuple[float, float]]:
    """Yield sizes above the largest need, with the chance that the need lies between the size before and this one."""
    sizes = sorted({*(top * factor for factor in _ABOVE), *([float(prior)] if prior and prior > top else [])})
    left = above
    for size in sizes:
        if size >= end:
            break
        # excesses over a high threshold fall off exponentially; of logarithms, that is a power
        beyond = above * (top / size) ** (1 / excess)
        if prior and size >= prior:
            beyond *= _BELIEVED_BEYOND_PRIOR
        yield size, left - beyond
        left = beyond
    yield end, left


def _needs_by_prior(prior: int, neighbors: Sequence[Neighbor], settings: PolicySettings) -> list[Need]:
    """Return what a build may need of which only the prior is known, rising."""
    weights = [_ASSUMED_NEIGHBORS / len(_QUARTERS)] * len(_QUARTERS)
    for neighbor in neighbors:
        quarter = bisect_left(_QUARTERS, neighbor.used_share * _NEIGHBOR_MARGIN)
        weights[min(quarter, len(_QUARTERS) - 1)] += 1
    total = _ASSUMED_NEIGHBORS + len(neighbors)
    seconds = (_ASSUMED_SECONDS * _ASSUMED_SECONDS_WEIGHT + sum(neighbor.seconds for neighbor in neighbors)) / (
        _ASSUMED_SECONDS_WEIGHT + len(neighbors)
    )
    end = _end(prior, settings)
    outcomes: dict[float, tuple[float, float]] = {}
    shares = [(share, weight / total) for share, weight in zip(_QUARTERS, weights, strict=True)]
    for share, chance in [*shares, *_BEYOND_PRIOR]:
        size = min(prior * share, end)
        known, run = outcomes.get(size, (0.0, 0.0))
        outcomes[size] = known + chance, run + chance * seconds
    return _merged(outcomes, settings)


def _end(known: float, settings: PolicySettings) -> float:
    """Return the size of a ladder's last step: the largest node."""
    return float(settings.cap_bytes or known * _UNCAPPED)


def _merged(outcomes: dict[float, tuple[float, float]], settings: PolicySettings) -> list[Need]:
    """Return the outcomes, rising; what lies below the floor or above the cap lies at it."""
    cap = settings.cap_bytes or math.inf
    merged: dict[float, tuple[float, float]] = {}
    for size, (chance, run) in sorted(outcomes.items()):
        held = min(max(size, settings.floor_bytes), cap)
        known, known_run = merged.get(held, (0.0, 0.0))
        merged[held] = known + chance, known_run + run
    return [Need(size, chance, run) for size, (chance, run) in merged.items()]
