"""Clause: our Runner for tests behaves as the real one does, with toy drivers whose every answer is known.

What was measured with the real Runner is in its reference: order of calls, exit codes, retries, signals, the five variables.
Source: gitlab-runner 19.4 executors/custom, common/build.go; docs/executors/custom.md.
"""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.runner import Outcome, Payload, Runner, payload

TOY = """#!/bin/bash
case $1 in
  config) {config} ;;
  prepare) {prepare} ;;
  run) {run} ;;
  cleanup) {cleanup} ;;
esac
"""
RUN = """
bash "$2" & child=$!
trap 'kill $child; exit $SYSTEM_FAILURE_EXIT_CODE' TERM
wait $child || { code=$?; echo $code >"$BUILD_EXIT_CODE_FILE"; exit $BUILD_FAILURE_EXIT_CODE; }
"""
ONCE = ["config", "prepare", "cleanup"]
BEFORE = ["config", "prepare", "prepare_script", "get_sources", "build_script"]


@pytest.fixture
def toy(tmp_path: Path) -> Callable[..., Runner]:
    """Return a function that makes a Runner with a driver of shell lines."""

    def make(
        *, prepare: str = ":", run: str = RUN, cleanup: str = ":", config: str | None = None, **options: float
    ) -> Runner:
        told = {"builds_dir": f"{tmp_path}/builds", "cache_dir": f"{tmp_path}/cache", "driver": {"name": "toy"}, "new": 1}
        if config is None:
            config = f"echo '{json.dumps(told)}'"
        program = tmp_path / "driver"
        program.write_text(TOY.format(config=config, prepare=prepare, run=run, cleanup=cleanup))
        program.chmod(0o755)
        return Runner([str(program)], [], **options)  # type: ignore[arg-type]

    return make


def job(tmp_path: Path, *script: str, **changes: Any) -> Payload:
    made = payload(list(script), **changes)
    made["job_info"]["project_full_path"] = "grp/proj"
    (tmp_path / "builds").mkdir(exist_ok=True)
    return made


def test_a_success_calls_each_stage_once_and_cleanup_sees_it(toy: Callable[..., Runner], tmp_path: Path) -> None:
    runner = toy(cleanup=f'echo "$CUSTOM_ENV_CI_JOB_STATUS $TMPDIR" >{tmp_path}/told')
    outcome = runner.run(job(tmp_path, "echo hello", after=["echo after $CI_JOB_STATUS"]))
    assert (outcome.state, outcome.exit_code) == ("success", 0), outcome.text
    assert outcome.stages == [*BEFORE, "after_script", "cleanup_file_variables", "cleanup"]
    assert "\nafter success\n" in outcome.text
    assert (tmp_path / "told").read_text() == f"success {runner.folder}\n"
    assert not runner.folder.exists()


def test_a_failing_script_gives_the_code_of_the_file(toy: Callable[..., Runner], tmp_path: Path) -> None:
    outcome = toy().run(job(tmp_path, "exit 42"))
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 42), outcome.text


@pytest.mark.parametrize(
    ("prepare", "reason", "stages"),
    [
        ("exit 1", "script_failure", ONCE),
        ("exit 2", "runner_system_failure", ONCE * 3),
        ("exit 9", "runner_system_failure", ONCE * 3),
        ("kill -KILL $$", "runner_system_failure", ONCE * 3),
        ('echo garbage >"$BUILD_EXIT_CODE_FILE"; exit 1', "runner_system_failure", ONCE * 3),
        (': >"$BUILD_EXIT_CODE_FILE"; exit 1', "runner_system_failure", ONCE * 3),
    ],
)
def test_prepare_is_repeated_unless_it_is_a_build_failure(
    toy: Callable[..., Runner], tmp_path: Path, prepare: str, reason: str, stages: list[str]
) -> None:
    outcome = toy(prepare=prepare).run(job(tmp_path, "true"))
    assert (outcome.reason, outcome.stages) == (reason, stages), outcome.text


def test_each_attempt_has_a_folder_of_its_own(toy: Callable[..., Runner], tmp_path: Path) -> None:
    toy(prepare=f'echo "$PWD $TMPDIR $(stat -c %a .)" >>{tmp_path}/told; exit 2').run(job(tmp_path, "true"))
    lines = [line.split() for line in (tmp_path / "told").read_text().splitlines()]
    assert len({folder for folder, _, _ in lines}) == 3
    assert all(folder == temporary and mode == "700" for folder, temporary, mode in lines)


@pytest.mark.parametrize(
    ("config", "state", "words"),
    [
        (":", "success", ""),
        ("echo '{}'", "success", ""),
        ("echo", "failed", "error while parsing JSON output"),
        ("echo '  '", "failed", "error while parsing JSON output"),
        ("echo hello", "failed", "error while parsing JSON output"),
    ],
)
def test_only_an_answer_of_no_bytes_counts_as_an_empty_one(
    toy: Callable[..., Runner], tmp_path: Path, config: str, state: str, words: str
) -> None:
    """A blank line is no JSON: a config verb that prints one costs all three attempts."""
    outcome = toy(config=config, run=":").run(job(tmp_path, "true"))
    assert outcome.state == state, outcome.text
    assert words in outcome.text
    assert state == "success" or outcome.stages == ["config", "cleanup"] * 3


def test_zero_after_term_counts_as_success(toy: Callable[..., Runner], tmp_path: Path) -> None:
    """The trap for drivers: prepare that ends with 0 on TERM is taken for done."""
    runner = toy(prepare="trap 'exit 0' TERM; echo wait; sleep 60 & wait", prepare_seconds=1)
    outcome = runner.run(job(tmp_path, "true"))
    assert outcome.state == "success", outcome.text


def test_a_child_that_holds_the_pipes_holds_the_stage_until_the_kill(toy: Callable[..., Runner], tmp_path: Path) -> None:
    runner = toy(prepare="sleep 60 &", prepare_seconds=0.5, graceful_kill_seconds=1)
    outcome = runner.run(job(tmp_path, "true"))
    assert outcome.state == "success", outcome.text
    assert outcome.call("prepare").seconds >= 0.5


def test_a_driver_that_ignores_term_is_killed(toy: Callable[..., Runner], tmp_path: Path) -> None:
    runner = toy(run="trap '' TERM; echo begun; while :; do sleep 0.1; done", graceful_kill_seconds=0.5)
    runner.when("begun\n", lambda: runner.cancel(graceful=False))
    outcome = runner.run(job(tmp_path, "true"))
    assert outcome.reason == "job_canceled", outcome.text
    assert outcome.call("prepare_script").code == -signal.SIGKILL


@pytest.mark.parametrize(("graceful", "later"), [(True, ["after_script", "cleanup_file_variables"]), (False, [])])
def test_a_cancel_calls_later_stages_only_where_it_is_graceful(
    toy: Callable[..., Runner], tmp_path: Path, *, graceful: bool, later: list[str]
) -> None:
    runner = toy(cleanup=f"echo $CUSTOM_ENV_CI_JOB_STATUS >{tmp_path}/told")
    runner.when("begun\n", lambda: runner.cancel(graceful=graceful))
    outcome = runner.run(job(tmp_path, "echo begun; sleep 60", after=["echo after"]))
    assert outcome.reason == "job_canceled", outcome.text
    assert outcome.stages == [*BEFORE, *later, "cleanup"]
    assert (tmp_path / "told").read_text() == "canceled\n"


def test_a_timeout_calls_only_cleanup(toy: Callable[..., Runner], tmp_path: Path) -> None:
    runner = toy()
    runner.when("begun\n", runner.time_out)
    outcome = runner.run(job(tmp_path, "echo begun; sleep 60", after=["echo never"]))
    assert outcome.reason == "job_execution_timeout", outcome.text
    assert outcome.stages == [*BEFORE, "cleanup"]


def test_the_environment_has_the_five_variables_and_the_jobs_with_their_prefix(
    toy: Callable[..., Runner], tmp_path: Path
) -> None:
    outcome = toy(run=f"env -0 >{tmp_path}/environment; stat -c %a $JOB_RESPONSE_FILE", cleanup="echo hidden >&2").run(
        job(
            tmp_path, "true", variables={"CI_JOB_IMAGE": "mine"},
            secret_variables=[{"key": "F", "value": "a\nb", "public": False, "masked": True, "file": True}],
        )
    )  # fmt: skip
    pairs = (tmp_path / "environment").read_text().split("\0")
    told = dict(pair.partition("=")[::2] for pair in pairs if pair)
    assert (told["BUILD_FAILURE_EXIT_CODE"], told["SYSTEM_FAILURE_EXIT_CODE"]) == ("1", "2")
    assert Path(told["BUILD_EXIT_CODE_FILE"]).parent == Path(told["TMPDIR"])
    assert told["CUSTOM_ENV_CI_JOB_SERVICES"] == ""
    assert told["CUSTOM_ENV_F"] == "a\nb", "a file variable's content"
    assert told["CUSTOM_ENV_CI_JOB_IMAGE"] == "mine", "a job's variable wins over the Runner's own"
    assert "F" not in told
    assert "\n600\n" in outcome.text
    assert "hidden" not in outcome.text, "cleanup's output goes to the Runner's own log"


def test_a_program_that_cannot_start_is_a_system_failure(tmp_path: Path) -> None:
    outcome: Outcome = Runner([f"{tmp_path}/nothing"], []).run(job(tmp_path, "true"))
    assert outcome.reason == "runner_system_failure"
    assert "failed to start command" in outcome.text
