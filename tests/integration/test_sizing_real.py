"""`scripts/prove sizing-real`: its figures as a table, and a small run of it with one real package."""

import csv
import dataclasses
import os
import subprocess
from pathlib import Path

import pytest

from buildjob.spack.find import SpackInstallation
from scripts.proofs.sizing_real import Attempt, figures, page
from tests.labs.checkout import ROOT
from tests.labs.real_packages.lab import MANY, REPOSITORY, differences

FIRST = Attempt(
    package="a", version="1", round=1, jobs=2, attempt=1, asked_mib=None, working_set_peak_mib=100, anonymous_peak_mib=90,
    cpu_seconds=20, wall_seconds=10, outcome="built", killed=False,
)  # fmt: skip
SECOND = dataclasses.replace(FIRST, round=2, asked_mib=125.0)
KILLED = dataclasses.replace(SECOND, killed=True, outcome="memory_killed", working_set_peak_mib=120)


@pytest.mark.parametrize(
    ("attempts", "builds", "killed", "slack"),
    [
        ([FIRST], 0, 0, 0.0),
        ([FIRST, SECOND, SECOND], 2, 0, 0.2),
        ([FIRST, SECOND, dataclasses.replace(SECOND, working_set_peak_mib=50, wall_seconds=30)], 2, 0, 1 - 250 / 500),
        ([FIRST, KILLED, dataclasses.replace(SECOND, attempt=2, asked_mib=250.0)], 1, 1, 1 - 100 / 375),
        ([dataclasses.replace(SECOND, working_set_peak_mib=300)], 1, 0, 0.0),
    ],
    ids=["first-round-only", "even", "by-time", "killed", "page-cache-above-the-limit"],
)
def test_what_the_limits_come_to(attempts: list[Attempt], builds: int, killed: int, slack: float) -> None:
    found = figures(attempts)
    assert (found.builds, found.killed) == (builds, killed)
    assert found.slack == pytest.approx(slack)


def test_it_holds_only_if_enough_packages_are_built_and_their_builds_fit() -> None:
    def holds(attempts: list[Attempt], wanted: int, *, is_part: bool = True) -> bool:
        return page(attempts, wanted=wanted, is_part=is_part, policy="min_waste", at="c")[1]

    many = [dataclasses.replace(one, package=f"p{number}") for number in range(40) for one in (FIRST, SECOND, SECOND)]
    assert holds(many, 40, is_part=False)
    assert holds(many, 47, is_part=False), "40 are enough"
    assert not holds(many[3:], 47, is_part=False)
    assert not holds([FIRST, SECOND, SECOND], 1, is_part=False), "one package is not 40"
    assert holds([FIRST, SECOND, SECOND], 1)
    assert not holds([*many, KILLED], 41)
    assert not holds([FIRST, dataclasses.replace(SECOND, asked_mib=140.0)], 1)


@pytest.mark.spack
@pytest.mark.real
@pytest.mark.timeout(1200)
def test_a_real_package_is_built_again_in_the_memory_that_its_first_build_gives(
    spack: SpackInstallation, tmp_path: Path
) -> None:
    if not (spack.root.parent / REPOSITORY).is_dir():
        pytest.skip(f"no spack-packages beside {spack.root}; scripts/get-spack puts both into the cache")
    if found := differences(environment=MANY):
        pytest.skip("real packages: " + "; ".join(found))
    places = [f"--folder={tmp_path / 'builds'}", f"--page={tmp_path / 'page.md'}", f"--csv={tmp_path / 'all.csv'}"]
    done = subprocess.run(
        [ROOT / "scripts" / "prove", "sizing-real", "--only", "daemonize", "--jobs", "2", *places],
        env=dict(os.environ) | {"SPACK_ROOT": str(spack.root)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 2:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    rows = list(csv.DictReader((tmp_path / "all.csv").read_text().splitlines()))
    assert [row["round"] for row in rows if row["attempt"] == "1"] == ["1", "2", "3"], done.stderr
    assert {row["outcome"] for row in rows} <= {"built", "memory_killed"}
    assert all(float(row["working_set_peak_mib"]) > 0 for row in rows), "each round builds"
    assert "1 of 1 packages (complete)" in (tmp_path / "page.md").read_text()
