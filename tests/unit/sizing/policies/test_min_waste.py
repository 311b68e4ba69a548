"""The policy `min_waste`: how wide its margins are, and where it starts without a history."""

import pytest

from sizing.observations import Evidence, Level, Neighbor, Observation, PolicySettings, Prior
from sizing.policies.table import POLICIES, sized

GB = 10**9
HOUR = 3600.0
SETTINGS = PolicySettings(cap_bytes=128 * GB)


def seen(peak_gb: float, hours: float = 1, *, killed_at_gb: float | None = None) -> Observation:
    return Observation(
        keys=("hdf5",), submitted=0, ended=1, outcome="built", working_set_peak_bytes=int(peak_gb * GB),
        wall_seconds=hours * HOUR, censored=killed_at_gb is not None,
        asked_memory_bytes=int(killed_at_gb * GB) if killed_at_gb else None,
    )  # fmt: skip


def limits_gb(
    builds: list[Observation],
    *,
    prior_gb: float | None = None,
    neighbors: tuple[Neighbor, ...] = (),
    settings: PolicySettings = SETTINGS,
) -> list[float]:
    evidence = Evidence(
        levels=(Level(key="hdf5", observations=builds),),
        prior=Prior(memory_bytes=int(prior_gb * GB) if prior_gb else None),
        neighbors=neighbors,
    )
    ladder = POLICIES["min_waste"](evidence, now=2, settings=settings)
    return [limit / GB for limit in ladder.memory_bytes] if ladder else []


def margin(builds: list[Observation]) -> float:
    return limits_gb(builds)[0] / max(one.memory_needed_bytes or 0 for one in builds) * GB


def test_a_package_that_always_needs_the_same_gets_hardly_any_margin() -> None:
    assert margin([seen(41.3, hours=5)] * 100) < 1.02


def test_the_margin_grows_with_the_spread() -> None:
    even, wide = [seen(4, 0.1)] * 20, [seen(2, 0.1), seen(4, 0.1)] * 10
    assert margin(wide) > margin(even) + 0.1


def test_the_margin_shrinks_with_the_number_of_builds() -> None:
    margins = [margin([seen(4)] * count) for count in (3, 10, 100)]
    assert margins == sorted(margins, reverse=True)
    assert margins[0] > margins[-1] + 0.05


def test_a_short_build_gets_more_margin_than_a_long_one() -> None:
    """A kill costs the same for both; memory costs the long one more."""
    assert margin([seen(2, 0.02), seen(4, 0.02)] * 5) > margin([seen(2, 20), seen(4, 20)] * 5)


def test_what_a_build_of_the_window_needed_is_always_asked_for_however_rare_it_is() -> None:
    """One step below the largest need would be cheaper in the mean, if kills are cheap; a size table promises more."""
    builds = [seen(2, 10)] * 95 + [seen(60, 10)] * 3
    cheap = PolicySettings(cap_bytes=128 * GB, kill_costs_gb_hours=0)
    assert 60 <= limits_gb(builds, settings=cheap)[0] < 70


def test_a_kill_at_a_limit_means_more_than_the_limit() -> None:
    killed, built = limits_gb([seen(3.9, killed_at_gb=4)] * 20), limits_gb([seen(4)] * 20)
    assert killed[0] > built[0] * 1.1


def test_more_memory_is_asked_for_where_a_kill_costs_more() -> None:
    builds = [seen(2), seen(3), seen(4)] * 3
    firsts = [limits_gb(builds, settings=PolicySettings(kill_costs_gb_hours=cost))[0] for cost in (0.0, 3.0, 100.0)]
    assert firsts == sorted(firsts)
    assert firsts[0] < firsts[-1]


@pytest.mark.parametrize("most", [100, 125, 200])
def test_a_build_of_seconds_gets_the_most_margin_that_is_allowed(most: int) -> None:
    """For it any margin is cheaper than a kill."""
    builds = [seen(2, 0.001), seen(4, 0.001)]
    settings = PolicySettings(cap_bytes=128 * GB, accepted_count=1, most_margin_percent=most)
    assert limits_gb(builds, settings=settings)[0] == pytest.approx(4 * most / 100)


def test_with_one_attempt_only_it_is_not_the_largest_node() -> None:
    settings = PolicySettings(cap_bytes=128 * GB, most_attempts=1)
    (first,) = limits_gb([seen(2, 10)] * 95 + [seen(60, 10)], settings=settings)
    assert 60 <= first < 70


def test_a_run_time_that_cannot_be_true_is_none() -> None:
    assert limits_gb([seen(4, -1)] * 5) == limits_gb([seen(4, 0.25)] * 5)


NEIGHBORS_OF_HALF = (Neighbor(used_share=0.4, seconds=HOUR),) * 30


@pytest.mark.parametrize(
    ("prior_gb", "neighbors", "first_gb"),
    [
        (16, (), 16),
        (16, NEIGHBORS_OF_HALF, 8),
        (16, (Neighbor(used_share=0.9, seconds=HOUR),) * 30, 16),
        (16, (Neighbor(used_share=3.0, seconds=HOUR),) * 30, 16),
        (16, (Neighbor(used_share=0.1, seconds=HOUR),) * 100, 4),
        (500, NEIGHBORS_OF_HALF, 128),
        (0.1, NEIGHBORS_OF_HALF, 0.512),
    ],
    ids=["alone", "half", "all", "neighbors-passed-theirs", "a-tenth", "above-the-cap", "below-the-floor"],
)
def test_without_a_history_neighbors_say_how_much_of_the_prior_is_needed(
    prior_gb: float, neighbors: tuple[Neighbor, ...], first_gb: float
) -> None:
    assert limits_gb([], prior_gb=prior_gb, neighbors=neighbors)[0] == pytest.approx(first_gb)


def test_after_a_kill_below_the_prior_comes_the_prior() -> None:
    assert limits_gb([], prior_gb=16, neighbors=NEIGHBORS_OF_HALF)[:2] == [8, 16]


def test_two_builds_are_too_few_but_are_held() -> None:
    assert limits_gb([seen(9), seen(3)], prior_gb=16, neighbors=NEIGHBORS_OF_HALF)[0] == 16
    assert limits_gb([seen(20), seen(3)], prior_gb=16, neighbors=NEIGHBORS_OF_HALF)[0] >= 20


def test_nothing_is_known_without_builds_and_without_a_prior() -> None:
    assert limits_gb([]) == []


@pytest.mark.parametrize(
    ("limit", "tiers", "expected"),
    [(5 * GB, 0, 5 * GB), (2**33, 4, 2**33), (2**33 + 1, 1, 2**34), (2**33 + 1, 2, round(2**33.5)), (1, 4, 536870912)],
    ids=["no-grid", "on-the-grid", "doubling", "half-a-doubling", "floor"],
)
def test_limits_are_rounded_up_to_tiers(limit: int, tiers: int, expected: int) -> None:
    evidence = Evidence(levels=(), prior=Prior(memory_bytes=limit))
    ladder = sized("max_margin", evidence, now=0, settings=PolicySettings(tiers_per_doubling=tiers))
    assert ladder is not None
    assert ladder.memory_bytes[0] == expected
