"""The policy `min_waste`: the ladder that is expected to waste least, what a killed attempt costs included.

What a next build may need is a distribution. With a history, most of it lies where past builds lie; a part, which shrinks
as builds are added, lies above the largest, and reaches the farther the more the builds differ. So a package that always
needs the same gets hardly any margin, and short builds, for which a kill costs more than memory, get the most that is
allowed. The largest need of the window is always held. Without a history, it is the prior times the shares of their priors
that other packages turned out to need.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sizing.observations import Evidence, Ladder, Neighbor, Observation, PolicySettings
from sizing.policies.steps import Need, cheapest
from sizing.policies.windows import chosen, largest, largest_of_package

_HOUR = 3600
_GB = 10**9
# Past builds count at sizes of a grid below the largest, and larger ones above it; finer is slower and no better.
_BELOW_PER_E = 8
_BELOW_STEPS = 24
_ABOVE = tuple(
    math.exp(step)
    for step in (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.27, 0.35, 0.45, 0.6, 0.8, 1, 1.3, 1.6, 2, 2.5, 3, 4)
)
_QUARTERS = (0.25, 0.5, 0.75, 1.0)
# Without a known largest node, the last step of a ladder, over the largest that is known or asked for.
_UNCAPPED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What is assumed of all builds alike: the constants of the policy. docs/sizing.md says how much each matters."""

    drift: float = 2.0
    """The last of n+1 builds in random order is the largest with chance 1/(n+1). The small ones end first: times this."""
    spreads: float = 1.2
    """How far a new largest need lies above the old one, as a mean of logarithms, in standard deviations of past builds."""
    first_spread: float = 0.5
    """Added to that, over the number of builds: while there are few, their deviation says little."""
    least_spread: float = 0.002
    """Added to that always."""
    killed_margin: float = 1.15
    """A killed build needed at least so many times its limit. Not the settings' margin: with more of it the first step,
    which is where most of the history lies, could be a lower one."""
    beyond_prior: float = 0.1
    """A person's request is seldom too small: so much of the chance beyond it is believed."""
    neighbors: float = 16.0
    """Without a history each quarter of the prior is as likely, and that weighs as much as so many neighbors."""
    neighbor_margin: float = 1.1
    """What a neighbor needed of its prior counts with this margin."""
    twice_prior: float = 0.02
    """Chance that a build without a history needs up to twice its prior."""
    any_size: float = 0.005
    """Chance that it needs more."""
    seconds: float = 900.0
    """How long a build takes of which nothing is known."""
    seconds_neighbors: float = 5.0
    """How many neighbors that weighs as much as."""


_ASSUMED = Assumptions()


def ladder(evidence: Evidence, *, now: float, settings: PolicySettings, assumed: Assumptions = _ASSUMED) -> Ladder | None:
    """Return the ladder of the most exact level that says enough; else one below and up to the prior; else None.

    Each ladder has a margin of its own, up to `most_margin_percent`.
    """
    found = chosen(evidence, now=now, settings=settings)
    prior = evidence.prior.memory_bytes
    if found is not None:
        limits = _limits_by_history(found.observations, prior=prior, settings=settings, assumed=assumed)
        return Ladder(
            memory_bytes=_above(limits, found.at_least_bytes, settings), key=found.level.key, samples=found.samples,
            largest_bytes=largest(found.own),
        )  # fmt: skip
    if not prior:
        return None
    limits = _limits(_needs_by_prior(prior, evidence.neighbors, settings=settings, assumed=assumed), settings)
    # two builds are too few to size the third by, but they are known to have needed so much
    return Ladder(memory_bytes=_above(limits, largest_of_package(evidence, now=now, settings=settings), settings))


def _above(limits: tuple[int, ...], at_least_bytes: int, settings: PolicySettings) -> tuple[int, ...]:
    """Return the limits that are not below what is known to be needed; at least one."""
    fitting = tuple(limit for limit in limits if limit >= at_least_bytes)
    return fitting or (at_least_bytes if settings.cap_bytes is None else min(at_least_bytes, settings.cap_bytes),)


def _limits_by_history(
    counted: Sequence[Observation], *, prior: int | None, settings: PolicySettings, assumed: Assumptions
) -> tuple[int, ...]:
    limits = _limits(_needs_by_history(counted, prior=prior, settings=settings, assumed=assumed), settings)
    top = math.ceil(max(settings.floor_bytes, *(_needed(seen, assumed) for seen in counted)))
    # a step below the largest would be cheaper in the mean, but what a build is known to have needed is always asked for
    limits = _above(limits, top, settings)
    # for short builds a kill costs more than any margin, but nodes are finite
    most = -(-top * settings.most_margin_percent // 100)
    return (most, *limits)[: settings.most_attempts] if limits[0] > most else limits


def _limits(needs: list[Need], settings: PolicySettings) -> tuple[int, ...]:
    kill_costs = settings.kill_costs_gb_hours * _GB * _HOUR
    # the last step is the largest node: nothing would be below it if it were the only one
    steps = cheapest(needs, kill_costs=kill_costs, most_steps=max(settings.most_attempts, 2))
    return tuple(dict.fromkeys(math.ceil(step) for step in steps))[: settings.most_attempts]


def _needs_by_history(
    counted: Sequence[Observation], *, prior: int | None, settings: PolicySettings, assumed: Assumptions
) -> list[Need]:
    """Return what a next build may need, after these, rising."""
    # below the floor, differences are noise that costs nothing
    least = settings.floor_bytes / 2
    logs = [math.log(max(_needed(seen, assumed), least)) for seen in counted]
    highest = max(logs)
    top = math.exp(highest)
    count = len(logs)
    seconds = [seen.wall_seconds if seen.wall_seconds and seen.wall_seconds > 0 else assumed.seconds for seen in counted]
    mean_seconds = sum(seconds) / count
    above = min(0.5, assumed.drift / (count + 1))
    outcomes: dict[float, tuple[float, float]] = {}
    for log, duration in zip(logs, seconds, strict=True):
        steps_below = min(_BELOW_STEPS, math.floor((highest - log) * _BELOW_PER_E))
        size = top * math.exp(-steps_below / _BELOW_PER_E)
        chance, run = outcomes.get(size, (0.0, 0.0))
        outcomes[size] = chance + (1 - above) / count, run + duration * (1 - above) / count
    end = _end(max(top, prior or 0), settings)
    excess = _mean_excess(logs, assumed)
    for size, chance in _tail(top, excess, above=above, prior=prior, end=end, beyond_prior=assumed.beyond_prior):
        outcomes[size] = chance, chance * mean_seconds
    return _merged(outcomes, settings)


def _needed(seen: Observation, assumed: Assumptions) -> float:
    """Return what a build needed; a killed one more than its limit."""
    need = max(1, seen.memory_needed_bytes or 0)
    return need * assumed.killed_margin if seen.censored else need


def _mean_excess(logs: Sequence[float], assumed: Assumptions) -> float:
    """Return by how much the next largest need is expected to pass the largest, as a logarithm."""
    mean = sum(logs) / len(logs)
    deviation = math.sqrt(sum((log - mean) ** 2 for log in logs) / len(logs))
    return assumed.spreads * deviation + assumed.first_spread / len(logs) + assumed.least_spread


def _tail(  # noqa: PLR0913 (a distribution's shape: each is a fact of its own)
    top: float, excess: float, *, above: float, prior: int | None, end: float, beyond_prior: float
) -> Iterator[tuple[float, float]]:
    """Yield sizes above the largest need, with the chance that the need lies between the size before and this one."""
    sizes = sorted({*(top * factor for factor in _ABOVE), *([float(prior)] if prior and prior > top else [])})
    left = above
    for size in sizes:
        if size >= end:
            break
        # excesses over a high threshold fall off exponentially; of logarithms, that is a power
        beyond = above * (top / size) ** (1 / excess)
        if prior and size >= prior:
            beyond *= beyond_prior
        yield size, left - beyond
        left = beyond
    yield end, left


def _needs_by_prior(
    prior: int, neighbors: Sequence[Neighbor], *, settings: PolicySettings, assumed: Assumptions
) -> list[Need]:
    """Return what a build may need of which only the prior is known, rising."""
    weights = [assumed.neighbors / len(_QUARTERS)] * len(_QUARTERS)
    for neighbor in neighbors:
        quarter = bisect_left(_QUARTERS, neighbor.used_share * assumed.neighbor_margin)
        weights[min(quarter, len(_QUARTERS) - 1)] += 1
    total = assumed.neighbors + len(neighbors)
    known_seconds = sum(neighbor.seconds for neighbor in neighbors)
    seconds = (assumed.seconds * assumed.seconds_neighbors + known_seconds) / (assumed.seconds_neighbors + len(neighbors))
    end = _end(prior, settings)
    outcomes: dict[float, tuple[float, float]] = {}
    shares = [(share, weight / total) for share, weight in zip(_QUARTERS, weights, strict=True)]
    for share, chance in [*shares, (2.0, assumed.twice_prior), (math.inf, assumed.any_size)]:
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
