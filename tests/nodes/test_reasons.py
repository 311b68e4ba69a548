"""Promise: a pod that waits has its reason within ten seconds, also between two decisions; it is written on change only."""

import datetime as dt
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.labs.nodes.plugin import NodesLab
from tests.labs.nodes.service import Service
from tests.labs.waiting import wait_until

Start = Callable[..., Service]
MOST_SECONDS = 10.0
STARTING = {"key": "node.spack.io/certificate-pending", "effect": "NoSchedule"}


def reason(farm: NodesLab, name: str) -> dict[str, Any]:
    text = farm.pods()[name]["metadata"].get("annotations", {}).get("spack-farm.io/waiting", "{}")
    found: dict[str, Any] = json.loads(text)
    return found


def tainted_pool(farm: NodesLab) -> str:
    return f"""
[caps]
most_nodes = 2
[[pools]]
name = "{farm.name}-tainted"
hand = "kwok"
labels = {{farm = "{farm.name}", tainted = "yes"}}
taints = [{{key = "only", value = "others"}}]
types = [{{name = "small", cpu = "4", memory = "16Gi", price_per_hour = 0.5}}]
"""


@pytest.mark.timeout(400)
def test_each_waiting_pod_says_why_soon_and_once(farm: NodesLab, start: Start) -> None:
    farm.add_node("full", cpu="8", labels={"node.kubernetes.io/instance-type": "large"})
    farm.add_job("busy", cpu="8")
    wait_until(lambda: farm.phase("busy") == "Running")
    new = farm.add_node("new", cpu="8", taints=[STARTING], labels={"node.kubernetes.io/instance-type": "large"})
    start(top=tainted_pool(farm), tick_seconds=10, boot_seconds=120)
    farm.add_job("first", cpu="64")
    wait_until(lambda: reason(farm, "first"))
    time.sleep(1)  # a decision has just been made: the next one is ten seconds away
    jobs: dict[str, dict[str, Any]] = {
        "node_booting": {"cpu": "7"},
        "pool_at_limit": {"cpu": "6"},  # the larger one has the room
        "fits_no_type": {"cpu": "64"},
        "taint": {"nodeSelector": {"farm": farm.name, "tainted": "yes"}},
        "unknown": {"nodeSelector": {"farm": farm.name, "no-such": "label"}},
    }
    began = time.monotonic()
    for kind, what in jobs.items():
        farm.add_job(kind.replace("_", "-"), **what)
    names = {kind: kind.replace("_", "-") for kind in jobs}
    wait_until(lambda: all(reason(farm, name) for name in names.values()))
    assert time.monotonic() - began < MOST_SECONDS
    found = {kind: reason(farm, name) for kind, name in names.items()}
    assert {kind: one["reason"] for kind, one in found.items()} == {kind: kind for kind in jobs}, found
    assert dt.datetime.fromisoformat(found["node_booting"]["expected_start"]) > dt.datetime.now(tz=dt.UTC)
    assert "asks for 64 cores" in found["fits_no_type"]["detail"]
    assert found["fits_no_type"]["exceeds"] == ["cpu"]

    patches = f"PATCH /api/v1/namespaces/{farm.name}/pods"
    before = farm.api.count(patches)
    second = start(top=tainted_pool(farm), tick_seconds=1, boot_seconds=120, service='lease = "another"')
    wait_until(second.leads)
    time.sleep(3)
    assert farm.api.count(patches) == before, "another controller finds the same and writes nothing"
    farm.plane.call("PATCH", f"/api/v1/nodes/{new}", {"spec": {"taints": []}})
    wait_until(lambda: farm.phase("node-booting") == "Running")
    wait_until(lambda: not reason(farm, "node-booting"))
