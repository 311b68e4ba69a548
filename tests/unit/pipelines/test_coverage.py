"""The coverage of a stack against the truth: what a plain search of the graph says."""

import random

import pytest

from pipelines.job_graph import Job, JobGraph
from pipelines.reports.coverage import STATES, Build, Known, coverage


def graph(**needs: str) -> JobGraph:
    jobs = tuple(Job(key=key, name=f"p-{key}", spec=key, dependencies=tuple(text.split())) for key, text in needs.items())
    return JobGraph(version=1, stack="s", jobs=jobs)


FAILED, BUILT = Build(outcome="build_failed"), Build(outcome="built")


def states(found: object) -> dict[str, str]:
    return {row.key: row.state for row in found.rows}  # type: ignore[attr-defined]


def test_each_state_has_its_reason() -> None:
    stack = graph(a="", b="a", c="b", d="a", e="", f="", g="", h="", i="")
    known = Known(
        there={"a", "d", "e"},
        good={"a"},
        broken={"d": "its blob is cut off"},
        own={"f"},
        builds={
            "b": FAILED,
            "g": Build(outcome="", is_complete=False),
            "h": Build(outcome="built", is_redistributable=False),
        },
    )
    found = coverage(stack, "s3://m", known)
    assert states(found) == {
        "a": "verified", "b": "failed", "c": "blocked", "d": "broken", "e": "there", "f": "own_mirror", "g": "running",
        "h": "not_redistributable", "i": "waiting",
    }  # fmt: skip
    rows = {row.key: row for row in found.rows}
    assert (rows["b"].why, rows["c"].why, rows["d"].why) == ("build_failed", "needs p-b/b", "its blob is cut off")
    assert list(found.counts) == list(STATES)
    assert (found.wanted, found.covered) == (8, 2)


def test_without_a_history_nothing_is_said_of_builds() -> None:
    assert states(coverage(graph(a="", b="a"), "m", Known(there={"a"}))) == {"a": "there", "b": "unknown"}


def test_an_external_spec_is_not_wanted() -> None:
    stack = JobGraph(version=1, jobs=(Job(key="a", name="gcc", spec="gcc", state="external", why="external: /usr"),))
    found = coverage(stack, "m", Known(there=set()))
    assert (found.rows[0].state, found.rows[0].why, found.wanted) == ("external", "external: /usr", 0)


def test_what_is_there_blocks_nothing_though_its_last_build_failed() -> None:
    found = coverage(graph(a="", b="a"), "m", Known(there={"a"}, builds={"a": FAILED}))
    assert states(found) == {"a": "there", "b": "waiting"}


def test_fixes_are_those_that_unlock_most_one_after_the_other() -> None:
    stack = graph(a="", b="", c="", d="a", e="a", f="a b", g="b", h="c b", i="h")
    found = coverage(stack, "m", Known(there=set(), builds=dict.fromkeys("abc", FAILED)))
    assert [(fix.name, fix.unlocks) for fix in found.fixes] == [
        ("p-a", ("d", "e")),
        ("p-b", ("f", "g")),
        ("p-c", ("h", "i")),
    ]


def test_of_two_failures_on_one_way_the_lower_comes_first() -> None:
    found = coverage(graph(a="", b="a", c="b", d="b"), "m", Known(there=set(), builds={"a": FAILED, "b": FAILED}))
    assert states(found) == {"a": "failed", "b": "failed", "c": "blocked", "d": "blocked"}
    assert {row.key: row.blocked_by for row in found.rows if row.blocked_by} == {"c": ("a", "b"), "d": ("a", "b")}
    assert [(fix.name, fix.unlocks) for fix in found.fixes] == [("p-a", ()), ("p-b", ("c", "d"))]


def plain_truth(stack: JobGraph, known: Known) -> dict[str, str]:
    """Say it again, the slow way: each spec looks at all that is below it."""
    below: dict[str, set[str]] = {}
    alone: dict[str, str] = {}
    lacking: dict[str, bool] = {}
    said: dict[str, str] = {}
    for job in stack.jobs:
        build = (known.builds or {}).get(job.key)
        is_there = job.key in known.there or job.state == "external"
        own = job.key in known.own and not is_there
        has_failed = build is not None and build.is_complete and build.outcome == "build_failed"
        lacking[job.key] = (
            not is_there and not own and not (build and (not build.is_redistributable or not build.is_complete))
        )
        alone[job.key] = "failed" if lacking[job.key] and has_failed else ""
        # a way ends where something is there: what is below it does not count any more
        below[job.key] = set()
        for key in job.dependencies:
            if lacking[key]:
                below[job.key] |= {key} | below[key]
        failures = {key for key in below[job.key] if alone[key]}
        if lacking[job.key] and not alone[job.key]:
            said[job.key] = "blocked" if failures else "open"
    return said


@pytest.mark.parametrize("seed", range(10))
def test_it_equals_the_truth_on_random_states(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(100):
        size = chance.randrange(1, 25)
        keys = [f"k{number}" for number in range(size)]
        jobs = tuple(
            Job(
                key=key,
                name=key,
                spec=key,
                dependencies=tuple(chance.sample(keys[:number], chance.randrange(0, min(number, 3) + 1))),
                state=chance.choice(["build", "build", "build", "external"]),
            )
            for number, key in enumerate(keys)
        )
        stack = JobGraph(version=1, jobs=jobs)
        builds = [
            FAILED,
            FAILED,
            BUILT,
            Build(outcome="", is_complete=False),
            Build(outcome="built", is_redistributable=False),
        ]
        known = Known(
            there=set(chance.sample(keys, chance.randrange(0, size + 1))),
            own=set(chance.sample(keys, chance.randrange(0, size // 3 + 1))),
            builds={key: chance.choice(builds) for key in chance.sample(keys, chance.randrange(0, size + 1))},
        )
        found = coverage(stack, "m", known)
        truth = plain_truth(stack, known)
        assert {
            key: "blocked" if state == "blocked" else "open" for key, state in states(found).items() if key in truth
        } == truth
        assert sum(found.counts.values()) == size
