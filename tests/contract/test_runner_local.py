"""Clause: the same jobs run unchanged on the backend `local`: scripts as plain processes, without any cluster.

What needs images, pods or a helper's gitlab-runner is left to the clusters.
"""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_runner_cancel import (  # noqa: F401 (they run here)
    test_a_cancel_before_the_users_script_ends_everything,
    test_a_forced_cancel_calls_only_cleanup,
    test_a_graceful_cancel_ends_the_script_and_runs_after_script_in_the_same_pod,
    test_a_script_that_ends_with_0_on_term_has_not_succeeded,
    test_a_script_that_ignores_term_is_killed,
    test_the_jobs_timeout_calls_only_cleanup,
)
from tests.contract.test_runner_prepare import (  # noqa: F401
    test_a_bad_quantity_is_the_jobs_failure_and_named,
    test_native_steps_are_refused_with_words,
    test_services_that_are_not_there_yet_are_refused_with_words,
)
from tests.contract.test_runner_results import (  # noqa: F401
    test_a_driver_that_is_killed_is_a_system_failure,
    test_a_job_that_succeeds_has_its_whole_log_in_order,
    test_any_bytes_come_through_unchanged_whatever_the_script_leaves_running,
    test_the_exit_code_file_is_never_an_earlier_stages,
)
from tests.fakes.runner import Outcome, Payload, Runner
from tests.fakes.runner_process import runner_process
from tests.labs.backends.lab import ContractLab, story_of
from tests.labs.waiting import is_alive, wait_until

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def local(tmp_path: Path) -> ContractLab:
    """Return a driver of this backend."""

    def make(kubernetes: str = "", top: str = "", environment: dict[str, str] | None = None) -> Runner:
        path = tmp_path / "settings.toml"
        folders = f'builds_dir = "{tmp_path}/builds"\ncache_dir = "{tmp_path}/cache"\n'
        path.write_text(f'backend = "local"\n{folders}{top}\n[kubernetes]\n{kubernetes}\n')
        driver = [sys.executable, "-m", "executor"]
        variables = {"PYTHONPATH": str(CHECKOUT)} | (environment or {})
        return Runner(driver, ["--config", str(path)], environment=variables)

    def no_pod(job_id: int) -> Any:
        raise AssertionError(job_id)

    return ContractLab(runner=make, evict=no_pod, remove=no_pod, phases=no_pod)


@pytest.fixture
def outcome(request: pytest.FixtureRequest, local: ContractLab) -> Outcome:
    """Run the test's job."""
    story = story_of(request.node)
    assert story is not None
    ended = story(local)
    assert "WARNING: this job runs as plain processes on " in ended.text or "ERROR: " in ended.text
    return ended


def test_scripts_get_a_pods_environment_and_nothing_of_the_runners(local: ContractLab) -> None:
    runner = local.runner(environment={"RUNNER_SECRET": "s3cret", "LD_LIBRARY_PATH": "/nowhere", "USER": "runner"})
    outcome = runner.run(local.job(["env -0 | tr '\\0' '\\n' | sed 's/^/has /'"], variables={"OF_THE_JOB": "1"}))
    assert outcome.state == "success", outcome.text
    has = {line.removeprefix("has ").partition("=")[0] for line in outcome.text.splitlines() if line.startswith("has ")}
    of_the_shell = {"PWD", "OLDPWD", "SHLVL", "_"}
    of_the_job = {
        "OF_THE_JOB",
        "CI_JOB_STATUS",
        "CI_PROJECT_DIR",
        "CI_JOB_ID",
        "CI_PIPELINE_ID",
        "CI_JOB_URL",
        "GIT_STRATEGY",
    }
    assert has - of_the_shell - of_the_job == {"PATH", "HOME", "SPACK_FARM_ATTEMPT"}


LEAVES = "setsid sh -c 'echo $$ >PID; exec sleep 300' </dev/null >/dev/null 2>&1 & until [ -s PID ]; do sleep 0.1; done"


def left_running(local: ContractLab, pid_file: Path, then: str) -> Payload:
    return local.job([LEAVES.replace("PID", str(pid_file)), then])


def test_what_scripts_leave_running_ends_in_cleanup(local: ContractLab, tmp_path: Path) -> None:
    outcome = local.runner().run(left_running(local, tmp_path / "pid", f"kill -0 $(cat {tmp_path}/pid)"))
    assert outcome.state == "success", outcome.text
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_driver_whose_runner_is_gone_ends_everything(local: ContractLab, tmp_path: Path) -> None:
    with runner_process(local.runner(), left_running(local, tmp_path / "pid", "echo begun; sleep 300")) as (process, driver):
        process.kill()
        wait_until(lambda: not is_alive(driver))
    wait_until(lambda: not is_alive(int((tmp_path / "pid").read_text())))
