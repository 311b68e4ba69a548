"""Clause: memory kills and full disks, and what GitLab is told (architecture, section 6; R9).

On the fake cluster a program counts a kill in its container's group and dies, as the kernel has it; the real kernel's are in
tests/e2e/test_memory.py.
"""

import threading

from tests.fakes.kube.server import FakeCluster
from tests.fakes.runner import Outcome
from tests.labs.backends.fake import pod_of
from tests.labs.backends.lab import ContractLab, outcome_of

SMALL = 'memory_limit = "64Mi"\nmemory_limit_overwrite_max_allowed = "128Mi"'


def retried(lab: ContractLab) -> Outcome:
    """Run a job that is killed for memory, then the same job again, under a new id; return the second, the first before."""
    job = lab.job(["eat-memory || exit 3"], after=["echo after"])
    first = lab.runner(SMALL).run(job)
    assert (first.reason, first.exit_code) == ("script_failure", 137), first.text
    assert "command terminated with exit code 137: a process was killed for memory (limit 64 MiB, peak" in first.text
    assert "the script itself ended with 3" in first.text
    assert "A retry of this job gets 96 MiB (retry: exit_codes: [137])" in first.text
    assert "\nafter\n" in first.text
    return lab.runner(SMALL).run(lab.job(["true"], job_info=job["job_info"]))


@outcome_of(retried)
def test_a_killed_child_makes_137_and_the_next_attempt_gets_more(outcome: Outcome) -> None:
    assert outcome.state == "success", outcome.text
    assert "memory raised to 96 MiB: an earlier attempt of this job was killed at 64 MiB" in outcome.text


@outcome_of(lambda lab: lab.runner(SMALL).run(lab.job(["eat-memory || true"])))
def test_a_kill_that_the_script_survives_is_a_success_with_a_warning(outcome: Outcome) -> None:
    assert outcome.state == "success", outcome.text
    assert "WARNING: a process was killed for memory in this script" in outcome.text


@outcome_of(lambda lab: lab.runner(f'{SMALL}\n[memory]\nkill = "retry"').run(lab.job(["eat-memory"])))
def test_the_policy_retry_makes_a_system_failure_while_a_bigger_size_is_left(outcome: Outcome) -> None:
    assert outcome.reason == "runner_system_failure", outcome.text
    assert "The next attempt gets 96 MiB" in outcome.text


def test_a_dead_build_container_leaves_its_artifacts(lab: ContractLab, cluster: FakeCluster) -> None:
    """The usual kill on cgroup v2 ends shell, script and agent together; the helper's stages still run."""
    runner = lab.runner(SMALL)
    job = lab.job(
        ["echo precious >kept; echo eaten; sleep 60"],
        after=["echo never"],
        artifacts=[{"name": "a", "paths": ["kept"], "when": "always"}],
    )

    def kill() -> None:
        cluster.kubelet.lives[pod_of(cluster, job["id"])].containers["build"].kill_for_memory()

    runner.when("\neaten\n", kill)
    outcome = runner.run(job)
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 137), outcome.text
    assert "the build container was killed for memory (limit 64 MiB)" in outcome.text
    assert outcome.call("after_script").stdout.decode().count("\n") == 1
    assert outcome.call("upload_artifacts_on_failure").code == 0


def test_a_pod_that_passed_its_own_disk_limit_is_the_jobs_failure(lab: ContractLab, cluster: FakeCluster) -> None:
    runner = lab.runner('ephemeral_storage_limit = "1Gi"')
    job = lab.job(["echo begun; sleep 60"])
    words = "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. "
    told = threading.Event()

    def evict() -> None:
        cluster.kubelet.fail(pod_of(cluster, job["id"]), reason="Evicted", message=words)
        told.set()

    runner.when("\nbegun\n", evict)
    outcome = runner.run(job)
    assert told.is_set()
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 137), outcome.text
    assert words.strip() in outcome.text


def test_a_node_that_shuts_down_is_a_system_failure_in_the_words_that_are_searched_for(
    lab: ContractLab, cluster: FakeCluster
) -> None:
    runner = lab.runner()
    job = lab.job(["echo begun; sleep 60"], after=["echo never"])
    message = "Pod was terminated in response to imminent node shutdown."
    runner.when("\nbegun\n", lambda: cluster.kubelet.fail(pod_of(cluster, job["id"]), reason="Terminated", message=message))
    outcome = runner.run(job)
    assert outcome.reason == "runner_system_failure", outcome.text
    assert "Pod was terminated in response to imminent node shutdown" in outcome.text
    assert 'status is "Failed"' in outcome.text
    assert outcome.call("after_script").code == 2
