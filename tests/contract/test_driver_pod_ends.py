"""Clause: a build container killed for memory, a full disk, a node that shuts down, and what GitLab is told (R9, R10)."""

import threading

from tests.fakes.kube.server import FakeCluster
from tests.labs.backends.fake import pod_of
from tests.labs.backends.lab import ContractLab

SMALL = 'memory_limit = "64Mi"\nmemory_limit_overwrite_max_allowed = "128Mi"'


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


def test_a_job_whose_pod_passed_its_own_disk_limit_ends_with_137(lab: ContractLab, cluster: FakeCluster) -> None:
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
