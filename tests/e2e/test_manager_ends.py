"""docs/executor.md, "Stopping the manager": rollouts, jobs that take too long, and a manager that is killed.

The Deployment of docs/reference/manager.yaml with our image and a real Runner, on the cluster that the jobs run in.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.coordinator.jobs import Job
from tests.fakes.coordinator.server import Coordinator
from tests.fakes.runner_script import payload
from tests.labs.checkout import ROOT
from tests.labs.cluster.cluster import Cluster, alone
from tests.labs.cluster.lab import ClusterLab
from tests.labs.cluster.parts import NODE_ADDRESS
from tests.labs.farm import gitlab_runner
from tests.labs.farm.farm import load_images, plain
from tests.labs.farm.network import listener_inside
from tests.labs.waiting import wait_until

NAME = "spack-farm-manager"
SETTINGS = """
orphan_after_seconds = 8
[budgets]
api_seconds = 4
[kubernetes]
namespace = "default"
helper_image = "localhost/spack-farm-helper:1"
pull_policy = "never"
"""
pytestmark = pytest.mark.timeout(900)  # two images may have to be built


class Manager:
    """The Deployment, and the GitLab of its Runner."""

    def __init__(self, cluster: Cluster, gitlab: Coordinator) -> None:
        self.cluster, self.gitlab = cluster, gitlab

    def apply(self, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        """Deploy the manifest of the page, with our image; return when it is rolled out."""
        manifest = yaml.safe_load((ROOT / "docs/reference/manager.yaml").read_text())
        pod = manifest["spec"]["template"]["spec"]
        pod["containers"][0]["image"] = f"localhost/{NAME}:1"
        pod["containers"][0]["resources"] = {}
        change(pod)
        self.cluster.kubectl("apply", "-f", "-", text=json.dumps(manifest))
        self.cluster.kubectl("rollout", "status", "deployment", NAME, "--timeout=50s")

    def pods(self) -> dict[str, bool]:
        """Return the manager's pods; true is one that is not being deleted."""
        listed = json.loads(self.cluster.kubectl("get", "pods", "-l", f"app={NAME}", "-o", "json"))["items"]
        return {one["metadata"]["name"]: "deletionTimestamp" not in one["metadata"] for one in listed}

    def job_pods(self) -> dict[str, str]:
        """Return the phases of the jobs' pods."""
        listed = json.loads(self.cluster.kubectl("get", "pods", "-l", "spack-farm.io/managed-by=executor", "-o", "json"))
        return {one["metadata"]["name"]: one["status"]["phase"] for one in listed["items"]}

    def begun(self, *script: str) -> Job:
        """Let a job run; return it when its script has begun."""
        job = self.gitlab.submit(payload(["echo begun", *script], image={"name": "localhost/busybox:1", "entrypoint": [""]}))
        wait_until(lambda: "begun\n" in plain(job.text).replace("$ echo begun", ""))
        return job


def manager_of(job: Job) -> str:
    """Return the id of the Runner that ran a job: each pod of the Deployment makes one of its own."""
    found = re.search(r"system ID: (\w+)", plain(job.text))
    assert found, job.text
    return found[1]


@pytest.fixture
def manager(lab: ClusterLab) -> Iterator[Manager]:
    if lab.cluster is None:
        pytest.skip("our images are loaded into a cluster of our own")
    cluster = lab.cluster
    with alone(cluster, NAME):
        yield from deployed(cluster)


def deployed(cluster: Cluster) -> Iterator[Manager]:
    load_images(cluster, "helper", "manager")
    cluster.kubectl("apply", "-f", str(ROOT / "docs/reference/rbac.yaml"))
    listener = listener_inside(cluster.init, address=NODE_ADDRESS)
    with Coordinator(listener=listener, address=NODE_ADDRESS, runner_token="glrt-ends") as gitlab:
        config = gitlab_runner.filled_in(
            (ROOT / "config.toml.example").read_text(), url=gitlab.url, token=gitlab.runner_token,
            settings=Path("/etc/spack-farm/settings.toml"),
        )  # fmt: skip
        files = {"config.toml": config, "settings.toml": SETTINGS}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME}, "stringData": files}
        cluster.kubectl("apply", "-f", "-", text=json.dumps(secret))
        made = Manager(cluster, gitlab)
        try:
            yield made
        finally:
            cluster.kubectl("delete", "deployment,secret", NAME, "--wait=false", check=False)
            cluster.kubectl("delete", "pods", "-l", f"app={NAME}", "--force", check=False)
            cluster.kubectl("delete", "pods", "-l", "spack-farm.io/managed-by=executor", "--force", check=False)


def test_a_job_ends_by_itself_during_a_rollout_and_the_new_manager_takes_the_next_one(manager: Manager) -> None:
    manager.apply()
    (old,) = manager.pods()
    first = manager.begun("sleep 7", "echo ended")
    manager.cluster.kubectl("rollout", "restart", "deployment", NAME)
    manager.cluster.kubectl("rollout", "status", "deployment", NAME, "--timeout=50s")
    wait_until(lambda: not manager.pods().get(old, False))
    second = manager.begun("true")
    assert second.wait().state == "success", second.text
    assert first.wait().state == "success", first.text
    assert "\nended\n" in plain(first.text)
    assert first.trace_is_whole()
    assert manager_of(first) != manager_of(second)
    wait_until(lambda: old not in manager.pods(), seconds=30)
    wait_until(lambda: not manager.job_pods())


def test_a_job_that_takes_longer_than_the_rollout_may_is_stopped_with_its_pod_and_gitlab_is_told(manager: Manager) -> None:
    def shorten(pod: dict[str, Any]) -> None:
        command = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        command[-1] = command[-1].replace("sleep 21480", "sleep 1")

    manager.apply(shorten)
    (old,) = manager.pods()
    job = manager.begun("sleep 600")
    manager.cluster.kubectl("delete", "pod", old, "--wait=false")
    assert job.wait(seconds=60).state == "failed"
    wait_until(lambda: not manager.job_pods())
    wait_until(lambda: old not in manager.pods(), seconds=30)


def test_the_job_of_a_killed_manager_is_not_taken_up_again_and_its_pod_ends_itself(manager: Manager) -> None:
    manager.apply()
    (name,) = manager.pods()
    job = manager.begun("sleep 600")
    (pod,) = manager.job_pods()
    manager.cluster.kubectl("delete", "pod", name, "--force", "--grace-period=0")
    killed = time.monotonic()
    wait_until(lambda: [one for one, stays in manager.pods().items() if stays and one != name])
    second = manager.begun("true")
    assert second.wait().state == "success", second.text
    wait_until(lambda: manager.job_pods().get(pod) in {"Failed", "Succeeded", None}, seconds=60)
    assert time.monotonic() - killed < 60
    assert job.end is None, "a Runner that takes its jobs up again could be given the pod"
