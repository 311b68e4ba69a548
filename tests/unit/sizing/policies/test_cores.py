"""How many cores are asked for."""

import pytest

from sizing.observations import Evidence, Level, Observation, PolicySettings, Prior
from sizing.policies.cores import millicores


def seen(cores: float | None, *, censored: bool = False) -> Observation:
    return Observation(
        keys=("hdf5",), submitted=0, ended=1, outcome="built", censored=censored, working_set_peak_bytes=1,
        cpu_seconds=cores * 100 if cores else None, wall_seconds=100,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("builds", "prior", "jobs", "expected"),
    [
        ([], None, None, None),
        ([], 4000, 4, 4000),
        ([3.0, 3.0], 4000, 4, 4000),
        ([3.0] * 3, 4000, 4, 3000),
        ([1.0, 2.0, 3.0, 9.0], 4000, 16, 3000),
        ([1.01] * 3, 4000, 4, 1100),
        ([0.01] * 3, 4000, 4, 500),
        ([7.9] * 3, 4000, 4, 4000),
        ([7.85] * 3, 4000, None, 7900),
        ([None] * 3, 4000, 4, 4000),
    ],
    ids=[
        "nothing", "prior", "two-are-too-few", "three", "third-quartile", "rounded-up", "least", "at-most-the-jobs",
        "jobs-unknown", "not-measured",
    ],
)  # fmt: skip
def test_the_request(builds: list[float | None], prior: int | None, jobs: int | None, expected: int | None) -> None:
    evidence = Evidence(
        levels=(Level(key="hdf5", observations=[seen(cores) for cores in builds]),),
        prior=Prior(cpu_millicores=prior, build_jobs=jobs),
    )
    assert millicores(evidence, now=2, settings=PolicySettings()) == expected


def test_a_killed_build_says_nothing_of_cores() -> None:
    builds = [seen(2), seen(2), seen(2), seen(8, censored=True), seen(8, censored=True)]
    evidence = Evidence(levels=(Level(key="hdf5", observations=builds),))
    assert millicores(evidence, now=2, settings=PolicySettings()) == 2000
