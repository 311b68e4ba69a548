"""How much of a stack is on a mirror, what failed, what waits for what, and which fixes would unlock most. Pure.

A spec that has to be built and is not there is blocked if anything that it needs, directly or not, failed and is not there.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Literal

import msgspec

from pipelines.job_graph import Job, JobGraph

State = Literal[
    "verified", "there", "broken", "own_mirror", "failed", "running", "blocked", "waiting", "unknown",
    "not_redistributable", "external",
]  # fmt: skip
STATES: dict[State, str] = {
    "verified": "on the mirror, and the last verification found it good",
    "there": "on the mirror, not verified since it came there",
    "broken": "on the mirror, and the last verification found a fault",
    "own_mirror": "only on the stack's own mirror",
    "failed": "its last build failed",
    "running": "it is being built",
    "blocked": "something that it needs failed",
    "waiting": "not built yet",
    "unknown": "not on the mirror; nothing is known of its builds",
    "not_redistributable": "must not be on a public mirror",
    "external": "the system's own",
}
"""Each state, and what it means."""
FAILURES = frozenset(
    {
        "build_failed", "fetch_failed", "disk_full", "memory_killed", "timed_out", "spack_unusable", "publish_failed",
        "bad_request", "script_failed",
    }
)  # fmt: skip
"""Outcomes of builds that failed by themselves. What another one's failure or an interruption ended has not been tried, a
success that is not there has been removed or is on its way, and an unknown outcome says nothing."""
FIXES = 3


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """The last build of a spec, as its measurement tells."""

    outcome: str
    """As in telemetry.json."""
    is_complete: bool = True
    """False: it is still being built."""
    is_redistributable: bool = True
    """False: its publication said that it must not be published."""
    ended_at: str = ""
    """RFC 3339, UTC: when it ended, or was last seen."""
    url: str = ""
    """Of its job in GitLab."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a stack's specs, beside its graph. Each set has hashes."""

    there: AbstractSet[str]
    """On the mirror, by its index."""
    good: AbstractSet[str] = frozenset()
    """Good by the mirror's last verification."""
    broken: Mapping[str, str] = {}
    """Hash -> fault by the mirror's last verification."""
    own: AbstractSet[str] = frozenset()
    """On the stack's own mirror."""
    builds: Mapping[str, Build] | None = None
    """Last build of each spec; None: nothing is known of builds."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A spec of the stack."""

    key: str
    name: str
    spec: str
    state: State
    why: str = ""
    """A fault, an outcome, or the names of what blocks it."""
    blocked_by: tuple[str, ...] = ()
    """Keys of the failed specs that it needs."""
    url: str = ""
    """Of the job of its last build."""


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """A failed spec, and what could be built once it is mended and those before it in the list are."""

    key: str
    name: str
    unlocks: tuple[str, ...]
    """Keys of what nothing else blocks then."""


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """All specs of a stack."""

    stack: str
    mirror: str
    rows: tuple[Row, ...]
    counts: dict[State, int]
    """Specs of each state, in the order of `STATES`."""
    fixes: tuple[Fix, ...]
    """At most three, the one that unlocks most first."""

    @property
    def wanted(self) -> int:
        """Return how many specs belong on the mirror."""
        return len(self.rows) - self.counts["external"] - self.counts["not_redistributable"]

    @property
    def covered(self) -> int:
        """Return how many of them are there without a known fault."""
        return self.counts["verified"] + self.counts["there"]


def coverage(graph: JobGraph, mirror: str, known: Known) -> Coverage:
    """Return the coverage of a stack."""
    states = {job.key: _state(job, known) for job in graph.jobs}
    blockers = _blockers(graph, states)
    for key in blockers:
        if states[key] in {"waiting", "unknown"}:
            states[key] = "blocked"
    blocked = {key: roots for key, roots in blockers.items() if states[key] == "blocked"}
    names = {job.key: job.name for job in graph.jobs}
    counts: dict[State, int] = dict.fromkeys(STATES, 0)
    for state in states.values():
        counts[state] += 1
    return Coverage(
        stack=graph.stack,
        mirror=mirror,
        rows=tuple(_row(job, states[job.key], blocked, known, names) for job in graph.jobs),
        counts=counts,
        fixes=_fixes(blocked, names),
    )


def _state(job: Job, known: Known) -> State:
    """Return the state of a spec by itself: what blocks it comes later."""
    build = (known.builds or {}).get(job.key)
    if job.state == "external":
        return "external"
    if job.key in known.there:
        return "broken" if job.key in known.broken else "verified" if job.key in known.good else "there"
    if build and not build.is_redistributable:
        return "not_redistributable"
    if job.key in known.own:
        return "own_mirror"
    if build is None:
        return "unknown" if known.builds is None else "waiting"
    if not build.is_complete:
        return "running"
    return "failed" if build.outcome in FAILURES else "waiting"


def _blockers(graph: JobGraph, states: Mapping[str, State]) -> dict[str, frozenset[str]]:
    """Return the failed specs below each spec that is not there; of a failed one also those below it."""
    lacking = {"failed", "waiting", "unknown"}
    found: dict[str, frozenset[str]] = {}
    for job in graph.jobs:  # dependencies come first
        if states[job.key] not in lacking:
            continue
        below: set[str] = set()
        for key in job.dependencies:
            if states[key] == "failed":
                below.add(key)
            below |= found.get(key, frozenset())
        if below:
            found[job.key] = frozenset(below)
    return found


def _row(job: Job, state: State, blocked: Mapping[str, frozenset[str]], known: Known, names: Mapping[str, str]) -> Row:
    build = (known.builds or {}).get(job.key)
    roots = tuple(sorted(blocked.get(job.key, ()), key=lambda key: (names[key], key)))
    why = ""
    if state == "broken":
        why = known.broken[job.key]
    elif state == "failed" and build:
        why = build.outcome
    elif state == "blocked":
        why = "needs " + ", ".join(f"{names[key]}/{key[:7]}" for key in roots)
    elif state == "external":
        why = job.why
    return Row(
        key=job.key, name=job.name, spec=job.spec, state=state, why=why, blocked_by=roots, url=build.url if build else ""
    )


def _fixes(blocked: Mapping[str, frozenset[str]], names: Mapping[str, str]) -> tuple[Fix, ...]:
    """Return the fixes one after the other: each is the one that unlocks most once those before it are made.

    What needs several failed specs is unlocked by the last of them, so a fix may unlock nothing yet: then the one that most
    specs wait for is named.
    """
    left = dict(blocked)
    found: list[Fix] = []
    while left and len(found) < FIXES:
        gain: dict[str, int] = {}
        waiting: dict[str, int] = {}
        for roots in left.values():
            for root in roots:
                waiting[root] = waiting.get(root, 0) + 1
            if len(roots) == 1:
                (root,) = roots
                gain[root] = gain.get(root, 0) + 1
        chosen = min(waiting, key=lambda key: (-gain.get(key, 0), -waiting[key], names[key], key))
        unlocked = sorted(key for key, roots in left.items() if roots == {chosen})
        found.append(Fix(key=chosen, name=names[chosen], unlocks=tuple(unlocked)))
        left = {key: roots - {chosen} for key, roots in left.items() if roots != {chosen}}
    return tuple(found)
