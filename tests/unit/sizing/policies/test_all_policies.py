"""What all policies keep, for any history: caps, peaks, order, and the same bytes for the same evidence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizing.observations import Evidence, Level, Neighbor, Observation, PolicySettings, Prior
from sizing.policies.table import POLICIES, sized

DAY = 86_400.0
NOW = 1000 * DAY
KEYS = ("/abc", "hdf5@1.14", "hdf5", "build_system=cmake", "*")

sizes = st.integers(1, 1 << 40)
observations = st.builds(
    Observation,
    keys=st.just(KEYS),
    submitted=st.just(0.0),
    ended=st.floats(0, NOW),
    outcome=st.just("built"),
    censored=st.booleans(),
    asked_memory_bytes=st.none() | sizes,
    working_set_peak_bytes=st.none() | sizes,
    wall_seconds=st.none() | st.floats(0.001, 1e7),
)
histories = st.lists(observations, max_size=8).map(lambda seen: sorted(seen, key=lambda one: one.ended))
levels = st.dictionaries(st.sampled_from(KEYS), histories, min_size=1, max_size=3).map(
    lambda found: tuple(Level(key=key, observations=found[key]) for key in KEYS if key in found)
)
evidences = st.builds(
    Evidence,
    levels=levels,
    prior=st.builds(Prior, memory_bytes=st.none() | sizes),
    neighbors=st.lists(
        st.builds(Neighbor, used_share=st.floats(1e-6, 1e3), seconds=st.floats(0, 1e7)), max_size=3
    ),
)  # fmt: skip
settings_of_policies = st.builds(
    PolicySettings,
    margin_percent=st.integers(100, 300),
    most_margin_percent=st.integers(100, 300),
    floor_bytes=st.integers(1, 1 << 34),
    cap_bytes=st.none() | st.integers(1 << 20, 1 << 41),
    tiers_per_doubling=st.integers(0, 64),
    most_attempts=st.integers(1, 6),
    percentile=st.integers(1, 100),
    kill_costs_gb_hours=st.floats(0, 1000),
)
names = pytest.mark.parametrize("name", sorted(POLICIES))


@names
@given(evidence=evidences, settings=settings_of_policies)
def test_a_ladder_rises_within_floor_and_cap_and_is_the_same_each_time(
    name: str, evidence: Evidence, settings: PolicySettings
) -> None:
    ladder = sized(name, evidence, now=NOW, settings=settings)
    assert ladder == sized(name, evidence, now=NOW, settings=settings)
    if ladder is None:
        return
    assert list(ladder.memory_bytes) == sorted(set(ladder.memory_bytes))
    assert 1 <= len(ladder.memory_bytes) <= settings.most_attempts
    cap = settings.cap_bytes or max(ladder.memory_bytes)
    assert max(ladder.memory_bytes) <= cap
    assert min(ladder.memory_bytes) >= min(settings.floor_bytes, cap)


@names
@given(evidence=evidences, settings=settings_of_policies)
def test_every_peak_of_the_window_fits_into_the_first_limit(name: str, evidence: Evidence, settings: PolicySettings) -> None:
    """Into the last one with `percentile`, which says so. A peak that no node holds is the cap's affair."""
    ladder = sized(name, evidence, now=NOW, settings=settings)
    if ladder is None or (name == "percentile" and settings.most_attempts == 1):
        return
    level = next((level for level in evidence.levels if level.key == ladder.key), evidence.levels[0])
    within = [seen for seen in level.observations if NOW - seen.ended <= settings.window_days * DAY]
    newest = [seen for seen in level.observations if seen.memory_needed_bytes][-settings.window_count :]
    peaks = [seen.memory_needed_bytes or 0 for seen in [*within, *newest] if not seen.censored]
    holds = ladder.memory_bytes[-1 if name == "percentile" else 0]
    assert holds >= min(max(peaks, default=0), settings.cap_bytes or 1 << 41)


@names
@given(evidence=evidences, margins=st.tuples(st.integers(100, 300), st.integers(100, 300)), cap=st.none() | sizes)
def test_more_margin_never_means_less_memory(
    name: str, evidence: Evidence, margins: tuple[int, int], cap: int | None
) -> None:
    low, high = (
        PolicySettings(margin_percent=margin, most_margin_percent=margin, cap_bytes=cap) for margin in sorted(margins)
    )
    one, more = (sized(name, evidence, now=NOW, settings=settings) for settings in (low, high))
    assert (one is None) == (more is None)
    if one is not None and more is not None:
        assert more.memory_bytes[0] >= one.memory_bytes[0]
