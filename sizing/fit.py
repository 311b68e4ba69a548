"""Computes the size table from builds: one row for each key that says enough. Pure.

Memory is the policy's word, in tiers and within the cap; CPU is the third quartile of mean cores; times are the median and
the ninth decile of builds that succeeded. Rows that say the same as what a reader would find without them are left out.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sizing.observations import Evidence, Ladder, Level, Neighbor, Observation, PolicySettings, Prior
from sizing.policies.cores import requested
from sizing.policies.table import sized
from sizing.policies.windows import in_window, is_of_package
from sizing.prior import SOURCE
from sizing.quantities import in_gib
from sizing.size_table import Row

LARGE_CHANGE = 4
"""A key whose memory changes by more than this factor needs a person's word."""
_DISK_STEP = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The rows, and how readers get from one key to the next."""

    rows: dict[str, Row]
    chains: dict[str, tuple[str, ...]]
    """Key of a build -> the less exact keys of the newest such build."""

    def found(self, key: str) -> Row | None:
        """Return what a reader finds for builds of a key: its own row, or that of the next key that has one."""
        return next((self.rows[one] for one in (key, *self.chains.get(key, ())) if one in self.rows), None)


@dataclass
class _Past:
    """Observations by key, and what neighbors needed of what was asked for by hand."""

    by_key: dict[str, Sequence[Observation]] = field(default_factory=dict)
    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    priors: Mapping[str, Prior] = field(default_factory=dict)
    neighbors: dict[str, Neighbor] = field(default_factory=dict)

    def evidence(self, key: str) -> Evidence:
        levels = tuple(Level(key=one, observations=self.by_key.get(one, ())) for one in (key, *self.chains.get(key, ())))
        prior = next((self.priors[level.key] for level in levels if level.key in self.priors and level.key != "*"), Prior())
        prior = self.priors.get("*", Prior()) if key == "*" else prior
        package = _package(key, self.chains.get(key, ()))
        others = [one for name, one in self.neighbors.items() if name != package] if prior.memory_bytes else []
        return Evidence(levels=levels, prior=prior, neighbors=others)


def fit(  # noqa: PLR0913  what a table is made of
    observations: Iterable[Observation],
    priors: Mapping[str, Prior],
    *,
    policy: str,
    now: float,
    settings: PolicySettings,
    only: Iterable[str] | None = None,
) -> Fit:
    """Return the table's rows. `observations` are those that train, in the order in which they ended.

    `only`: no other rows than those of these keys, and of what they fall back to.
    """
    past = _gathered(observations, priors)
    for key, seen in past.by_key.items():
        past.by_key[key] = _at_usual_jobs(key, seen, now=now, settings=settings)
    keys = sorted({*past.by_key, *priors})
    if only is not None:
        asked = {one for key in only for one in (key, *past.chains.get(key, ()))}
        keys = [key for key in keys if key in asked]
    rows = dict(_rows(past, keys, policy=policy, now=now, settings=settings))
    found = Fit(rows=rows, chains=past.chains)
    for key in [key for key in rows if key.startswith("/")]:
        row = rows.pop(key)
        without = found.found(key)
        if without is None or not row.asks_like(without):
            rows[key] = row
    return found


def least_missed(fitted: Fit) -> list[str]:
    """Return the keys of exact hashes, from the one that a reader misses least: without it, the next key's row counts.

    Rows that ask for less than the next key's come first, those that differ least before others; then those that ask for
    more.
    """

    def loss(key: str) -> tuple[bool, float, str]:
        own, rest = fitted.rows[key].memory_bytes or 0, fitted.chains.get(key, ())
        other = next((fitted.rows[one].memory_bytes or 0 for one in rest if one in fitted.rows), 0)
        return own > other, abs(math.log2(max(own, 1) / max(other, 1))), key

    return sorted((key for key in fitted.rows if key.startswith("/")), key=loss)


def without(fitted: Fit, keys: Iterable[str]) -> Fit:
    """Return the fit without some of its rows."""
    left_out = set(keys)
    return replace(fitted, rows={key: row for key, row in fitted.rows.items() if key not in left_out})


def objections(old: Mapping[str, Row], new: Fit) -> list[str]:
    """Return a sentence for each key that would be dropped, or whose memory would change by more than `LARGE_CHANGE`."""
    said = []
    for key in sorted(old):
        row, before = new.found(key), old[key].memory_bytes
        after = row.memory_bytes if row else None
        if row is None:
            said.append(f"{key} would be dropped")
        elif before and after and not before <= after * LARGE_CHANGE <= before * LARGE_CHANGE**2:
            said.append(f"{key} would go from {in_gib(before)} to {in_gib(after)}")
    return said


def _gathered(observations: Iterable[Observation], priors: Mapping[str, Prior]) -> _Past:
    by_key: dict[str, list[Observation]] = {}
    past = _Past(priors=priors)
    for seen in observations:
        for index, key in enumerate(seen.keys):
            by_key.setdefault(key, []).append(seen)
            past.chains[key] = seen.keys[index + 1 :]
    past.by_key.update(by_key)
    for key, prior in priors.items():
        asked, seen_here = prior.memory_bytes, past.by_key.get(key, ())
        largest = max((seen.memory_needed_bytes or 0 for seen in seen_here), default=0)
        if key != "*" and asked and largest:
            seconds = sum(seen.wall_seconds or 0.0 for seen in seen_here) / len(seen_here)
            past.neighbors[key] = Neighbor(used_share=largest / asked, seconds=seconds)
    return past


def _rows(
    past: _Past, keys: Sequence[str], *, policy: str, now: float, settings: PolicySettings
) -> Iterator[tuple[str, Row]]:
    for key in keys:
        evidence = past.evidence(key)
        ladder = sized(policy, evidence, now=now, settings=settings)
        is_name = key in past.priors or (is_of_package(key) and not is_of_package(past.chains.get(key, ("*",))[0]))
        # a package that was built too seldom for a row of its own still never gets less than it is known to need
        if ladder is None or not (ladder.key == key or is_name):
            continue
        counted = list(in_window(evidence.levels[0].observations, now=now, settings=settings))
        yield key, _row(key, ladder, counted, evidence.prior)


def _row(key: str, ladder: Ladder, counted: Sequence[Observation], prior: Prior) -> Row:
    jobs = _usual_jobs(counted) or prior.build_jobs
    seconds = sorted(seen.wall_seconds for seen in counted if seen.wall_seconds)
    disk = max((seen.disk_peak_bytes or 0 for seen in counted), default=0)
    cpu = requested((seen.mean_cores for seen in counted if seen.mean_cores), jobs=jobs) or prior.cpu_millicores
    first = ladder.memory_bytes[0]
    return Row(
        cpu_millicores=cpu or None,
        memory_bytes=first,
        memory_limit_bytes=first,
        disk_bytes=-(-disk * 115 // 100 // _DISK_STEP) * _DISK_STEP or None,
        build_jobs=jobs,
        expected_seconds=round(_quantile(seconds, 0.5), 1) if seconds else None,
        p90_seconds=round(_quantile(seconds, 0.9), 1) if seconds else None,
        ladder_memory_bytes=tuple(limit for limit in ladder.memory_bytes[1:4] if limit > first),
        samples=len(counted),
        source=_source(key, ladder, counted),
    )


def _source(key: str, ladder: Ladder, counted: Sequence[Observation]) -> str:
    """Return the words of the job log, without a unit that the size itself has: `23 builds of hdf5@1.14, largest 10.1`."""
    largest = max((seen.memory_needed_bytes or 0 for seen in counted), default=0)
    builds = f"{len(counted)} build{'' if len(counted) == 1 else 's'} of {key}, largest {in_gib(largest)}" if counted else ""
    if not ladder.key:
        return f"{SOURCE}{f'; {builds}' if builds else ''}"
    if ladder.key != key:
        return f"as {ladder.key}; {builds}"
    return builds


def _at_usual_jobs(
    key: str, observations: Sequence[Observation], *, now: float, settings: PolicySettings
) -> Sequence[Observation]:
    """Return the builds of a key; needs of those with fewer jobs than usual are raised to what they would be with these.

    Only where there are builds with several numbers of jobs, and never lowered: what was needed was needed.
    """
    if not is_of_package(key) or len({seen.jobs for seen in observations}) < 2:
        return observations
    counted = list(in_window(observations, now=now, settings=settings))
    points = [(seen.jobs, seen.memory_needed_bytes) for seen in counted if seen.jobs and seen.memory_needed_bytes]
    usual = _usual_jobs(counted)
    if usual is None or len({jobs for jobs, _ in points}) < 2:
        return observations
    mean_jobs, mean_need = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((jobs - mean_jobs) ** 2 for jobs, _ in points)
    slope = max(sum((jobs - mean_jobs) * (need - mean_need) for jobs, need in points) / spread, 0.0)
    return [
        replace(seen, working_set_peak_bytes=need + math.ceil(slope * (usual - seen.jobs)))
        if (need := seen.memory_needed_bytes) and seen.jobs and seen.jobs < usual
        else seen
        for seen in observations
    ]


def _usual_jobs(counted: Sequence[Observation]) -> int | None:
    """Return the number of jobs of most builds, the larger of two that are as many."""
    jobs = Counter(seen.jobs for seen in counted if seen.jobs)
    return max(jobs, key=lambda number: (jobs[number], number), default=None)


def _quantile(values: Sequence[float], share: float) -> float:
    """Return the order statistic of sorted values."""
    return values[min(math.ceil(share * len(values)), len(values)) - 1]


def _package(key: str, chain: Sequence[str]) -> str:
    """Return the name of a key's package: the last key of its chain that is of one package."""
    return next((one for one in reversed((key, *chain)) if is_of_package(one)), "")
