"""Promise: beside another autoscaler room is asked for by pods or by CapacityBuffers, and no node is touched."""

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from autoscaler.cluster.api import connect
from autoscaler.errors import BadRequest, NotLeader
from autoscaler.service.buffers import Buffers
from autoscaler.service.expected import Expected
from tests.labs.autoscaler import pool, size
from tests.labs.checkout import ROOT
from tests.labs.nodes.plugin import NodesLab
from tests.labs.nodes.service import Service
from tests.labs.waiting import wait_until

KIND = "/apis/autoscaling.x-k8s.io/v1beta1"


def apply_priority(farm: NodesLab) -> None:
    kubectl = [f"{farm.plane.programs}/kubectl", "--kubeconfig", str(farm.plane.kubeconfig()), "apply", "-f"]
    subprocess.run([*kubectl, str(ROOT / "deploy/autoscaler/namespace.yaml")], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*kubectl, str(ROOT / "deploy/autoscaler/disruption.yaml")], check=True, stdout=subprocess.DEVNULL)


def room(count: int, *, cores: float = 4) -> Expected:
    return Expected(kind="ahead", pool=pool("builds"), type="large", size=size(cores, 8), count=count)


class Buffered:
    """The buffers of a test, and what the API server has of them."""

    def __init__(self, farm: NodesLab) -> None:
        self.farm, self.leads = farm, True
        self.api = connect(str(farm.kubeconfig()), namespace=farm.name)
        self.api.sleep = lambda _seconds: None
        self.buffers = Buffers(self.api, owner="ours")

    def apply(self, *expected: Expected) -> int:
        return self.buffers.apply(expected, at=1.0, fence=self.fence)

    def fence(self) -> None:
        if not self.leads:
            raise NotLeader("another controller leads")

    def there(self) -> dict[str, dict[str, Any]]:
        found = self.farm.plane.call("GET", f"{KIND}/namespaces/{self.farm.name}/capacitybuffers")["items"]
        return {one["metadata"]["name"]: one for one in found}

    def templates(self) -> set[str]:
        found = self.farm.plane.call("GET", f"/api/v1/namespaces/{self.farm.name}/podtemplates")["items"]
        return {one["metadata"]["name"] for one in found}


@pytest.fixture
def buffered(farm: NodesLab) -> Buffered:
    farm.plane.add_karpenters_kinds()
    return Buffered(farm)


def test_a_buffer_is_made_follows_and_goes(buffered: Buffered, farm: NodesLab) -> None:
    one = room(2)
    assert buffered.apply(one) == 2
    (found,) = buffered.there().values()
    assert found["spec"]["replicas"] == 2
    assert found["spec"]["podTemplateRef"]["name"] == one.name
    assert found["metadata"]["labels"]["spack-farm.io/owner"] == "ours"
    assert buffered.templates() == {one.name}
    before = len(farm.api.changes())
    assert buffered.apply(one) == 0
    assert len(farm.api.changes()) == before, "what is right is not written again"
    assert buffered.apply(room(5)) == 3
    assert buffered.there()[one.name]["spec"]["replicas"] == 5
    farm.plane.call(
        "PATCH", f"{KIND}/namespaces/{farm.name}/capacitybuffers/{one.name}", {"spec": {"replicas": 100}}
    )  # fmt: skip
    buffered.apply(room(1))
    assert buffered.there()[one.name]["spec"]["replicas"] == 1, "what somebody has changed is put right"
    other = room(1, cores=8)
    buffered.apply(other)
    assert buffered.there().keys() == buffered.templates() == {other.name}, "another shape is another template"
    assert buffered.apply() == 0
    assert (buffered.there(), buffered.templates()) == ({}, set())


def test_buffers_of_others_are_left_alone_and_a_controller_that_does_not_lead_changes_nothing(
    buffered: Buffered, farm: NodesLab
) -> None:
    body = {
        "apiVersion": "autoscaling.x-k8s.io/v1beta1", "kind": "CapacityBuffer", "metadata": {"name": "theirs"},
        "spec": {"podTemplateRef": {"name": "x"}, "replicas": 3},
    }  # fmt: skip
    farm.plane.call("POST", f"{KIND}/namespaces/{farm.name}/capacitybuffers", body)
    buffered.apply(room(1))
    buffered.leads = False
    for expected in ((), (room(2),)):
        with pytest.raises(NotLeader):
            buffered.apply(*expected)
    buffered.leads = True
    buffered.apply()
    assert list(buffered.there()) == ["theirs"]


def test_a_cluster_without_buffers_is_named_with_the_way_out(buffered: Buffered, farm: NodesLab) -> None:
    fault = farm.api.add("GET .*capacitybuffers", status=404, times=99)
    with pytest.raises(BadRequest, match='placeholders = "pods"'):
        buffered.apply(room(1))
    assert fault.seen == 3, "each version of the kind is asked for"
    farm.api.clear()
    assert buffered.apply(room(1)) == 1, "it may be installed later"


def test_the_warm_floor_is_held_by_pods_that_yield_and_no_node_is_touched(
    farm: NodesLab, start: Callable[..., Service]
) -> None:
    apply_priority(farm)
    idle = farm.add_node("theirs", cpu="8")
    top = f'mode = "hints"\nwarm = [{{pool = "{farm.name}", idle_count = 2}}]'
    service = start(top=top)

    def held() -> list[str]:
        return [
            name for name, one in farm.pods().items()
            if "spack-farm.io/pause" in one["metadata"]["labels"] and one["spec"].get("nodeName") == idle
            and "deletionTimestamp" not in one["metadata"]
        ]  # fmt: skip

    # A slot is 4 cores and 16 GB: two of them fit the node of 8 cores only if both are there and nothing else is.
    wait_until(lambda: len(held()) == 2)
    farm.add_job("job", cpu="3")
    wait_until(lambda: farm.phase("job") == "Running")
    assert len(held()) <= 1, "a placeholder yields"
    farm.plane.call("DELETE", f"/api/v1/namespaces/{farm.name}/pods/job", {"gracePeriodSeconds": 0})
    wait_until(lambda: len(held()) == 2)
    assert not farm.is_cordoned(idle)
    assert not [call for call in farm.api.changes() if "/nodes" in call]
    assert service.process.poll() is None
