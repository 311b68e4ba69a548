"""Run folders are new, and their result repeats no fact of the document."""

import os
from pathlib import Path

import pytest

from buildjob.options import environment, take_on
from buildjob.outcome import Outcome
from buildjob.run_folder import RunResult, find_folder, new_folder, require_room
from buildjob.version import own_version
from tests.labs.telemetry_samples import sample


def test_a_folder_is_never_used_twice(tmp_path: Path) -> None:
    out = tmp_path / "a" / "out"
    assert [new_folder(out, "app", "1").name for _ in range(3)] == ["app-1", "app-1-2", "app-1-3"]


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("git.feature/foo=1.0", "app-git.feature_foo_1.0-abcdefg"),
        ("../../etc", "app-.._.._etc-abcdefg"),
        ("x" * 500, f"app-{'x' * 186}-abcdefg"),
        ("日" * 100, f"app-{'_' * 100}-abcdefg"),
        ("a b\n%2f", "app-a_b__2f-abcdefg"),
        ("", "app--abcdefg"),
    ],
)
def test_a_folder_has_a_plain_and_short_name_whatever_the_version(tmp_path: Path, version: str, name: str) -> None:
    folder = new_folder(tmp_path, "app", version, "abcdefghijkl")
    assert folder == tmp_path / name
    assert new_folder(tmp_path, "app", version, "abcdefghijkl").name == f"{name}-2"


def test_names_of_commands_may_be_as_long_as_they_are_allowed(tmp_path: Path) -> None:
    assert new_folder(tmp_path, "n" * 128, "1" * 128).is_dir()


def test_what_cannot_be_made_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="File name too long"):
        new_folder(tmp_path / "a" / ("n" * 300), "app", "1")
    with pytest.raises(OSError, match="File name too long"):
        require_room(tmp_path / "a" / ("n" * 300))
    require_room(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_the_last_run_is_found_by_its_name(tmp_path: Path) -> None:
    assert find_folder(tmp_path / "absent", "app", "1") is None
    for age, name in enumerate(("app-1-2", "app-1", "app-1-3", "app-10")):
        (tmp_path / name).mkdir()
        if name != "app-1-3":  # nothing was written into it
            (tmp_path / name / "telemetry.json").touch()
            os.utime(tmp_path / name / "telemetry.json", (age, age))
    assert find_folder(tmp_path, "app", "1") == tmp_path / "app-1"
    assert find_folder(tmp_path, "app", "1[0]") is None


def test_the_outcome_is_that_of_the_document(tmp_path: Path) -> None:
    document = sample(outcome="timed_out")
    result = RunResult(folder=tmp_path, telemetry=document, command="c", is_root=True)
    assert result.outcome is Outcome.TIMED_OUT


def test_a_checkout_says_that_it_is_one() -> None:
    assert own_version().endswith("+checkout")


def test_variables_that_are_taken_on_are_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACK_FARM_TEST", "old")
    take_on({"SPACK_FARM_TEST": "new"})
    assert environment()["SPACK_FARM_TEST"] == "new"
