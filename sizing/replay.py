"""A replay: what a way of sizing would have asked for, had it sized the builds of the past as they came.

Builds are sized in the order of their submission. A build is history for those that are submitted after it ended; nothing
else of it is known before. An attempt whose limit is below the build's need is killed and costs its whole memory for the
whole run time; the attempt that succeeds wastes what it did not need. So waste is comparable with published replays. Pure.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from sizing.observations import Evidence, Level, Neighbor, Observation, PolicySettings, Prior
from sizing.policies import Policy
from sizing.policies.table import sized
from sizing.policies.windows import is_of_package

_GB_HOUR = 10**9 * 3600


class Past:
    """What has ended so far, by key; the observation's `asked_memory_bytes` is the prior of its package."""

    def __init__(self) -> None:
        """Nothing has ended."""
        self._by_key: dict[str, list[Observation]] = {}
        self._largest_shares: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self.version = 0
        """Rises with each observation."""

    def add(self, seen: Observation) -> None:
        """Add what ended latest."""
        self.version += 1
        for key in seen.keys:
            self._by_key.setdefault(key, []).append(seen)
        package = _package(seen)
        need, asked = seen.memory_needed_bytes, seen.asked_memory_bytes
        if need and asked:
            self._largest_shares[package] = max(self._largest_shares.get(package, 0.0), need / asked)
        self._seconds[package] = self._seconds.get(package, 0.0) + (seen.wall_seconds or 0.0)

    def of(self, key: str) -> Sequence[Observation]:
        """Return what ended with this key, in that order."""
        return self._by_key.get(key, ())

    def evidence(self, seen: Observation) -> Evidence:
        """Return what is known for an observation that is yet to be made."""
        package = _package(seen)
        return Evidence(
            levels=tuple(Level(key=key, observations=self.of(key)) for key in seen.keys),
            prior=Prior(
                memory_bytes=seen.asked_memory_bytes, cpu_millicores=seen.asked_cpu_millicores, build_jobs=seen.jobs
            ),
            neighbors=[
                Neighbor(used_share=share, seconds=self._seconds[other] / len(self._by_key[other]))
                for other, share in self._largest_shares.items()
                if other != package
            ],
        )


Sizing = Callable[[Observation, Past], Iterator[float]]
"""Yields the memory limits of an observation's attempts; looks at its keys, priors and submission only."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One build and the attempts it would have taken."""

    seen: Observation
    limits: tuple[float, ...]
    """Of all attempts; the last one succeeds."""
    was_known: bool
    """Whether a build of the same package had ended before it was submitted."""

    @property
    def waste_gb_hours(self) -> float:
        """What all attempts asked for and did not use; one that was killed used nothing."""
        idle = sum(self.limits) - (self.seen.memory_needed_bytes or 0)
        return idle * (self.seen.wall_seconds or 0.0) / _GB_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a replay comes to."""

    builds: int
    waste_gb_hours: float
    cold_waste_gb_hours: float
    """Of builds whose package nothing was known of."""
    failed: int
    """Builds with at least one killed attempt."""
    most_attempts: int


def as_asked(seen: Observation, past: Past) -> Iterator[float]:
    """Yield what the build or its prior asked for, then twice as much each time: a way of sizing that learns nothing."""
    del past
    limit = float(seen.asked_memory_bytes or seen.memory_needed_bytes or 1)
    while True:
        yield limit
        limit *= 2


def by_policy(policy: str | Policy, settings: PolicySettings) -> Sizing:
    """Return a policy as a way of sizing; sizes are computed anew when there is something new to learn from."""
    ladders: dict[tuple[str, ...], tuple[tuple[int | None, ...], tuple[int, ...]]] = {}

    def limits(seen: Observation, past: Past) -> Iterator[float]:
        own = [past.of(key) for key in seen.keys if is_of_package(key)]
        # with too few builds of the package, all others say something too
        is_few = not any(len(ended) >= settings.accepted_count for ended in own)
        state = (seen.asked_memory_bytes, *map(len, own), past.version if is_few else None)
        known, ladder = ladders.get(seen.keys, (None, ()))
        if known != state:
            newest = max((observations[-1].ended for observations in own if observations), default=seen.submitted)
            found = sized(policy, past.evidence(seen), now=newest, settings=settings)
            ladder = found.memory_bytes if found else ()
            ladders[seen.keys] = state, ladder
        yield from ladder
        limit = ladder[-1] if ladder else settings.floor_bytes
        while True:
            limit *= 2
            yield limit

    return limits


def replayed(
    observations: Iterable[Observation], sizing: Sizing, *, cap_bytes: int, delays: bool = False
) -> Iterator[Replayed]:
    """Yield what becomes of each build that knows its need and its run time, in order of submission.

    No limit is above the cap, and a build that needs more succeeds there. `delays`: a killed attempt takes as long as the
    build, and the build is history only after all its attempts; else it is as soon as it really ended.
    """
    past, running, order = Past(), list[tuple[float, int, Observation]](), count()
    for seen in sorted(observations, key=lambda seen: seen.submitted):
        need = min(seen.memory_needed_bytes or 0, cap_bytes)
        if not need or not seen.wall_seconds:
            continue
        while running and running[0][0] <= seen.submitted:
            past.add(heapq.heappop(running)[-1])
        was_known = bool(past.of(_package(seen)))
        limits = list[float]()
        for limit in sizing(seen, past):
            limits.append(min(limit, cap_bytes))
            if limits[-1] >= need:
                break
        ended = seen.ended + (seen.wall_seconds * (len(limits) - 1) if delays else 0.0)
        heapq.heappush(running, (ended, next(order), replace(seen, ended=ended)))
        yield Replayed(seen, tuple(limits), was_known)


def totals(builds: Iterable[Replayed]) -> Totals:
    """Return the sums; of no builds, zeros."""
    of = list(builds)
    return Totals(
        builds=len(of),
        waste_gb_hours=sum(one.waste_gb_hours for one in of),
        cold_waste_gb_hours=sum(one.waste_gb_hours for one in of if not one.was_known),
        failed=sum(len(one.limits) > 1 for one in of),
        most_attempts=max((len(one.limits) for one in of), default=0),
    )


def _package(seen: Observation) -> str:
    """Return the least exact key that is of one package."""
    return next((key for key in reversed(seen.keys) if is_of_package(key)), seen.keys[-1])
