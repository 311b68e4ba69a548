"""docs/first-job.md as a reader would follow it: its commands, files and job, on a machine and in a pod, to a green job.

Played are GitLab and the registries that the images come from: the cluster has them under their public names.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

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
from tests.labs.farm.machine import Machine, machine
from tests.labs.farm.network import listener_inside
from tests.labs.farm.page import Block, sections
from tests.labs.waiting import wait_until
from tests.labs.warm_processes import runtime_folder

PAGE = sections((ROOT / "docs/first-job.md").read_text())
PUBLIC_NAMES = {
    "helper": [
        "docker.io/library/debian:12",
        "registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper:x86_64-v19.4.0",
    ],
    "manager": ["registry.example.com/spack-farm-manager:1"],
}


class Reader:
    """Someone with a cluster, GitLab Runner's package, and this page."""

    def __init__(self, cluster: Cluster, machine: Machine, gitlab: Coordinator) -> None:
        self.cluster, self.machine, self.gitlab = cluster, machine, gitlab

    def follow(self, block: Block) -> None:
        """Do what a block says; its output must be among what the commands say. Fails where they do."""
        if block.file:
            self.machine.write(block.file, block.text)
            return
        said = self.said(block)
        for line in block.output:
            assert line in said, said

    def said(self, block: Block) -> str:
        """Run a block's commands, with this GitLab and this token filled in; return what they say."""
        script = block.script.replace("https://YOUR-GITLAB", self.gitlab.url)
        script = script.replace("glrt-YOUR-TOKEN", self.gitlab.runner_token)
        inside = [] if "pip install" in script else self.cluster.inside  # pip needs the world, which is not in there
        return self.machine.run(script, inside=inside, KUBECONFIG=str(self.cluster.kubeconfig("admin")))

    def submit(self, block: Block) -> Job:
        """Let the page's job wait for the Runner."""
        ((name, job),) = yaml.safe_load(block.text).items()
        info = payload([])["job_info"] | {"name": name}
        return self.gitlab.submit(payload(job["script"], image={"name": job["image"]}, job_info=info))


@pytest.fixture
def reader(lab: ClusterLab, tmp_path: Path) -> Iterator[Reader]:
    if lab.cluster is None:
        pytest.skip("the page's images are loaded into a cluster of our own")
    cluster = lab.cluster
    path = f"{gitlab_runner.programs()}:{cluster.programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    listener = listener_inside(cluster.init, address=NODE_ADDRESS)
    variables = {"PATH": path, "XDG_RUNTIME_DIR": str(runtime_folder())}
    with (
        Coordinator(listener=listener, address=NODE_ADDRESS, runner_token="glrt-first") as gitlab,
        machine(tmp_path, variables=variables) as made,
    ):
        yield Reader(cluster, made, gitlab)


def provide(cluster: Cluster, image: str) -> None:
    """Give the cluster one of our images under the public names for which it stands in."""
    load_images(cluster, image)
    ctr = ["ctr", "--address", f"{cluster.home}/containerd.sock", "--namespace", "k8s.io", "image", "tag", "--force"]
    subprocess.run([*ctr, f"localhost/spack-farm-{image}:1", *PUBLIC_NAMES[image]], check=True, capture_output=True)


def assert_green(reader: Reader, blocks: list[Block]) -> None:
    """The page's job ends well, with what the page promises of its log, and leaves no pod."""
    example, look = blocks
    job = reader.submit(example)
    assert job.wait().state == "success", job.text
    log = plain(job.text)
    assert "Using Custom executor with driver spack-farm" in log
    named = re.search(r"Pod (job-\d+-\w+) is ready", log)
    assert named, log
    assert f"hello from {named[1]}" in log
    assert re.search(r"^used .* s$", log, re.MULTILINE), log
    wait_until(lambda: all(line in reader.said(look) for line in look.output))


@pytest.mark.timeout(900)  # an installation by pip and an image of 210 MiB, on a machine that may be busy
def test_the_first_job_on_a_machine(reader: Reader) -> None:
    provide(reader.cluster, "helper")
    *steps, start = [*PAGE["Rights"], *PAGE["On a machine"]]
    for block in steps:
        reader.follow(block)
    with reader.machine.start(f"exec {start.script}", inside=reader.cluster.inside) as runner:
        try:
            assert_green(reader, PAGE["The first job"])
        finally:
            runner.terminate()
            said = runner.communicate(timeout=60)[0]
    assert "spack-farm" in said


@pytest.mark.timeout(900)
def test_the_first_job_of_a_manager_in_a_pod(reader: Reader) -> None:
    provide(reader.cluster, "helper")
    provide(reader.cluster, "manager")
    with alone(reader.cluster, "spack-farm-manager"):
        try:
            for block in [*PAGE["Rights"], *PAGE["In a pod"]]:
                reader.follow(block)
            assert_green(reader, PAGE["The first job"])
        finally:
            told = reader.cluster.kubectl("logs", "deployment/spack-farm-manager", check=False)
            reader.cluster.kubectl("delete", "deployment,secret", "spack-farm-manager", check=False)
            reader.cluster.kubectl("delete", "pods", "-l", "app=spack-farm-manager", "--force", check=False)
    assert reader.gitlab.runner_token not in told
