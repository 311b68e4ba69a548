"""The policy `max_margin`, and which observations count."""

import pytest

from sizing.observations import Evidence, Level, Observation, PolicySettings, Prior
from sizing.policies.table import POLICIES

DAY = 86_400.0
NOW = 1000 * DAY
GB = 10**9
SETTINGS = PolicySettings()


def seen(
    peak: int | None, *, days_ago: float = 1, censored_at: int | None = None, anonymous: int | None = None
) -> Observation:
    ended = NOW - days_ago * DAY
    return Observation(
        keys=("hdf5@1.14", "hdf5"), submitted=ended - 60, ended=ended, outcome="built", working_set_peak_bytes=peak,
        anonymous_peak_bytes=anonymous, censored=censored_at is not None, asked_memory_bytes=censored_at,
    )  # fmt: skip


def evidence(
    *levels: list[Observation], prior: int | None = None, names: tuple[str, ...] = ("hdf5@1.14", "hdf5", "*")
) -> Evidence:
    found = tuple(Level(key=key, observations=level) for key, level in zip(names, levels, strict=False))
    return Evidence(levels=found, prior=Prior(memory_bytes=prior))


def first(given_evidence: Evidence, settings: PolicySettings = SETTINGS) -> tuple[int, str] | None:
    ladder = POLICIES["max_margin"](given_evidence, now=NOW, settings=settings)
    return (ladder.memory_bytes[0], ladder.key) if ladder else None


@pytest.mark.parametrize(
    ("levels", "prior", "expected"),
    [
        ([], None, None),
        ([], 16 * GB, (16 * GB, "")),
        ([[seen(GB)] * 2], 16 * GB, (16 * GB, "")),
        ([[seen(GB)] * 5], 16 * GB, (115 * GB // 100, "hdf5@1.14")),
        ([[seen(GB)] * 2, [seen(2 * GB)] * 5], None, (230 * GB // 100, "hdf5")),
        ([[seen(GB)] * 3, [seen(2 * GB)] * 5], None, (230 * GB // 100, "hdf5@1.14")),
        ([[seen(GB)] * 5, [seen(2 * GB)] * 5], None, (115 * GB // 100, "hdf5@1.14")),
        ([[seen(GB)] * 4 + [seen(None, censored_at=4 * GB)]], None, (460 * GB // 100, "hdf5@1.14")),
        ([[seen(GB)] * 4 + [seen(GB, censored_at=4 * GB)]], None, (460 * GB // 100, "hdf5@1.14")),
        ([[seen(GB)] * 4 + [seen(GB // 2, anonymous=3 * GB)]], None, (345 * GB // 100, "hdf5@1.14")),
        ([[seen(None)] * 9], 2 * GB, (2 * GB, "")),
        ([[seen(20 * GB)] * 2], 16 * GB, (23 * GB, "")),
        ([[seen(GB)] * 3, [], [seen(48 * GB)] * 9], None, (115 * GB // 100, "hdf5@1.14")),
        ([[], [], [seen(48 * GB)] * 9], 16 * GB, (16 * GB, "")),
        ([[seen(60 * GB)], [], [seen(48 * GB)] * 9], None, (69 * GB, "*")),
    ],
    ids=[
        "nothing", "prior", "two-are-too-few", "five", "next-level", "mixed", "not-mixed", "kill-without-peak", "kill",
        "anonymous", "no-figures", "one-needed-more-than-the-prior", "all-packages-are-not-mixed-in",
        "the-prior-is-closer-than-all-packages", "one-needed-more-than-all-packages",
    ],
)  # fmt: skip
def test_the_first_limit(levels: list[list[Observation]], prior: int | None, expected: tuple[int, str] | None) -> None:
    assert first(evidence(*levels, prior=prior)) == expected


def test_one_build_of_the_exact_hash_is_enough() -> None:
    assert first(evidence([seen(GB)], names=("/abc",))) == (115 * GB // 100, "/abc")


def test_a_peak_within_90_days_counts_however_many_builds_came_after_it() -> None:
    builds = [seen(48 * GB, days_ago=80)] + [seen(19 * GB, days_ago=79 - day) for day in range(60)]
    assert first(evidence(builds)) == (48 * 115 * GB // 100, "hdf5@1.14")


def test_the_last_20_builds_count_however_old_they_are() -> None:
    builds = [seen(48 * GB, days_ago=500)] + [seen(19 * GB, days_ago=400 - day) for day in range(19)]
    assert first(evidence(builds)) == (48 * 115 * GB // 100, "hdf5@1.14")
    assert first(evidence([*builds, seen(GB)])) == (19 * 115 * GB // 100, "hdf5@1.14")
