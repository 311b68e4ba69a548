"""Clause: a build container killed for memory, a full disk, a node that shuts down, and what GitLab is told (R9, R10)."""

import threading

import pytest

from tests.fakes.kube.server import FakeCluster
from tests.labs.backends.fake import pod_of
from tests.labs.backends.lab import ContractLab

OUTCOME = "spack-farm.io/outcome"
IN_A_GRAPH = {"SPACK_FARM_GRAPH": "a" * 52, "SPACK_FARM_GRAPH_JOB": "b" * 32}
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


@pytest.mark.parametrize(
    ("script", "noted"), [("true", "script_succeeded"), ("exit 3", "script_failed"), ("echo begun; sleep 60", "interrupted")]
)
def test_a_pod_says_what_became_of_its_job_before_it_is_deleted(
    lab: ContractLab, cluster: FakeCluster, script: str, noted: str
) -> None:
    """What looks ahead in a job graph must know whether the jobs behind this one will come."""
    runner = lab.runner()
    job = lab.job([script], variables=IN_A_GRAPH)
    found: list[str] = []
    cluster.faults.add(
        "DELETE /api/v1/namespaces/[^/]*/pods/",
        action=lambda: found.extend(pod["metadata"]["annotations"].get(OUTCOME, "") for pod in cluster.pods()),
    )
    if noted == "interrupted":
        shutdown = "Pod was terminated in response to imminent node shutdown."
        runner.when(
            "\nbegun\n", lambda: cluster.kubelet.fail(pod_of(cluster, job["id"]), reason="Terminated", message=shutdown)
        )
    runner.run(job)
    assert found == [noted]


@pytest.mark.parametrize("code", [403, 503, 0])
def test_a_pod_is_deleted_also_where_nothing_can_be_noted_on_it(lab: ContractLab, cluster: FakeCluster, code: int) -> None:
    """A Role of an earlier version has no `patch`."""
    fault = cluster.faults.add("PATCH /api/v1/namespaces/[^/]*/pods/", code=code, times=9)
    job = lab.job(["true"], variables=IN_A_GRAPH)
    outcome = lab.runner().run(job)
    assert (outcome.state, fault.seen > 0) == ("success", True), outcome.text
    assert "WARNING" not in outcome.text
    assert all("deletionTimestamp" in pod["metadata"] for pod in cluster.pods())


def test_a_job_of_no_graph_costs_no_call_for_its_outcome(lab: ContractLab, cluster: FakeCluster) -> None:
    outcome = lab.run(["true"])
    assert outcome.state == "success", outcome.text
    assert not [call for call in cluster.calls if call.startswith("PATCH") and "/pods/" in call]
