"""The coverage of a stack against the truth: what a plain search of the graph says."""

import collections
import functools
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


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        *(
            (outcome, "failed")
            for outcome in ("build_failed", "fetch_failed", "memory_killed", "publish_failed", "script_failed")
        ),
        *(
            (outcome, "waiting")
            for outcome in ("built", "script_succeeded", "interrupted", "dependency_failed", "a newer word", "")
        ),
    ],
)
def test_only_an_outcome_that_says_so_is_a_failure(outcome: str, state: str) -> None:
    assert states(coverage(graph(a=""), "m", Known(there=set(), builds={"a": Build(outcome=outcome)}))) == {"a": state}


OUTCOMES = (
    *["build_failed"] * 4, "fetch_failed", "script_failed", "built", "already_there", "script_succeeded", "interrupted",
    "dependency_failed", "unheard of",
)  # fmt: skip
FAILED_OUTCOMES = {"build_failed", "fetch_failed", "script_failed"}


def random_state(chance: random.Random) -> tuple[JobGraph, Known]:
    """Return a graph whose jobs stand in an order with needs first, and what is known of each."""
    keys = [f"k{number}" for number in range(chance.randrange(1, 25))]

    def some(most: int) -> set[str]:
        return set(chance.sample(keys, chance.randrange(0, most + 1)))

    jobs = tuple(
        Job(
            key=key,
            name=f"p{number % 7}",
            spec=key,
            dependencies=tuple(chance.sample(keys[:number], chance.randrange(0, min(number, 3) + 1))),
            state="external" if chance.random() < 0.1 else "build",
        )
        for number, key in enumerate(keys)
    )
    builds = {
        key: Build(
            outcome=chance.choice(OUTCOMES), is_complete=chance.random() < 0.9, is_redistributable=chance.random() < 0.95
        )
        for key in some(len(keys))
    }
    known = Known(
        there=some(len(keys) // chance.choice([1, 2, 8])),
        good=some(len(keys)),
        broken=dict.fromkeys(some(len(keys) // 4), "a fault"),
        own=some(len(keys) // 4),
        builds=chance.choice([builds, builds, builds, None]),
    )
    return JobGraph(version=1, stack="s", jobs=jobs), known


def plain_truth(stack: JobGraph, known: Known) -> tuple[dict[str, str], dict[str, set[str]]]:
    """Say it again, the slow way: each spec looks at all that is below it. Returns states, and what blocks each spec."""
    by_key = {job.key: job for job in stack.jobs}

    def alone(key: str) -> str:
        build = known.builds.get(key) if known.builds is not None else None
        answers = (
            ("external", by_key[key].state == "external"),
            ("broken", key in known.there and key in known.broken),
            ("verified", key in known.there and key in known.good),
            ("there", key in known.there),
            ("not_redistributable", build is not None and not build.is_redistributable),
            ("own_mirror", key in known.own),
            ("unknown", known.builds is None),
            ("running", build is not None and not build.is_complete),
            ("failed", build is not None and build.outcome in FAILED_OUTCOMES),
            ("waiting", True),
        )
        return next(state for state, is_so in answers if is_so)

    states_alone = {key: alone(key) for key in by_key}
    lacking = {key for key, state in states_alone.items() if state in {"failed", "waiting", "unknown"}}

    @functools.cache
    def failures(key: str) -> set[str]:
        # a way ends where something is there: what is below it does not count any more
        below = [need for need in by_key[key].dependencies if need in lacking]
        return {need for need in below if states_alone[need] == "failed"}.union(*map(failures, below))

    blocked = {key: failures(key) for key in lacking - {key for key in lacking if states_alone[key] == "failed"}}
    blocked = {key: roots for key, roots in blocked.items() if roots}
    return {key: "blocked" if key in blocked else state for key, state in states_alone.items()}, blocked


@pytest.mark.parametrize("seed", range(10))
def test_it_equals_the_truth_on_a_thousand_random_states(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(1_000):
        stack, known = random_state(chance)
        found = coverage(stack, "m", known)
        truth, blocked = plain_truth(stack, known)
        assert states(found) == truth
        assert {row.key: set(row.blocked_by) for row in found.rows if row.state == "blocked"} == blocked
        assert {state: count for state, count in found.counts.items() if count} == dict(collections.Counter(truth.values()))
        assert found.covered == sum(truth[key] in {"verified", "there"} for key in truth)

        mended: set[str] = set()
        free: set[str] = set()
        assert len(found.fixes) == min(3, len(set().union(*blocked.values())))
        for fix in found.fixes:
            gains = {
                root: {key for key, roots in blocked.items() if roots <= mended | {root}} - free
                for root in set().union(*blocked.values()) - mended
            }
            assert set(fix.unlocks) == gains[fix.key]
            assert len(fix.unlocks) == max(map(len, gains.values())), "no other fix unlocks more"
            mended.add(fix.key)
            free |= gains[fix.key]
