"""What differs between two generations of a stack: added, rebuilt, gone; each with the change that caused it. Pure.

A package of the new graph is compared with the one of its name in the old graph that is most like it. A hash covers all of a
spec's dependencies, so one change gives new hashes to everything above it: what did not change itself names the dependencies
whose own change is the cause.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from pipelines.job_graph import Job, JobGraph

Kind = Literal["added", "rebuilt", "gone"]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A package that is not the same in both graphs."""

    kind: Kind
    """`added`: only in the new graph. `rebuilt`: it has another hash. `gone`: only in the old graph."""
    name: str
    """Name of the package."""
    key: str
    """Hash in the new graph; of what is gone, in the old one."""
    old_key: str = ""
    """Hash in the old graph; empty for what is added."""
    spec: str
    """The spec as text."""
    causes: tuple[str, ...]
    """What changed, for people."""


_OWN = {
    "version": "version",
    "variants": "variants",
    "compiler": "compiler",
    "architecture": "architecture",
    "recipe": "recipe",
}
"""Field of a job -> what people call it."""
_MOST_CAUSES = 3


def differences(old: JobGraph, new: JobGraph) -> list[Difference]:
    """Return the differences: added, rebuilt, gone; each kind by name."""
    was, now = old.by_key(), new.by_key()
    pairs = _pairs(old, new)
    users = _users(new)
    own = {key: _own_changes(was[before], now[key]) for key, before in pairs.items()}
    # what is in both graphs under one hash did not change, nor did anything below it
    changes = _with_dependencies(new, was, own, pairs)
    found = [
        Difference(kind="added", name=job.name, key=job.key, spec=job.spec, causes=(_why_added(job, users),))
        for job in new.jobs
        if job.key not in was and job.key not in pairs
    ]
    for key, before in pairs.items():
        causes = changes[key] or _elsewhere(old, new)
        found.append(
            Difference(kind="rebuilt", name=now[key].name, key=key, old_key=before, spec=now[key].spec, causes=tuple(causes))
        )
    paired = set(pairs.values())
    names = {job.name for job in new.jobs}
    found += [
        Difference(
            kind="gone",
            name=job.name,
            key=job.key,
            old_key=job.key,
            spec=job.spec,
            causes=("one of several is no longer needed" if job.name in names else "nothing asks for it any more",),
        )
        for job in old.jobs
        if job.key not in now and job.key not in paired
    ]
    order = {"added": 0, "rebuilt": 1, "gone": 2}
    return sorted(found, key=lambda each: (order[each.kind], each.name, each.key))


def _pairs(old: JobGraph, new: JobGraph) -> dict[str, str]:
    """Return new hash -> old hash, of specs that are the same package with another hash."""
    known, now = set(old.by_key()), set(new.by_key())
    left: dict[str, list[Job]] = defaultdict(list)
    for job in old.jobs:
        if job.key not in now:
            left[job.name].append(job)
    pairs: dict[str, str] = {}
    changed = sorted((job for job in new.jobs if job.key not in known), key=lambda job: (job.name, job.key))
    # the most alike first: a package that is there twice is compared with its own predecessor
    for alike in range(len(_OWN), -1, -1):
        for job in changed:
            if job.key in pairs:
                continue
            candidates = [each for each in left[job.name] if len(_OWN) - len(_own_changes(each, job)) == alike]
            if candidates:
                chosen = min(candidates, key=lambda each: each.key)
                left[job.name].remove(chosen)
                pairs[job.key] = chosen.key
    return pairs


def _own_changes(before: Job, now: Job) -> list[str]:
    found = []
    for field, said in _OWN.items():
        was, new = getattr(before, field), getattr(now, field)
        if was != new:
            found.append(f"{said}" if field == "recipe" else f"{said} {was or 'none'} -> {new or 'none'}")
    return found


def _with_dependencies(
    new: JobGraph, was: Mapping[str, Job], own: Mapping[str, list[str]], pairs: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return the causes of each rebuilt spec: its own changes, or those of what is below it."""
    now = new.by_key()
    roots: dict[str, dict[str, str]] = {}
    found: dict[str, list[str]] = {}
    for job in new.jobs:  # dependencies come first
        if job.key in was:
            continue
        below: dict[str, str] = {}
        for key in job.dependencies:
            if key not in was:
                below.update(roots.get(key, {}))
        swapped = _swapped(job, was, now, pairs)
        changes = [*own.get(job.key, []), *swapped]
        roots[job.key] = {job.key: f"{job.name}: {', '.join(changes)}"} if changes else below
        if job.key in pairs:
            found[job.key] = changes or _dependency_causes(below.values())
    return found


def _swapped(job: Job, was: Mapping[str, Job], now: Mapping[str, Job], pairs: Mapping[str, str]) -> list[str]:
    """Return which packages a spec depends on that its predecessor did not, and the reverse."""
    if job.key not in pairs:
        return []
    before = {was[key].name for key in was[pairs[job.key]].dependencies}
    after = {now[key].name for key in job.dependencies}
    return [f"dependency {name} is new" for name in sorted(after - before)] + [
        f"dependency {name} is gone" for name in sorted(before - after)
    ]


def _dependency_causes(texts: Iterable[str]) -> list[str]:
    causes = sorted(texts)
    more = len(causes) - _MOST_CAUSES
    shown = [f"dependency {text}" for text in causes[:_MOST_CAUSES]]
    return [*shown, f"{more} more dependencies"] if more > 0 else shown


def _elsewhere(old: JobGraph, new: JobGraph) -> list[str]:
    """Return what can give a spec another hash if nothing that the graph says of it changed."""
    if old.spack_commit != new.spack_commit:
        return [f"Spack {old.spack_commit[:12] or 'unknown'} -> {new.spack_commit[:12] or 'unknown'}"]
    if old.packages_commit != new.packages_commit:
        return [f"package repository {old.packages_commit[:12] or 'unknown'} -> {new.packages_commit[:12] or 'unknown'}"]
    return ["not known: the graph says the same of it in both"]


def _users(graph: JobGraph) -> dict[str, set[str]]:
    """Return the names of what depends on each spec."""
    found: dict[str, set[str]] = defaultdict(set)
    for job in graph.jobs:
        for key in job.dependencies:
            found[key].add(job.name)
    return found


def _why_added(job: Job, users: Mapping[str, set[str]]) -> str:
    names = sorted(users.get(job.key, ()))
    if job.is_root or not names:
        return "the environment asks for it"
    more = f" and {len(names) - _MOST_CAUSES} more" if len(names) > _MOST_CAUSES else ""
    return f"needed by {', '.join(names[:_MOST_CAUSES])}{more}"
