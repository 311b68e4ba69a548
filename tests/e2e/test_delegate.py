"""The pod of deploy/delegate on a real cluster, seen from outside: a stock nginx, the gateway, a foreign image."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.labs.checkout import ROOT
from tests.labs.cluster.images import write_image_of_programs
from tests.labs.cluster.lab import NAMESPACE, ClusterLab
from tests.labs.farm.farm import load_images
from tests.labs.waiting import wait_until

OVERLAY = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: {namespace}
resources: [deploy]
images:
  - {{name: spack-farm-delegate, newName: localhost/spack-farm-delegate, newTag: "1"}}
  - {{name: worker, newName: localhost/python, newTag: "1"}}
  - {{name: nginx, newName: localhost/nginx, newTag: "1"}}
secretGenerator:
  - {{name: delegate-tokens, literals: [tokens=secret]}}
patches:
  - target: {{kind: Deployment, name: delegate}}
    patch: |
      - op: replace
        path: /spec/template/spec/containers/2/args
        value:
          - --fingerprint
          - cat /tmp/input 2>/dev/null || echo none
          - --
          - sh
          - -c
          - |
            echo >> /tmp/runs
            read -r what rest
            [ $what != sleep ] || sleep ${{rest%% *}}
            cat /tmp/input 2>/dev/null || echo none
      - op: replace
        path: /spec/template/spec/containers/2/resources
        value: {{requests: {{cpu: 50m, memory: 64Mi}}}}
"""
ASK = """
import http.client, sys
address, body, path = sys.argv[1], sys.argv[2].encode(), "/v1/run"
for _ in range(5):
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("POST", path, body, {"Authorization": "Bearer secret"})
    answer = connection.getresponse()
    data = answer.read()
    if answer.status != 307:
        break
    path = answer.headers["Location"]
print(answer.status, answer.headers.get("Delegate-Cache"), data.decode().strip())
"""


@dataclasses.dataclass
class Service:
    """The deployment, asked as a client in the cluster's network would."""

    lab: ClusterLab

    def pod(self) -> dict[str, Any]:
        """Return the newest pod."""
        items = json.loads(self.lab.kubectl("get", "pods", "-n", NAMESPACE, "-l", SELECTOR, "-o", "json"))["items"]
        found: dict[str, Any] = max(items, key=lambda pod: pod["metadata"]["creationTimestamp"])
        return found

    def endpoint(self) -> str:
        """Return the address of a pod that is ready: what the service would choose."""
        slices = self.lab.kubectl("get", "endpointslices", "-n", NAMESPACE, "-l", SELECTOR, "-o", "json")
        for each in json.loads(slices)["items"]:
            for endpoint in each.get("endpoints") or []:
                if endpoint["conditions"].get("ready"):
                    return f"{endpoint['addresses'][0]}:8000"
        return ""

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
        argv = [*self.lab.inside, sys.executable, "-c", ASK, address, body]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()

    def call(self, body: str) -> "subprocess.CompletedProcess[str]":
        """Use `spack-farm delegate call`, which tries again."""
        (token := Path(f"/tmp/spack-farm-token-{os.getpid()}")).write_text("secret")
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


SELECTOR = "app.kubernetes.io/name=delegate"


@pytest.fixture(scope="module")
def service(lab: ClusterLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    if lab.cluster is None:
        pytest.skip("our images are loaded into a cluster of our own")
    folder = tmp_path_factory.mktemp("delegate")
    load_images(lab.cluster, "delegate")
    lab.cluster.load(write_image_of_programs(folder, "nginx", "/usr/sbin/nginx"))
    lab.cluster.load(write_image_of_programs(folder, "python", "/usr/bin/python3", also=("/usr/lib/python3.11",)))
    (folder / "overlay").mkdir()
    (folder / "overlay/deploy").symlink_to(ROOT / "deploy/delegate")
    (folder / "overlay/kustomization.yaml").write_text(OVERLAY.format(namespace=NAMESPACE))
    rendered = lab.kubectl("kustomize", "--load-restrictor", "LoadRestrictionsNone", str(folder / "overlay"))
    lab.kubectl("apply", "-f", "-", text=rendered)
    made = Service(lab)
    made.ready_address()
    yield made
    lab.kubectl("delete", "-f", "-", "--grace-period=0", "--force", "--wait=false", text=rendered)


@pytest.mark.timeout(300)
def test_the_pod_computes_keeps_results_and_survives_the_death_of_each_container(service: Service) -> None:
    service.inside("rm -f /tmp/runs")  # of the tests before
    assert service.ask("one") == ["200", "MISS", "none"]
    assert service.ask("one") == ["200", "HIT", "none"]
    service.inside("echo two > /tmp/input")
    assert service.ask("one") == ["200", "MISS", "two"]
    assert service.inside("wc -l < /tmp/runs").strip() == "2"

    service.kill("nginx")
    assert service.ask("one") == ["200", "HIT", "two"], "the cache outlives nginx"
    for container in ("worker", "gateway"):
        service.kill(container)
        assert service.ask("one") == ["200", "HIT", "two"]
        assert service.ask(f"after the {container}") == ["200", "MISS", "two"]

    calling = threading.Thread(target=lambda: answers.append(service.call("sleep 4")))
    answers: list[subprocess.CompletedProcess[str]] = []
    calling.start()
    wait_until(lambda: service.inside("wc -l < /tmp/runs").strip() == "5")
    service.kill("worker")
    calling.join()
    assert (answers[0].returncode, answers[0].stdout) == (0, "two\n"), answers[0].stderr


@pytest.mark.timeout(300)
def test_a_rollout_loses_no_request(service: Service) -> None:
    over, answers = threading.Event(), list[list[str]]()

    def ask(number: int) -> None:
        while not over.is_set():
            answers.append(service.ask_at(service.endpoint(), f"sleep 0.5 {number} {time.monotonic_ns()}"))

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for client in clients:
        client.start()
    before = service.pod()["metadata"]["name"]
    service.lab.kubectl("rollout", "restart", "-n", NAMESPACE, "deployment/delegate")
    wait_until(lambda: not service.lab.kubectl("get", "pod", "-n", NAMESPACE, before, "--ignore-not-found"))
    over.set()
    for client in clients:
        client.join()
    assert len(answers) > 10
    assert {answer[0] for answer in answers} == {"200"}, answers
