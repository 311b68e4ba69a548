"""Clause: a pod told to go, or gone, is booked by what became of the script; later stages of a lost pod fail at once.

Source: architecture, section 6; requirements R10, R11. Runs on every backend that has pods.
"""

import pytest

from tests.fakes.runner import Outcome
from tests.labs.backends.lab import ContractLab, outcome_of
from tests.labs.waiting import wait_until

pytestmark = pytest.mark.not_on("local", reason="it has no pods")


def evicted(lab: ContractLab) -> Outcome:
    runner = lab.runner("pod_termination_grace_period_seconds = 90")
    job = lab.job(["echo begun; trap 'echo got TERM' TERM; sleep 12; echo ended"], after=["echo and after"])
    runner.when("\nbegun\n", lambda: lab.evict(job["id"]))
    outcome = runner.run(job)
    wait_until(lambda: not lab.phases(job["id"]), seconds=30)  # of 90: after the last script nothing is worth the grace
    return outcome


@outcome_of(evicted)
def test_an_evicted_pod_goes_on_for_its_grace_and_the_job_succeeds(outcome: Outcome) -> None:
    assert outcome.state == "success", outcome.text
    assert "\nended\n" in outcome.text
    assert "\nand after\n" in outcome.text
    assert "got TERM" not in outcome.call("build_script").stdout.decode().splitlines()
    assert "WARNING: the pod is being deleted: EvictionByEvictionAPI" in outcome.text
    assert "it has 90 s left" in outcome.text
    assert outcome.text.index("the pod is being deleted") < outcome.text.index("\nended\n"), "it is logged at once"


def removed(lab: ContractLab) -> Outcome:
    runner = lab.runner()
    job = lab.job(["echo begun; sleep 60"], after=["echo never"])
    runner.when("\nbegun\n", lambda: lab.remove(job["id"]))
    return runner.run(job)


@outcome_of(removed)
def test_a_pod_that_vanishes_is_a_system_failure_and_later_stages_fail_at_once(outcome: Outcome) -> None:
    assert outcome.reason == "runner_system_failure", outcome.text
    assert "not found" in outcome.text
    later = [call for call in outcome.calls if call.script in {"after_script", "cleanup_file_variables"}]
    assert [call.code for call in later] == [2, 2]
    assert outcome.call("cleanup").code == 0
