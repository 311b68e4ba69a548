from pathlib import Path

import pytest

from executor.environment import build_failure, exit_code, read_invocation
from executor.errors import SettingsError

LEAST = {"TMPDIR": "/tmp/custom-executor17", "JOB_RESPONSE_FILE": "/tmp/job"}


def test_what_the_runner_gives_is_read() -> None:
    found = read_invocation({
        **LEAST, "BUILD_FAILURE_EXIT_CODE": "3", "SYSTEM_FAILURE_EXIT_CODE": "4", "BUILD_EXIT_CODE_FILE": "/tmp/code",
        "CUSTOM_ENV_CI_JOB_ID": "7", "CI_JOB_ID": "8", "SPACK_FARM_RUNNER_PROCESS": "99",
    })  # fmt: skip
    assert (found.build_failure, found.system_failure, found.exit_code_file) == (3, 4, Path("/tmp/code"))
    assert (found.attempt, found.runner_process) == ("custom-executor17", 99)
    assert (found.variables, found.variable("CI_JOB_ID"), found.variable("NO")) == ({"CI_JOB_ID": "7"}, "7", "")


def test_an_older_runner_gives_less() -> None:
    found = read_invocation(LEAST)
    assert (found.build_failure, found.system_failure, found.exit_code_file, found.variables) == (1, 2, None, {})


@pytest.mark.parametrize("name", LEAST)
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is not set: GitLab Runner sets it"):
        read_invocation({key: value for key, value in LEAST.items() if key != name})


@pytest.mark.parametrize(("text", "code"), [("3", 3), ("", 1), ("-3", 1), ("three", 1), ("\u0663", 1)])
def test_an_exit_code_that_is_none_is_the_default(text: str, code: int) -> None:
    assert exit_code({"X": text}, "X", default=1) == code
    assert exit_code({}, "X", default=2) == 2


def test_a_build_failure_leaves_the_jobs_code_for_the_runner(tmp_path: Path) -> None:
    file = tmp_path / "code"
    invocation = read_invocation({**LEAST, "BUILD_FAILURE_EXIT_CODE": "3", "BUILD_EXIT_CODE_FILE": str(file)})
    assert [build_failure(invocation, code) for code in (42, 137)] == [3, 3]
    assert file.read_text() == "137\n", "the last one counts"
    assert build_failure(read_invocation(LEAST), 42) == 1
