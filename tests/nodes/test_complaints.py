"""Each complaint about another autoscaler that has no test elsewhere, on a real API server: docs/faults.md has the list."""

import json
import time
from collections.abc import Callable
from typing import Any

from tests.labs.nodes.objects import pod
from tests.labs.nodes.plugin import NodesLab
from tests.labs.nodes.service import TICK_SECONDS, Service
from tests.labs.waiting import wait_until

Start = Callable[..., Service]
LARGE = {"cpu": "8", "memory": "32Gi", "labels": {"node.kubernetes.io/instance-type": "large"}}


def bind(farm: NodesLab, name: str, node: str, **what: Any) -> None:
    """Create a pod of the farm that is bound already; one that is no job goes with its node."""
    body = pod(name, node_name=node, **{"labels": farm.job_labels} | what)
    if what.get("job") is False:
        uid = (farm.node(node) or {})["metadata"]["uid"]
        body["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid}]
    farm.plane.call("POST", f"/api/v1/namespaces/{farm.name}/pods", body)


def waiting(farm: NodesLab, name: str) -> dict[str, Any]:
    """Return why a pod waits, as its annotation says."""
    text = farm.pods()[name]["metadata"].get("annotations", {}).get("spack-farm.io/waiting", "{}")
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_big_job_gets_a_node_although_the_total_of_free_room_is_larger(farm: NodesLab, start: Start) -> None:
    """Escalator 224: each node has room, and none has enough. Karpenter 2084: the idle node goes, not a busy one."""
    for number in range(3):
        bind(farm, f"b{number}", farm.add_node(f"n{number}", **LARGE), cpu="4")
    farm.add_node("idle", cpu="2", memory="4Gi", labels={"node.kubernetes.io/instance-type": "small"})
    service = start()
    farm.add_job("big", cpu="6")
    wait_until(lambda: farm.phase("big") == "Running")
    wait_until(lambda: farm.node(f"{farm.name}-idle") is None)
    assert len(farm.nodes()) == 4
    assert all(farm.phase(f"b{number}") == "Running" for number in range(3))
    assert len(service.did("launch")) == 1
    assert farm.api.count("eviction") == 0, "no pod is ever evicted"


def test_what_daemonsets_take_is_not_promised_to_jobs(farm: NodesLab, start: Start) -> None:
    """Escalator 154, cluster-autoscaler 8258: a job that fits no node for that is named, and idle nodes go all the same."""
    full = farm.add_node("full", **LARGE)
    bind(farm, "daemon", full, cpu="4", job=False)
    bind(farm, "b", full, cpu="1")
    farm.add_node("idle", cpu="2", memory="4Gi", labels={"node.kubernetes.io/instance-type": "small"})
    start()
    farm.add_job("job", cpu="5")
    wait_until(lambda: waiting(farm, "job").get("reason") == "fits_no_type")
    wait_until(lambda: list(farm.nodes()) == [full])
    time.sleep(4 * TICK_SECONDS)
    assert list(farm.nodes()) == [full], "nothing is ordered for it"


def test_at_the_limit_a_cordoned_node_is_taken_back(farm: NodesLab, start: Start) -> None:
    """Escalator 107: stuck at max_nodes, with nodes that it had tainted itself."""
    name = farm.add_node("n", **LARGE)
    service = start(top="[caps]\nmost_nodes = 1")
    wait_until(lambda: farm.is_cordoned(name))
    farm.add_job("job", cpu="6")
    wait_until(lambda: farm.phase("job") == "Running")
    assert not farm.is_cordoned(name)
    assert service.did("uncordon")
    assert not service.did("launch")


def test_a_cloud_without_capacity_is_asked_again_and_gets_no_more_than_what_is_needed(farm: NodesLab, start: Start) -> None:
    """Escalator PR 294: 600 were desired and 100 ran. KEDA 6157, cluster-autoscaler 687: what boots was ordered again."""
    farm.api.add("POST /api/v1/nodes", status=503, times=5)
    service = start(boot_seconds=60)
    for number in range(2):
        farm.add_job(f"j{number}", cpu="6")
    wait_until(lambda: all(farm.phase(f"j{number}") == "Running" for number in range(2)))
    time.sleep(6 * TICK_SECONDS)
    assert len(farm.nodes()) == 2
    assert farm.api.count("POST /api/v1/nodes .*201") == 2
    assert service.did("launch", "failed")


def test_a_node_that_the_cloud_takes_is_a_loss_and_never_ended_by_us(farm: NodesLab, start: Start) -> None:
    """Its job runs as long as it can, another node comes for it, and no other job starts there."""
    name = farm.add_node("spot", **LARGE)
    bind(farm, "job", name, cpu="6")
    service = start(boot_seconds=60)
    wait_until(service.leads)
    taint = {"key": "aws-node-termination-handler/spot-itn", "effect": "NoSchedule"}
    farm.plane.call("PATCH", f"/api/v1/nodes/{name}", {"spec": {"taints": [taint]}})
    wait_until(lambda: len(farm.nodes()) == 2)
    wait_until(lambda: (farm.node(name) or {})["spec"].get("unschedulable"))
    time.sleep(4 * TICK_SECONDS)
    assert farm.phase("job") == "Running"
    assert not service.did("remove")
    assert len(farm.nodes()) == 2, "it is replaced once"


def test_a_pod_that_its_manager_has_left_goes_and_one_whose_job_runs_stays(farm: NodesLab, start: Start) -> None:
    """The driver writes what became of a job and deletes the pod at once: one that stays for long was left."""
    name = farm.add_node("n", **LARGE)
    for job, outcome in ((1, "script_failed"), (2, "")):
        notes = {"spack-farm.io/outcome": outcome} if outcome else {}
        bind(farm, f"j{job}", name, annotations=notes, labels=farm.job_labels | {"spack-farm.io/job-id": str(job)})
    service = start(top="orphan_seconds = 2")
    wait_until(lambda: "j1" not in farm.pods())
    wait_until(lambda: service.did("delete_pod"))
    time.sleep(4 * TICK_SECONDS)
    assert farm.phase("j2") == "Running"
    assert service.did("delete_pod")[0]["reason"] == "orphan"
