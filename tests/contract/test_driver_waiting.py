"""Promise: no job waits in silence: the autoscaler's reason is in its log once, and a job that fits no node ends soon."""

import contextlib
import json
import threading
import time
from typing import Any

import pytest

from tests.fakes.kube.server import FakeCluster
from tests.fakes.kube.store import ApiError
from tests.labs.backends.lab import ContractLab

NO_ROOM = "0/3 nodes are available: 3 Insufficient memory."
CAPS = 'memory_request = "1Gi"\nmemory_request_overwrite_max_allowed = "999Gi"\n'


def annotate(cluster: FakeCluster, reason: str, **more: Any) -> None:
    text = json.dumps({"version": 1, "reason": reason, **more})

    def write(pod: dict[str, Any]) -> None:
        pod["metadata"].setdefault("annotations", {})["spack-farm.io/waiting"] = text

    for pod in cluster.store.list("pods"):
        with contextlib.suppress(ApiError):  # it was deleted meanwhile
            cluster.store.change("pods", pod["metadata"]["name"], write)


def test_a_reason_is_in_the_log_once_and_again_when_it_changes(lab: ContractLab, cluster: FakeCluster) -> None:
    cluster.kubelet.unschedulable = NO_ROOM
    runner = lab.runner()

    def decide() -> None:
        annotate(cluster, "pool_at_limit", detail="the pool linux has its 6 nodes")
        for number in range(3):
            time.sleep(0.2)
            annotate(
                cluster, "node_booting", detail=f"m5.large new-{number} boots for it", expected_start="2099-01-01T00:00:00Z"
            )
        time.sleep(0.2)
        cluster.kubelet.unschedulable = ""

    runner.when("waiting: 0/3 nodes", threading.Thread(target=decide).start)
    outcome = runner.run(lab.job(["true"]))
    assert outcome.state == "success", outcome.text
    lines = [line for line in outcome.text.splitlines() if line.startswith(("waiting:", "waiting ("))]
    assert [line.partition(":")[0] for line in lines] == ["waiting", "waiting (pool_at_limit)", "waiting (node_booting)"]
    assert "the pool linux has its 6 nodes" in lines[1]
    assert "m5.large new-0 boots for it; expected to start in " in lines[2]


@pytest.mark.parametrize(
    ("variables", "reason", "attempts", "whose"),
    [
        ({"KUBERNETES_MEMORY_REQUEST": "500Gi"}, "script_failure", 1, "lower the job's KUBERNETES_* sizes"),
        ({}, "runner_system_failure", 3, "lower the sizes in [kubernetes]"),
    ],
)
def test_a_job_that_fits_no_node_ends_within_half_a_minute(
    lab: ContractLab, cluster: FakeCluster, *, variables: dict[str, str], reason: str, attempts: int, whose: str
) -> None:
    """As the job's own failure if it asked for the size; what it asks for and the largest type are named."""
    cluster.kubelet.unschedulable = NO_ROOM
    over = threading.Event()

    def decide() -> None:
        while not over.wait(0.2):
            annotate(
                cluster, "fits_no_type", detail="it asks for 500 GiB; the largest type, r5, has 62 GiB", exceeds=["memory"]
            )

    deciding = threading.Thread(target=decide)
    deciding.start()
    began = time.monotonic()
    outcome = lab.runner(CAPS).run(lab.job(["true"], variables=variables))
    over.set()
    deciding.join()
    assert 15 < time.monotonic() - began < 30
    assert (outcome.reason, outcome.stages.count("prepare")) == (reason, attempts), outcome.text
    assert outcome.text.count("waiting (fits_no_type): this pod is larger than any node that can be ordered") == attempts
    assert f"it asks for 500 GiB; the largest type, r5, has 62 GiB; {whose}" in outcome.text
    assert cluster.store.list("pods") == []
