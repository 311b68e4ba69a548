"""Run folders are new, and their result repeats no fact of the document."""

from pathlib import Path

import pytest

from buildjob.options import environment, take_on
from buildjob.outcome import Outcome
from buildjob.run_folder import RunResult, new_folder
from buildjob.version import own_version
from tests.labs.telemetry_samples import sample


def test_a_folder_is_never_used_twice(tmp_path: Path) -> None:
    out = tmp_path / "a" / "out"
    assert [new_folder(out, "app-1").name for _ in range(3)] == ["app-1", "app-1-2", "app-1-3"]


def test_the_outcome_is_that_of_the_document(tmp_path: Path) -> None:
    document = sample(outcome="timed_out")
    result = RunResult(folder=tmp_path, telemetry=document, command="c", rebuild="r", is_root=True)
    assert result.outcome is Outcome.TIMED_OUT


def test_a_checkout_says_that_it_is_one() -> None:
    assert own_version().endswith("+checkout")


def test_variables_that_are_taken_on_are_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACK_FARM_TEST", "old")
    take_on({"SPACK_FARM_TEST": "new"})
    assert environment()["SPACK_FARM_TEST"] == "new"
