"""Clause: TERM, cancels and timeouts end the script, never the pod that later stages need, and never count as success.

Source: gitlab-runner 19.4 helpers/process/killer.go, common/build.go. Runs on every backend.
"""

import os
import signal
import time

import pytest

from tests.fakes.runner import Outcome
from tests.labs.backends.lab import ContractLab, outcome_of

SLEEPER = "sleep 61"


def canceled(lab: ContractLab, script: list[str], *, graceful: bool = True, top: str = "") -> Outcome:
    job = lab.runner(top=top)
    job.when("\nbegun\n", lambda: job.cancel(graceful=graceful))
    nap = f"sleep {os.getpid()}{time.time_ns() % 1000:03}"  # nobody else's
    script = [line.replace("NAP", nap) for line in script]
    after = ["echo after $CI_JOB_STATUS", f"ps -ef 2>/dev/null | grep -c '[s]{nap[1:]}' || true"]
    artifacts = [{"name": "a", "paths": ["kept"], "when": "on_failure"}]
    return job.run(lab.job(["echo x >kept", *script], after=after, artifacts=artifacts))


@outcome_of(lambda lab: canceled(lab, ["echo begun; NAP"]))
def test_a_graceful_cancel_ends_the_script_and_runs_after_script_in_the_same_pod(outcome: Outcome) -> None:
    assert outcome.reason == "job_canceled", outcome.text
    assert outcome.call("build_script").code == 2
    assert outcome.stages[5:] == ["after_script", "upload_artifacts_on_failure", "cleanup_file_variables", "cleanup"]
    assert "\nafter canceled\n" in outcome.text
    assert "\n0\n" in outcome.text, "the script's children are gone too"
    assert outcome.call("upload_artifacts_on_failure").code == 0


def deaf(lab: ContractLab) -> Outcome:
    return canceled(lab, ["trap '' TERM; echo begun; while :; do sleep 1; done"], top="cancel_seconds = 1")


@outcome_of(deaf)
def test_a_script_that_ignores_term_is_killed(outcome: Outcome) -> None:
    assert outcome.reason == "job_canceled", outcome.text
    assert outcome.call("build_script").code == 2
    assert "\nafter canceled\n" in outcome.text


@outcome_of(deaf)
@pytest.mark.not_on("local", reason="it kills without a line in the log")
def test_that_a_script_was_killed_is_told(outcome: Outcome) -> None:
    assert "WARNING: the script did not end within 1 s of TERM: it is killed\n" in outcome.text


@outcome_of(lambda lab: canceled(lab, ["trap 'echo cleaned up; exit 0' TERM; echo begun; while :; do sleep 0.1; done"]))
def test_a_script_that_ends_with_0_on_term_has_not_succeeded(outcome: Outcome) -> None:
    assert outcome.reason == "job_canceled", outcome.text
    assert outcome.call("build_script").code == 2
    assert "cleaned up" in outcome.text


@outcome_of(lambda lab: canceled(lab, [f"echo begun; {SLEEPER}"], graceful=False))
def test_a_forced_cancel_calls_only_cleanup(outcome: Outcome) -> None:
    assert outcome.reason == "job_canceled", outcome.text
    assert outcome.stages[4:] == ["build_script", "cleanup"]


def timed_out(lab: ContractLab) -> Outcome:
    """Time out once the script runs, however slow the machine is."""
    job = lab.runner()
    job.when("\nbegun\n", job.time_out)
    return job.run(lab.job([f"echo begun; {SLEEPER}"], after=["echo never"]))


@outcome_of(timed_out)
def test_the_jobs_timeout_calls_only_cleanup(outcome: Outcome) -> None:
    assert outcome.reason == "job_execution_timeout", outcome.text
    assert outcome.stages[4:] == ["build_script", "cleanup"]
    assert outcome.call("build_script").code == 2


@outcome_of(lambda lab: lab.run([SLEEPER], after=["echo after"], variables={"RUNNER_SCRIPT_TIMEOUT": "1s"}))
def test_the_scripts_own_timeout_leaves_the_later_stages(outcome: Outcome) -> None:
    assert outcome.reason == "job_execution_timeout", outcome.text
    assert outcome.stages[-3:] == ["after_script", "cleanup_file_variables", "cleanup"]
    assert "\nafter\n" in outcome.text


@outcome_of(lambda lab: lab.run(["echo ran"], after=[SLEEPER], variables={"RUNNER_AFTER_SCRIPT_TIMEOUT": "3s"}))
def test_an_after_script_beyond_its_timeout_changes_nothing(outcome: Outcome) -> None:
    assert outcome.state == "success", outcome.text
    assert outcome.call("after_script").code in {2, -signal.SIGTERM}  # it may come before the driver has begun
    assert "after_script failed, but job will continue unaffected" in outcome.text
    assert outcome.call("cleanup_file_variables").code == 0


def canceled_in_helper_stage(lab: ContractLab) -> Outcome:
    job = lab.runner()
    job.when("\nbegun\n", job.cancel)
    hooks = [{"name": "pre_get_sources_script", "script": [f"echo; echo begun; {SLEEPER}"]}]
    return job.run(lab.job(["echo never"], hooks=hooks))


@outcome_of(canceled_in_helper_stage)
def test_a_cancel_before_the_users_script_ends_everything(outcome: Outcome) -> None:
    assert outcome.reason == "job_canceled", outcome.text
    assert outcome.stages[3:] == ["get_sources", "cleanup"]
    assert outcome.call("get_sources").code == 2


def deaf_driver(lab: ContractLab) -> Outcome:
    """Let the Runner KILL a driver that TERM does not end: it is stopped, as on a machine that hangs."""
    job = lab.runner(graceful_kill_seconds=0.5)

    def stop_and_cancel() -> None:
        assert job.process is not None
        job.process.send_signal(signal.SIGSTOP)
        job.cancel()

    job.when("\nbegun\n", stop_and_cancel)
    return job.run(lab.job([f"echo begun; {SLEEPER}"], after=["echo after"]))


@outcome_of(deaf_driver)
@pytest.mark.not_on("local", reason="it has no pod")
def test_a_driver_that_hangs_is_killed_and_the_pod_goes_all_the_same(outcome: Outcome) -> None:
    assert outcome.reason == "job_canceled", outcome.text
    assert outcome.call("build_script").code == -signal.SIGKILL
    assert outcome.call("cleanup").code == 0
