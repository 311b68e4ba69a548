"""The replay: what counts as history when, what a killed attempt costs, and what nothing may know."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from sizing.observations import Observation, PolicySettings
from sizing.policies.table import POLICIES
from sizing.replay import Past, Replayed, by_policy, replayed, totals

GB = 10**9
HOUR = 3600.0
CAP = 128 * GB


def task(
    submitted: float, peak_gb: float, *, key: str = "align", hours: float = 1, asked_gb: float | None = 16
) -> Observation:
    """Return a task that starts at once; hours from the beginning."""
    return Observation(
        keys=(key,), submitted=submitted * HOUR, ended=(submitted + hours) * HOUR, outcome="built",
        working_set_peak_bytes=int(peak_gb * GB), wall_seconds=hours * HOUR,
        asked_memory_bytes=int(asked_gb * GB) if asked_gb else None,
    )  # fmt: skip


def fixed(*limits_gb: float) -> "Sizing":
    return Sizing(limits_gb)


class Sizing:
    """The same limits for all; keeps how many builds had ended when each was sized."""

    def __init__(self, limits_gb: Sequence[float]) -> None:
        self.limits_gb = limits_gb
        self.ended: list[int] = []

    def __call__(self, seen: Observation, past: Past) -> Iterator[float]:
        self.ended.append(len(past.of(seen.keys[0])))
        yield from (limit * GB for limit in self.limits_gb)


def run(tasks: list[Observation], sizing: Sizing, *, delays: bool = False) -> list[Replayed]:
    return list(replayed(tasks, sizing, cap_bytes=CAP, delays=delays))


@pytest.mark.parametrize(
    ("limits", "peak", "hours", "waste", "attempts"),
    [
        ((4,), 3, 2, 2.0, 1),
        ((4,), 4, 2, 0.0, 1),
        ((2, 4), 3, 1, 3.0, 2),
        ((1, 2, 4), 4, 0.5, 1.5, 3),
        ((1, 1000), 100, 1, 29.0, 2),
        ((1, 1000), 200, 1, -71.0, 2),
    ],
    ids=["idle", "exact", "one-kill", "two-kills", "at-most-a-node", "needs-more-than-a-node"],
)
def test_what_a_task_wastes(limits: tuple[float, ...], peak: float, hours: float, waste: float, attempts: int) -> None:
    (one,) = run([task(0, peak, hours=hours)], fixed(*limits))
    assert one.waste_gb_hours == pytest.approx(waste)
    assert len(one.limits) == attempts


def test_a_task_is_history_from_its_end_on_and_not_before() -> None:
    sizing = fixed(4)
    run([task(0, 3), task(0.5, 3), task(1, 3), task(1.4, 3), task(9, 3, key="other")], sizing)
    assert sizing.ended == [0, 0, 1, 1, 0]


def test_tasks_are_sized_in_the_order_of_their_submission() -> None:
    sizing = fixed(4)
    assert [one.seen.submitted for one in run([task(5, 3), task(0, 3)], sizing)] == [0, 5 * HOUR]
    assert sizing.ended == [0, 1]


def test_killed_attempts_delay_when_that_is_asked_for() -> None:
    at_once, later = fixed(1, 4), fixed(1, 4)
    tasks = [task(0, 3), task(1.5, 3), task(2, 3)]
    run(tasks, at_once)
    run(tasks, later, delays=True)
    assert at_once.ended == [0, 1, 1]
    assert later.ended == [0, 0, 1]


def test_tasks_without_a_peak_or_a_run_time_are_left_out() -> None:
    without = [replace(task(0, 3), wall_seconds=None), replace(task(0, 3), working_set_peak_bytes=None)]
    assert run(without, fixed(4)) == []
    assert totals([]).most_attempts == 0


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_no_policy_knows_what_has_not_ended(name: str) -> None:
    """A peak changes nothing for tasks that were submitted before it ended, nor for its own first limit."""
    settings = PolicySettings(cap_bytes=CAP)
    tasks = [task(number / 4, 3 + number % 3, key="align" if number % 5 else "sort") for number in range(60)]
    changed = [
        replace(one, working_set_peak_bytes=14 * GB, wall_seconds=9.0) if one.submitted == 10 * HOUR else one
        for one in tasks
    ]
    before, after = (list(replayed(of, by_policy(name, settings), cap_bytes=CAP)) for of in (tasks, changed))
    firsts = [[one.limits[0] for one in of if one.seen.submitted < 11 * HOUR] for of in (before, after)]
    assert firsts[0] == firsts[1]
    assert [one.limits[0] for one in before] != [one.limits[0] for one in after]


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_every_attempt_asks_for_more_than_the_one_before(name: str) -> None:
    settings = PolicySettings(cap_bytes=CAP, most_attempts=2)
    tasks = [task(number, 0.1 * 1.6 ** (number % 16), asked_gb=None if number % 2 else 1) for number in range(64)]
    for one in replayed(tasks, by_policy(name, settings), cap_bytes=CAP):
        assert list(one.limits) == sorted(set(one.limits))
        assert one.limits[-1] >= (one.seen.memory_needed_bytes or 0)


def test_sums_and_cold_tasks() -> None:
    found = totals(run([task(0, 3), task(0.5, 8), task(3, 3), task(3, 5)], fixed(4, 8)))
    assert (found.builds, found.failed, found.most_attempts) == (4, 2, 2)
    assert found.waste_gb_hours == pytest.approx(1 + 4 + 1 + 7)
    assert found.cold_waste_gb_hours == pytest.approx(1 + 4)


def test_neighbors_are_other_packages_with_a_prior_at_their_largest_share() -> None:
    past = Past()
    for one in (task(0, 4), task(0, 8, hours=3), task(0, 9, key="sort", asked_gb=None), task(0, 2, key="index")):
        past.add(one)
    neighbors = past.evidence(task(9, 0, key="index")).neighbors
    assert [(one.used_share, one.seconds) for one in neighbors] == [(0.5, 2 * HOUR)]
