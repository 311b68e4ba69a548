"""Clause: whatever ends a call of the driver, or its Runner, and whenever: no success comes of it, and no pod is left.

Source: gitlab-runner 19.4 helpers/process/killer.go, common/build.go. Requirements R8, R12, R18. Runs on every backend that
has pods.
"""

import os
import signal
import subprocess

import pytest

from tests.fakes.runner import Outcome
from tests.fakes.runner_process import runner_process
from tests.labs.backends.lab import NOWHERE, ContractLab, codes, outcome_of, running
from tests.labs.waiting import is_alive, wait_until

pytestmark = pytest.mark.not_on("local", reason="it has no pods")
WAITING = "waiting: 0/1 nodes"


def killed_in_prepare(lab: ContractLab) -> Outcome:
    runner = lab.runner(NOWHERE)
    runner.when(WAITING, lambda: running(runner).kill())
    job = lab.job(["echo never"])
    ended = runner.run(job)
    wait_until(lambda: not lab.phases(job["id"]))
    return ended


@outcome_of(killed_in_prepare)
def test_a_prepare_that_is_killed_is_repeated_and_cleanup_finds_its_pod(outcome: Outcome) -> None:
    assert outcome.reason == "runner_system_failure", outcome.text
    assert outcome.stages == ["config", "prepare", "cleanup"] * 3
    assert codes(outcome, "prepare") == [-signal.SIGKILL, 2, 2]
    assert codes(outcome, "cleanup") == [0, 0, 0]


def canceled_in_prepare(lab: ContractLab) -> Outcome:
    runner = lab.runner(NOWHERE.replace("= 3", "= 600"))
    runner.when(WAITING, runner.cancel)
    return runner.run(lab.job(["echo never"]))


@outcome_of(canceled_in_prepare)
def test_term_in_prepare_is_a_system_failure_and_calls_only_cleanup(outcome: Outcome) -> None:
    """With 0 the Runner would take the pod for prepared."""
    assert outcome.reason == "job_canceled", outcome.text
    assert outcome.stages == ["config", "prepare", "cleanup"]
    assert codes(outcome, "prepare") == [2]
    assert codes(outcome, "cleanup") == [0]


@outcome_of(lambda lab: lab.runner(NOWHERE.replace("= 3", "= 600"), prepare_seconds=4).run(lab.job(["echo never"])))
def test_a_prepare_beyond_the_runners_own_timeout_is_repeated(outcome: Outcome) -> None:
    assert outcome.reason == "runner_system_failure", outcome.text
    assert outcome.stages == ["config", "prepare", "cleanup"] * 3
    assert not set(codes(outcome, "prepare")) & {0, 1}


def cleaned_up_while_it_runs(lab: ContractLab) -> Outcome:
    """Let the Runner give up waiting for a script that does not listen, and call cleanup beside it."""
    runner = lab.runner(top="cancel_seconds = 600", finish_seconds=0.2, graceful_kill_seconds=600)
    job = lab.job(["trap '' TERM; echo begun; while :; do sleep 1; done"], after=["echo never"])
    live: list[subprocess.Popen[bytes]] = []

    def cancel() -> None:
        live.append(running(runner))
        runner.cancel(graceful=False)

    runner.when("\nbegun\n", cancel)
    ended = runner.run(job)
    ended.exit_code = live[0].wait(120)
    wait_until(lambda: not lab.phases(job["id"]))
    return ended


@outcome_of(cleaned_up_while_it_runs)
def test_cleanup_beside_a_live_run_takes_the_pod_and_the_run_ends(outcome: Outcome) -> None:
    """The Runner waits five minutes for a canceled call, and then calls cleanup whatever that does."""
    assert outcome.reason == "job_canceled", outcome.text
    assert codes(outcome, "cleanup") == [0]
    assert outcome.exit_code == 2, "the run's own exit code, which nobody waits for any more"


def runner_killed(lab: ContractLab, script: str) -> Outcome:
    runner, job = lab.runner(), lab.job([script])
    with runner_process(runner, job) as (process, driver):
        assert lab.phases(job["id"]) == ["Running"]
        process.kill()
        wait_until(lambda: not lab.phases(job["id"]))
        wait_until(lambda: not is_alive(driver))
    return Outcome(state="gone")


@outcome_of(lambda lab: runner_killed(lab, "echo begun; sleep 300"))
def test_a_driver_of_a_silent_script_notices_that_its_runner_is_gone_and_deletes_the_pod(outcome: Outcome) -> None:
    assert outcome.state == "gone"


@outcome_of(lambda lab: runner_killed(lab, "echo begun; while :; do echo more; sleep 0.1; done"))
def test_a_driver_whose_output_nobody_reads_deletes_the_pod(outcome: Outcome) -> None:
    assert outcome.state == "gone"


def manager_lost(lab: ContractLab) -> Outcome:
    """Kill Runner and driver together, as a manager that is lost."""
    runner = lab.runner("[budgets]\napi_seconds = 4", top="orphan_after_seconds = 20")
    job = lab.job(["echo begun; sleep 300"])
    with runner_process(runner, job) as (process, driver):
        os.kill(driver, signal.SIGSTOP)  # or it would notice the Runner's end before its own
        process.kill()
        os.kill(driver, signal.SIGKILL)
    wait_until(lambda: lab.phases(job["id"]) == ["Failed"])
    lab.remove(job["id"])
    return Outcome(state="ended")


@outcome_of(manager_lost)
def test_a_pod_that_no_driver_touches_ends_itself(outcome: Outcome) -> None:
    assert outcome.state == "ended"


def failed_and_kept(lab: ContractLab) -> Outcome:
    runner = lab.runner("[budgets]\napi_seconds = 4", top="keep_failed = true\norphan_after_seconds = 20")
    good, bad = lab.job(["true"]), lab.job(["exit 3"])
    assert runner.run(good).state == "success"
    wait_until(lambda: not lab.phases(good["id"]))
    ended = runner.run(bad)
    assert lab.phases(bad["id"]) == ["Running"]
    wait_until(lambda: lab.phases(bad["id"]) == ["Failed"])
    lab.remove(bad["id"])
    return ended


@outcome_of(failed_and_kept)
def test_the_pod_of_a_failed_job_can_be_kept(outcome: Outcome) -> None:
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 3), outcome.text
    assert codes(outcome, "cleanup") == [0]
    assert b"of a failed job is kept, see keep_failed" in outcome.call("cleanup").stderr
