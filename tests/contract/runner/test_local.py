"""Clause: on the backend `local` a script's environment is as in a pod, and whatever it leaves running ends with its job."""

from pathlib import Path

import pytest

from tests.fakes.runner import Payload
from tests.fakes.runner_process import runner_process
from tests.labs.backends.lab import ContractLab
from tests.labs.waiting import is_alive, wait_until

pytestmark = pytest.mark.not_on("fake", "cluster", reason="it looks at processes of this machine")


def test_scripts_get_a_pods_environment_and_nothing_of_the_runners(local_lab: ContractLab) -> None:
    runner = local_lab.runner(environment={"RUNNER_SECRET": "s3cret", "LD_LIBRARY_PATH": "/nowhere", "USER": "runner"})
    outcome = runner.run(local_lab.job(["env -0 | tr '\\0' '\\n' | sed 's/^/has /'"], variables={"OF_THE_JOB": "1"}))
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


def left_running(local_lab: ContractLab, pid_file: Path, then: str) -> Payload:
    return local_lab.job([LEAVES.replace("PID", str(pid_file)), then])


def test_what_scripts_leave_running_ends_in_cleanup(local_lab: ContractLab, tmp_path: Path) -> None:
    outcome = local_lab.runner().run(left_running(local_lab, tmp_path / "pid", f"kill -0 $(cat {tmp_path}/pid)"))
    assert outcome.state == "success", outcome.text
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_driver_whose_runner_is_gone_ends_everything(local_lab: ContractLab, tmp_path: Path) -> None:
    with runner_process(local_lab.runner(), left_running(local_lab, tmp_path / "pid", "echo begun; sleep 300")) as (
        process,
        driver,
    ):
        process.kill()
        wait_until(lambda: not is_alive(driver))
    wait_until(lambda: not is_alive(int((tmp_path / "pid").read_text())))
