"""A whole farm for tests: coordinators in the cluster's network, a real Runner with config.toml.example, our driver.

The same Runner has the official Kubernetes executor and the shell executor beside ours, each with a coordinator of its own
(`official`, `shell`): peers for benches, and other ways to run a job. Jobs are payloads; their results are in their `Job`.
"""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fakes.coordinator.jobs import Job
from tests.fakes.coordinator.server import Coordinator
from tests.fakes.runner_script import payload
from tests.labs.checkout import ROOT
from tests.labs.cluster.cluster import Cluster
from tests.labs.cluster.parts import NODE_ADDRESS, SERVER
from tests.labs.farm import gitlab_runner
from tests.labs.farm.network import listener_inside

__all__ = ["Coordinator", "Farm", "Job", "load_images", "payload", "plain", "running_farm", "settings_text"]
_TIMESTAMP = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z [0-9a-f]{2}[OE]([ +])", re.MULTILINE)
_SETTINGS = """
[kubernetes]
namespace = "{namespace}"
kubeconfig = "{kubeconfig}"
helper_image = "localhost/spack-farm-helper:1"
pull_policy = "{pull_policy}"
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
_OTHERS = """
[[runners]]
  name = "official"
  url = "{official}"
  token = "glrt-official"
  executor = "kubernetes"
  shell = "bash"
  [runners.kubernetes]
    host = "{server}"
    bearer_token = "admintoken"
    ca_file = "{home}/pki/ca.crt"
    namespace = "{namespace}"
    helper_image = "localhost/spack-farm-helper:1"
    pull_policy = ["{pull_policy}"]
    poll_interval = 1
{official_settings}
[[runners]]
  name = "shell"
  url = "{shell}"
  token = "glrt-shell"
  executor = "shell"
  shell = "bash"
  builds_dir = "{folder}/builds"
  cache_dir = "{folder}/cache"
  pre_build_script = "export PATH={folder}/bin:$PATH"
"""


class Farm:
    """A running farm."""

    def __init__(self, cluster: Cluster, sides: dict[str, Coordinator], folder: Path, manager: int) -> None:
        self.cluster = cluster
        self.gitlab, self.official, self.shell = (sides[name] for name in ("ours", "official", "shell"))
        self.folder = folder
        self.manager = manager
        """Process id of the Runner."""

    def submit(self, script: list[str], *, image: str = "localhost/busybox:1", **changes: Any) -> Job:
        """Let a job wait for the Runner; `changes` as for `payload`."""
        return self.gitlab.submit(payload(script, image={"name": image, "entrypoint": [""]}, **changes))

    def call_runner(self, *arguments: str) -> str:
        """Run a command of gitlab-runner in the cluster's network; return its output."""
        return gitlab_runner.call(self.cluster.inside, self.folder, *arguments)

    @property
    def runner_log(self) -> str:
        """The Runner's own log."""
        return (self.folder / "runner.log").read_text()


@contextlib.contextmanager
def running_farm(
    cluster: Cluster, folder: Path, *, namespace: str, pull_policy: str = "never", more: str = ""
) -> Iterator[Farm]:
    """Load the helper image and run coordinator and Runner.

    `more` are further lines for `[kubernetes]` of both the driver and the official executor.
    """
    load_images(cluster, "helper")
    settings = folder / "settings.toml"
    settings.write_text(settings_text(cluster, namespace=namespace, pull_policy=pull_policy) + more)
    repositories = folder / "repositories"
    repositories.mkdir()
    with contextlib.ExitStack() as held:
        sides = {}
        for name in ("ours", "official", "shell"):
            side = Coordinator(
                listener=listener_inside(cluster.init, address=NODE_ADDRESS),
                address=NODE_ADDRESS,
                repositories=repositories,
                runner_token=f"glrt-{name}",
            )
            sides[name] = held.enter_context(side)
        others = {name: side.url for name, side in sides.items()} | {"server": SERVER, "home": str(cluster.home)}
        others |= {"official_settings": more, "pull_policy": pull_policy}
        config = gitlab_runner.filled_in(
            (ROOT / "config.toml.example").read_text(),
            url=sides["ours"].url,
            token=sides["ours"].runner_token,
            settings=settings,
            more=_CACHE.format(address=sides["ours"].url.removeprefix("http://"))
            + _OTHERS.format_map(others | {"namespace": namespace, "folder": str(folder)}),
        )
        manager = held.enter_context(gitlab_runner.running(cluster.inside, folder, config))
        yield Farm(cluster, sides, folder, manager.pid)


def settings_text(cluster: Cluster, *, namespace: str, pull_policy: str = "never") -> str:
    """Return the driver's settings for a cluster of ours."""
    return _SETTINGS.format(kubeconfig=cluster.kubeconfig("driver"), namespace=namespace, pull_policy=pull_policy)


def load_images(cluster: Cluster, *names: str) -> None:
    """Build the images of images/ where they are missing, and load them into the cluster once."""
    made = subprocess.run([ROOT / "scripts/images", *names], check=True, stdout=subprocess.PIPE, text=True)
    for archive in made.stdout.splitlines():
        cluster.load(Path(archive))


def plain(text: str) -> str:
    """Return a job log without the Runner's timestamps and colors."""
    joined = re.sub(r"\n\d{4}-\d\d-\d\dT[\d:.]+Z [0-9a-f]{2}[OE]\+", "", "\n" + text)
    return re.sub(r"\x1b\[[0-9;]*[mK]", "", _TIMESTAMP.sub("", joined))
