"""The pod of deploy/delegate on a cluster, as it is or under an overlay, and what a client in the cluster's network sees."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.labs.checkout import ROOT
from tests.labs.cluster.images import write_image_of_programs
from tests.labs.cluster.lab import NAMESPACE, ClusterLab
from tests.labs.farm.farm import load_images
from tests.labs.waiting import wait_until

TOKEN = "secret"
_ASK = """
import http.client, sys
address, body, path = sys.argv[1], sys.argv[2].encode(), "/v1/run"
for _ in range(5):
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("POST", path, body, {"Authorization": "Bearer secret", "Content-Type": "application/octet-stream"})
    answer = connection.getresponse()
    data = answer.read()
    if answer.status != 307:
        break
    path = answer.headers["Location"]
    if sys.argv[3:]:
        sys.exit(print(path))
print(answer.status, answer.headers.get("Delegate-Cache"), data.decode().strip())
"""


@dataclasses.dataclass
class Service:
    """The deployment, asked as a client in the cluster's network would."""

    lab: ClusterLab
    name: str
    """What the label app.kubernetes.io/name of its pods says."""

    def pod(self) -> dict[str, Any]:
        """Return the newest pod."""
        items = json.loads(self.lab.kubectl("get", "pods", "-n", NAMESPACE, "-l", self._selector, "-o", "json"))["items"]
        found: dict[str, Any] = max(items, key=lambda pod: pod["metadata"]["creationTimestamp"])
        return found

    def endpoint(self) -> str:
        """Return the address of a pod that is ready: what the service would choose."""
        slices = self.lab.kubectl("get", "endpointslices", "-n", NAMESPACE, "-l", self._selector, "-o", "json")
        for each in json.loads(slices)["items"]:
            for endpoint in each.get("endpoints") or []:
                if endpoint["conditions"].get("ready"):
                    return f"{endpoint['addresses'][0]}:8000"
        return ""

    @property
    def _selector(self) -> str:
        return f"app.kubernetes.io/name={self.name}"

    def ready_address(self) -> str:
        """Return the address of a pod that is ready, once there is one."""
        found = ""

        def is_there() -> bool:
            nonlocal found
            found = self.endpoint()
            return bool(found)

        wait_until(is_there)
        return found

    def ask(self, body: str) -> list[str]:
        """Return status, state of the cache, answer. After a container's end the pod may leave the service for a while."""
        return self.ask_at(self.ready_address(), body)

    def ask_at(self, address: str, body: str) -> list[str]:
        """Return status, state of the cache and answer."""
        argv = [*self.lab.inside, sys.executable, "-c", _ASK, address, body]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()

    def address(self, body: str) -> str:
        """Return the address that a request's result has now, without asking for it."""
        argv = [*self.lab.inside, sys.executable, "-c", _ASK, self.ready_address(), body, "address"]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()

    def call(self, body: str) -> "subprocess.CompletedProcess[str]":
        """Use `spack-farm delegate call`, which tries again."""
        (token := Path(f"/tmp/spack-farm-token-{os.getpid()}")).write_text(TOKEN)
        argv = [*self.lab.inside, sys.executable, "-m", "delegate", "call", f"http://{self.ready_address()}"]
        argv += ["--token-file", str(token), "--timeout", "60"]
        try:
            return subprocess.run(argv, cwd=ROOT, input=body, capture_output=True, text=True, check=False)
        finally:
            token.unlink()

    def inside(self, script: str) -> str:
        """Run a script in the worker's container."""
        return self.lab.kubectl(
            "exec", "-n", NAMESPACE, self.pod()["metadata"]["name"], "-c", "worker", "--", "sh", "-c", script
        )

    def kill(self, container: str) -> None:
        """Kill a container's first process from outside, and wait until it is started again."""

        def state() -> dict[str, Any]:
            statuses = self.pod()["status"]["containerStatuses"]
            found: dict[str, Any] = next(each for each in statuses if each["name"] == container)
            return found

        before = state()
        identity = before["containerID"].removeprefix("containerd://")
        assert self.lab.cluster
        ctr = ["ctr", "--address", f"{self.lab.cluster.home}/containerd.sock", "--namespace", "k8s.io"]
        subprocess.run([*ctr, "task", "kill", "--signal", "SIGKILL", identity], check=True)
        wait_until(lambda: state()["restartCount"] > before["restartCount"] and "running" in state()["state"])
        # the pod counts as ready for some seconds more; until its parts have found each other it answers 503
        wait_until(lambda: self.ask("one")[0] != "503")


@contextlib.contextmanager
def running_pod(lab: ClusterLab, folder: Path, name: str, overlay: str) -> Iterator[Service]:
    """Load our image and a stock nginx, apply an overlay of the base `deploy/NAME`; yield the service once it is ready.

    The overlay makes the secret `delegate-tokens` with `TOKEN`. Files that it names lie in `folder`.
    """
    assert lab.cluster
    load_images(lab.cluster, "delegate")
    lab.cluster.load(write_image_of_programs(folder, "nginx", "/usr/sbin/nginx"))
    (folder / "deploy").symlink_to(ROOT / "deploy")
    (folder / "kustomization.yaml").write_text(overlay)
    rendered = lab.kubectl("kustomize", "--load-restrictor", "LoadRestrictionsNone", str(folder))
    lab.kubectl("apply", "-f", "-", text=rendered)
    try:
        made = Service(lab, name)
        made.ready_address()
        yield made
    finally:
        lab.kubectl("delete", "-f", "-", "--grace-period=0", "--force", "--wait=false", text=rendered)
