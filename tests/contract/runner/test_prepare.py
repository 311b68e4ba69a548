"""Clause: config and prepare. What ends the attempts (exit 1), what is repeated three times (exit 2), what is left behind.

Source: gitlab-runner 19.4 docs/executors/custom.md, common/build.go (PreparationRetries). Runs on every backend.
"""

import json
import sys
import tempfile
from pathlib import Path

import pytest

from tests.fakes.runner import Outcome
from tests.labs.backends.lab import NOWHERE, ONCE, ContractLab, outcome_of


@outcome_of(lambda lab: lab.run(["true"], image={"name": "localhost/nothing:1"}))
@pytest.mark.not_on("local", reason="it uses no image")
def test_an_image_that_does_not_exist_is_the_jobs_failure_and_final(outcome: Outcome) -> None:
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 1), outcome.text
    assert outcome.stages == ONCE
    assert "image pull failed" in outcome.text


@outcome_of(lambda lab: lab.run(["true"], image={"name": "localhost/noshell:1"}))
@pytest.mark.not_on("local", reason="it uses no image")
def test_an_image_without_a_shell_is_the_jobs_failure_and_final(outcome: Outcome) -> None:
    assert outcome.reason == "script_failure", outcome.text
    assert outcome.stages == ONCE
    assert "POSIX shell" in outcome.text


@outcome_of(lambda lab: lab.run(["true"], run=[{"name": "step"}]))
def test_native_steps_are_refused_with_words(outcome: Outcome) -> None:
    assert outcome.reason == "script_failure", outcome.text
    assert outcome.stages == ONCE
    assert "`run:`" in outcome.text


@outcome_of(lambda lab: lab.runner('memory_request_overwrite_max_allowed = "1Gi"').run(
    lab.job(["true"], variables={"KUBERNETES_MEMORY_REQUEST": "lots"})
))  # fmt: skip
def test_a_bad_quantity_is_the_jobs_failure_and_named(outcome: Outcome) -> None:
    assert outcome.reason == "script_failure", outcome.text
    assert outcome.stages == ONCE
    assert "KUBERNETES_MEMORY_REQUEST: 'lots'" in outcome.text


@outcome_of(lambda lab: lab.runner(top='kubernetes_oversize = "x"').run(lab.job(["true"])))
def test_a_wrong_settings_file_is_a_system_failure_told_in_each_of_three_attempts(outcome: Outcome) -> None:
    """config never exits 1, whatever is wrong; after each failed attempt the Runner calls cleanup."""
    assert outcome.reason == "runner_system_failure", outcome.text
    assert outcome.stages == ["config", "cleanup"] * 3
    assert {call.code for call in outcome.calls} == {2}
    assert outcome.text.count("unknown key kubernetes_oversize") == 3


@outcome_of(lambda lab: lab.runner(kubeconfig=Path("/nonexistent/kubeconfig")).run(lab.job(["true"])))
@pytest.mark.not_on("local", reason="it needs no cluster")
def test_no_reachable_cluster_is_a_system_failure_that_names_what_was_tried(outcome: Outcome) -> None:
    """It never falls back to running the job on the manager itself."""
    assert outcome.reason == "runner_system_failure", outcome.text
    assert outcome.stages == ONCE * 3
    assert "tried the kubeconfig /nonexistent/kubeconfig" in outcome.text


@outcome_of(lambda lab: lab.run(["true"]))
def test_config_prints_json_and_nothing_else(outcome: Outcome) -> None:
    told = json.loads(outcome.call("config").stdout)
    assert told["driver"]["name"] == "spack-farm"
    assert told["builds_dir_is_shared"] is False
    assert set(told) <= {"builds_dir", "cache_dir", "builds_dir_is_shared", "hostname", "driver", "job_env", "shell"}
    assert outcome.call("config").stderr == b""
    assert not set(told.get("job_env", {})) & {"TMPDIR", "PATH", "BUILD_EXIT_CODE_FILE", "JOB_RESPONSE_FILE"}


@outcome_of(lambda lab: lab.run(["true"], services=[{"name": "postgres:16", "alias": "db,database"}]))
def test_services_that_are_not_there_yet_are_refused_with_words(outcome: Outcome) -> None:
    assert outcome.reason == "script_failure", outcome.text
    assert "services" in outcome.text


@outcome_of(lambda lab: lab.runner(NOWHERE).run(lab.job(["echo never"])))
@pytest.mark.not_on("local", reason="it waits for no node")
def test_three_attempts_share_the_budget_for_a_node(outcome: Outcome) -> None:
    """The Runner repeats what waited in vain, and a full cluster would hold the job three times as long."""
    assert outcome.reason == "runner_system_failure", outcome.text
    assert outcome.stages == ONCE * 3
    assert (
        "timed out waiting for pod to start (last phase: waiting for a node, 3 s, see budgets.schedule_seconds)"
        in outcome.text
    )
    assert outcome.text.count("\nwaiting: 0/1 nodes: 1 node(s) didn't match Pod's node affinity/selector\n") == 3
    assert "an earlier attempt of this job has waited 3 s for a node: this one waits 2 s" in outcome.text
    assert "an earlier attempt of this job has waited 5 s for a node: this one waits 2 s" in outcome.text
    names = {line.split()[2] for line in outcome.text.splitlines() if line.startswith("Preparing pod ")}
    assert len(names) == 3, "a pod that goes still has its name"


@outcome_of(lambda lab: lab.runner(helper_image="localhost/norunner:1").run(lab.job(["true"])))
@pytest.mark.not_on("local", reason="it uses no image")
def test_a_helper_image_without_gitlab_runner_is_never_silent(outcome: Outcome) -> None:
    """The Runner's own scripts only print that artifacts are disabled, and the job succeeds without them."""
    assert outcome.reason == "runner_system_failure", outcome.text
    assert "has no gitlab-runner: artifacts and caches would be lost" in outcome.text


@outcome_of(lambda lab: lab.runner(top="allow_missing_helper = true", helper_image="localhost/norunner:1").run(
    lab.job(["echo ran"], artifacts=[{"name": "a", "paths": ["x"]}])
))  # fmt: skip
@pytest.mark.not_on("local", reason="it uses no image")
def test_an_operator_may_do_without_gitlab_runner(outcome: Outcome) -> None:
    assert outcome.state == "success", outcome.text
    assert "\nMissing gitlab-runner. Uploading artifacts is disabled.\n" in outcome.text


def prepared_twice(lab: ContractLab) -> Outcome:
    """Prepare the same attempt twice, as after an answer that was lost: the API server says 409 to the second."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        driver = folder / "driver"
        call = f'{sys.executable} -m executor "$@"'
        driver.write_text(f"#!/bin/sh\n[ $1 != prepare ] || {call} || exit\nexec {call}\n")
        driver.chmod(0o755)
        return lab.runner(program=[str(driver)]).run(lab.job(["echo ran"]))


@outcome_of(prepared_twice)
@pytest.mark.not_on("local", reason="it has no pod")
def test_a_pod_that_is_there_already_is_taken_over(outcome: Outcome) -> None:
    assert outcome.state == "success", outcome.text
    assert "\nran\n" in outcome.text
    (pod,) = {line.split()[1] for line in outcome.text.splitlines() if " is ready on node " in line}
    assert outcome.text.count(f"Pod {pod} is ready") == 2
