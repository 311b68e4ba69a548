"""A whole farm for tests: a coordinator in the cluster's network, a real Runner with config.toml.example, our driver.

Jobs are payloads; what the Runner and its helpers did with them is in the coordinator's `Job`.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.e2e import gitlab_runner
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.parts import NODE_ADDRESS
from tests.e2e.network import listener_inside
from tests.fakes.coordinator.jobs import Job
from tests.fakes.coordinator.server import Coordinator
from tests.fakes.runner_script import payload

CHECKOUT = Path(__file__).resolve().parents[2]
_SETTINGS = """
[kubernetes]
namespace = "{namespace}"
kubeconfig = "{kubeconfig}"
helper_image = "localhost/spack-farm-helper:1"
pull_policy = "never"
"""
_CACHE = """
  [runners.cache]
    Type = "s3"
    Shared = true
    [runners.cache.s3]
      ServerAddress = "{address}"
      BucketName = "objects"
      BucketLocation = "us-east-1"
      AccessKey = "any"
      SecretKey = "any"
      Insecure = true
"""


class Farm:
    """A running farm."""

    def __init__(self, cluster: Cluster, gitlab: Coordinator, folder: Path) -> None:
        self.cluster = cluster
        self.gitlab = gitlab
        self.folder = folder

    def submit(self, script: list[str], *, image: str = "localhost/busybox:1", **changes: Any) -> Job:
        """Let a job wait for the Runner; `changes` as for `payload`."""
        return self.gitlab.submit(payload(script, image={"name": image, "entrypoint": [""]}, **changes))

    def call_runner(self, *words: str) -> str:
        """Run a command of gitlab-runner in the cluster's network; return what it says."""
        return gitlab_runner.call(self.cluster.inside, self.folder, *words)

    @property
    def runner_log(self) -> str:
        """The Runner's own log."""
        return (self.folder / "runner.log").read_text()


@contextlib.contextmanager
def running_farm(cluster: Cluster, folder: Path, *, namespace: str) -> Iterator[Farm]:
    """Load the helper image and run coordinator and Runner."""
    load_images(cluster, "helper")
    settings = folder / "settings.toml"
    settings.write_text(_SETTINGS.format(kubeconfig=cluster.kubeconfig("driver"), namespace=namespace))
    repositories = folder / "repositories"
    repositories.mkdir()
    listener = listener_inside(cluster.init, address=NODE_ADDRESS)
    with Coordinator(listener=listener, address=NODE_ADDRESS, repositories=repositories) as gitlab:
        config = gitlab_runner.filled_in(
            (CHECKOUT / "config.toml.example").read_text(),
            url=gitlab.url,
            token=gitlab.runner_token,
            settings=settings,
            more=_CACHE.format(address=gitlab.url.removeprefix("http://")),
        )
        with gitlab_runner.running(cluster.inside, folder, config):
            yield Farm(cluster, gitlab, folder)


def load_images(cluster: Cluster, *names: str) -> None:
    """Build the images of images/ where they are missing, and load them into the cluster once."""
    made = subprocess.run([CHECKOUT / "scripts/images", *names], check=True, stdout=subprocess.PIPE, text=True)
    for name in names:
        cluster.load(Path(made.stdout.strip()) / f"{name}.tar")
