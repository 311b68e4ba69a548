"""The pod of deploy/delegate on a real cluster, seen from outside: a stock nginx, the gateway, a foreign image."""

import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from tests.labs.cluster.images import write_image_of_programs
from tests.labs.cluster.lab import NAMESPACE, ClusterLab
from tests.labs.farm.delegate_pod import Service, running_pod
from tests.labs.waiting import wait_until

OVERLAY = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: {namespace}
resources: [deploy/delegate]
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


@pytest.fixture(scope="module")
def service(lab: ClusterLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    if lab.cluster is None:
        pytest.skip("our images are loaded into a cluster of our own")
    folder = tmp_path_factory.mktemp("delegate")
    lab.cluster.load(write_image_of_programs(folder, "python", "/usr/bin/python3", also=("/usr/lib/python3.11",)))
    with running_pod(lab, folder, "delegate", OVERLAY.format(namespace=NAMESPACE)) as made:
        yield made


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
