"""The autoscaler's hands on real Karpenter, and its service at 1,000 nodes and 10,000 pods, on simulated nodes.

usage: scripts/prove autoscaler-live [--nodes N] [--pods N] [--record]
"""

import argparse
import concurrent.futures
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from autoscaler.cluster.api import connect
from autoscaler.cluster.objects import NodeObject
from autoscaler.cluster.reading import Selection, read_node
from autoscaler.hands.nodeclaim import NodeClaimHand
from autoscaler.policy import InstanceType, Pool
from autoscaler.scale_plan import LaunchNodes
from autoscaler.snapshot import Node, Size
from scripts import proof_page
from tests.labs.nodes.control_plane import ControlPlane, running_control_plane
from tests.labs.nodes.faulty_api import FaultyApi
from tests.labs.nodes.objects import node, pod
from tests.labs.nodes.plugin import NodesLab
from tests.labs.nodes.service import Service
from tests.labs.waiting import wait_until

TYPE = "m-8x-amd64-linux"
CLASS = {"node_class_group": "karpenter.kwok.sh", "node_class_kind": "KWOKNodeClass", "node_class": "default"}
SETTLED_SECONDS = 60.0


def main() -> int:
    """Run both, print the result."""
    parser = argparse.ArgumentParser(prog="scripts/prove autoscaler-live", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000, help="nodes of the service's test (default: 1000)")
    parser.add_argument("--pods", type=int, default=10_000, help="pods of the service's test (default: 10000)")
    parser.add_argument("--record", action="store_true", help="write the result to docs/proofs/autoscaler-live.md")
    arguments = parser.parse_args()
    at = proof_page.commit()
    with running_control_plane() as plane:
        lines = [*karpenter(plane), *service(plane, nodes=arguments.nodes, pods=arguments.pods)]
    result = "\n".join(lines)
    print(result)
    if arguments.record:
        proof_page.record("autoscaler-live", result, at=at)
    return 0


def karpenter(plane: ControlPlane) -> list[str]:
    """Have Karpenter start and end machines that it does not decide on."""
    plane.start_karpenter()
    body = {"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass", "metadata": {"name": "default"}, "spec": {}}
    wait_until(lambda: plane.raw("POST", "/apis/karpenter.kwok.sh/v1alpha1/kwoknodeclasses", body)[0] in {201, 409})
    api = connect(str(plane.kubeconfig()))
    kind = InstanceType(name=TYPE, allocatable=Size(), price_per_hour=1)
    options = CLASS | {"capacity_type": "on-demand"}
    hand = NodeClaimHand(
        api, (Pool(name="claims", types=(kind,), labels={"farm": "claims"}, options=options),), owner="proof"
    )
    lines: list[str] = []

    def nodes() -> dict[str, Node]:
        found = (read_node(one, Selection()) for page in api.pages("nodes", NodeObject) for one in page.items)
        return {one.instance or one.name: one for one in found if one.pool == "claims"}

    def seen() -> Any:
        return hand.look(nodes(), time.time())

    wait_until(lambda: hand._claims.read_at is not None)  # noqa: SLF001 (its copy is there)
    began = time.monotonic()
    line = LaunchNodes(pool="claims", type=TYPE, zone="", count=2, desired=2, reason="pending", message="")
    for _ in range(2):
        hand.launch(line, order="a", fence=lambda: None)
    wait_until(lambda: sum(one.is_usable for one in nodes().values()) == 2)
    view = seen()
    assert (view.pools[0].desired, view.launches) == (2, ()), view
    lines.append(f"two NodeClaims, ordered twice, were two usable nodes after {time.monotonic() - began:.0f} s")
    busy, idle = sorted(nodes().values(), key=lambda one: one.name)
    annotations = {"karpenter.sh/do-not-disrupt": "true"}
    plane.call(
        "POST", "/api/v1/namespaces/default/pods", pod("bound", node_name=busy.name, annotations=annotations, cpu="100m")
    )  # fmt: skip
    time.sleep(SETTLED_SECONDS)
    assert len(nodes()) == 2, "Karpenter ended a node by itself"
    lines.append(f"Karpenter left an idle node without a NodePool alone for {SETTLED_SECONDS:.0f} s")
    hand.end("claims", idle.instance, node=idle.name, fence=lambda: None)
    wait_until(lambda: idle.instance not in nodes())
    hand.end("claims", busy.instance, node=busy.name, fence=lambda: None)
    time.sleep(30)
    there, phase = busy.instance in nodes(), plane.pods("default").get("bound", {}).get("status", {}).get("phase", "gone")
    fate = "there" if there else "gone"
    lines.append(f"30 s after the deletion of a NodeClaim below a pod with do-not-disrupt: node {fate}, pod {phase}")
    plane.raw("DELETE", "/api/v1/namespaces/default/pods/bound", {"gracePeriodSeconds": 0})
    wait_until(lambda: not nodes())
    assert seen().pools[0].faults == (), "what we ended ourselves is no fault"
    return lines


def service(plane: ControlPlane, *, nodes: int, pods: int) -> list[str]:
    """Measure the service's memory and CPU with so many nodes and pods."""
    farm = NodesLab(plane, FaultyApi(plane), "large")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": farm.name}}
    plane.call("POST", "/api/v1/namespaces", namespace)
    wait_until(lambda: plane.raw("GET", f"/api/v1/namespaces/{farm.name}/serviceaccounts/default")[0] == 200)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        labels = {"farm": farm.name, "node.kubernetes.io/instance-type": "large"}
        bodies = [node(f"large-{number}", pool=farm.name, cpu="16", labels=labels) for number in range(nodes)]
        list(pool.map(lambda body: plane.call("POST", "/api/v1/nodes", body), bodies))
        path = f"/api/v1/namespaces/{farm.name}/pods"
        jobs = [
            pod(f"p{number}", labels=farm.job_labels, cpu="1", memory="1Gi", node_name=f"large-{number % nodes}")
            for number in range(pods)
        ]
        list(pool.map(lambda body: plane.call("POST", path, body), jobs))
    with tempfile.TemporaryDirectory() as folder:
        one = Service(farm, Path(folder), tick_seconds=10)
        try:
            wait_until(one.leads)
            wait_until(lambda: "spack_farm_decide_seconds_count" in one.get("/metrics"))
            time.sleep(30)
            before, began = cpu_seconds(one.process.pid), time.monotonic()
            time.sleep(60)
            cores = (cpu_seconds(one.process.pid) - before) / (time.monotonic() - began)
            memory = resident_mib(one.process.pid)
            text = dict(line.rsplit(" ", 1) for line in one.get("/metrics").splitlines() if not line.startswith("#"))
            decide = float(text["spack_farm_decide_seconds_sum"]) / max(float(text["spack_farm_decide_seconds_count"]), 1)
        finally:
            one.kill()
    return [
        f"{nodes} nodes, {pods} pods: {memory:.0f} MiB, {cores:.2f} cores, {decide:.2f} s for a decision (every 10 s)",
    ]


def cpu_seconds(process: int) -> float:
    """Return the CPU time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(process: int) -> float:
    """Return the largest resident size of a process."""
    line = next(line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
