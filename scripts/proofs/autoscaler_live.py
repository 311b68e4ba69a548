"""The autoscaler's hands on real Karpenter, and its service at 1,000 nodes and 10,000 pods, on simulated nodes.

usage: scripts/prove autoscaler-live [--only karpenter|service] [--nodes N] [--pods N] [--seconds N] [--record]
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from autoscaler.cluster.api import connect
from autoscaler.cluster.objects import NodeObject
from autoscaler.cluster.reading import Selection, read_node
from autoscaler.hands.nodeclaim import NodeClaimHand
from autoscaler.policy import InstanceType, Pool
from autoscaler.scale_plan import LaunchNodes
from autoscaler.service.buffers import Buffers
from autoscaler.service.expected import Expected
from autoscaler.snapshot import Node, Size
from scripts import proof_page
from tests.labs.nodes.control_plane import ControlPlane, running_control_plane
from tests.labs.nodes.faulty_api import FaultyApi
from tests.labs.nodes.large import HEARTBEAT_SECONDS, LargeFarm
from tests.labs.nodes.objects import pod
from tests.labs.nodes.plugin import NodesLab
from tests.labs.nodes.service import Service
from tests.labs.waiting import wait_until

TYPE = "m-8x-amd64-linux"
CLASS = {"node_class_group": "karpenter.kwok.sh", "node_class_kind": "KWOKNodeClass", "node_class": "default"}
SETTLED_SECONDS, WATCHED_SECONDS = 60.0, 60.0
JOB_SECONDS = 600.0
"""How long a job lives, where nodes and pods are many."""
_STAYS = {"karpenter.sh/do-not-disrupt": "true"}
FATES: dict[str, tuple[str, dict[str, str], bool]] = {
    "kept": ("a pod with do-not-disrupt, bound a moment before the NodeClaim's deletion", _STAYS, False),
    "late": ("a pod with do-not-disrupt, bound a moment after it", _STAYS, True),
    "bare": ("a pod without the annotation, bound a moment before it", {}, False),
}
"""Pods on nodes whose NodeClaim is deleted: name -> in words, annotations, whether they are bound after the deletion."""


def main() -> int:
    """Run what is asked for, print the result."""
    parser = argparse.ArgumentParser(prog="scripts/prove autoscaler-live", description=__doc__)
    parser.add_argument("--only", choices=["karpenter", "service"], help="one of the two proofs (default: both)")
    parser.add_argument("--nodes", type=int, default=1000, help="nodes of the service's test (default: 1000)")
    parser.add_argument("--pods", type=int, default=10_000, help="pods of the service's test (default: 10000)")
    parser.add_argument("--seconds", type=float, default=300.0, help="length of the service's test (default: 300)")
    parser.add_argument("--record", action="store_true", help="write the result to docs/proofs/autoscaler-live.md")
    arguments = parser.parse_args()
    at = proof_page.commit()
    lines: list[str] = []
    if arguments.only != "service":
        with running_control_plane() as plane:
            lines += karpenter(plane)
            lines += buffers(plane)
    if arguments.only != "karpenter":
        with running_control_plane(simulated=False) as plane:
            lines += service(plane, nodes=arguments.nodes, pods=arguments.pods, seconds=arguments.seconds)
    result = "\n".join(f"- {line}" for line in lines)
    print(result)
    if arguments.record:
        proof_page.record("autoscaler-live", result, at=at)
    return 0


class Claims:
    """Karpenter's machines, ordered and ended by our hand."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane, self.api = plane, connect(str(plane.kubeconfig()))
        kind = InstanceType(name=TYPE, allocatable=Size(), price_per_hour=1)
        options = CLASS | {"capacity_type": "on-demand"}
        pool = Pool(name="claims", types=(kind,), labels={"farm": "claims"}, options=options)
        self.hand = NodeClaimHand(self.api, (pool,), owner="proof")
        wait_until(lambda: self.hand._claims.read_at is not None)  # noqa: SLF001 (its copy is there)

    def nodes(self) -> dict[str, Node]:
        """Return the nodes by machine."""
        found = (read_node(one, Selection()) for page in self.api.pages("nodes", NodeObject) for one in page.items)
        return {one.instance or one.name: one for one in found if one.pool == "claims"}

    def order(self, count: int, order: str) -> list[Node]:
        """Order machines, twice as after a restart; return those that are new once they are usable."""
        before = self.nodes().keys()
        line = LaunchNodes(pool="claims", type=TYPE, zone="", count=count, desired=count, reason="pending", message="")
        for _ in range(2):
            self.hand.launch(line, order=order, fence=_unfenced)
        wait_until(lambda: sum(one.is_usable for name, one in self.nodes().items() if name not in before) == count)
        return sorted((one for name, one in self.nodes().items() if name not in before), key=lambda one: one.name)

    def end(self, node: Node) -> None:
        """Delete a node's NodeClaim."""
        self.hand.end("claims", node.instance, node=node.name, fence=_unfenced)

    def bind(self, name: str, node: Node, *, annotations: dict[str, str]) -> None:
        """Create a pod that is bound already."""
        body = pod(name, node_name=node.name, annotations=annotations, cpu="100m")
        self.plane.call("POST", "/api/v1/namespaces/default/pods", body)

    def fate(self, name: str, node: Node) -> str:
        """Return what is there of a node and a pod."""
        phase = self.plane.pods("default").get(name, {}).get("status", {}).get("phase", "gone")
        return f"node {'there' if node.instance in self.nodes() else 'gone'}, pod {phase}"


def karpenter(plane: ControlPlane) -> list[str]:
    """Have Karpenter start and end machines that it does not decide on."""
    plane.start_karpenter()
    body = {"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass", "metadata": {"name": "default"}, "spec": {}}
    wait_until(lambda: plane.raw("POST", "/apis/karpenter.kwok.sh/v1alpha1/kwoknodeclasses", body)[0] in {201, 409})
    claims, began = Claims(plane), time.monotonic()
    nodes = claims.order(len(FATES) + 1, "a")
    view = claims.hand.look(claims.nodes(), time.time())
    assert (view.pools[0].desired, view.launches) == (len(nodes), ()), view
    lines = [
        f"{len(nodes)} NodeClaims, ordered twice, were {len(nodes)} usable nodes after {time.monotonic() - began:.0f} s"
    ]
    time.sleep(SETTLED_SECONDS)
    assert len(claims.nodes()) == len(nodes), "Karpenter ended a node by itself"
    lines.append(f"Karpenter left {len(nodes)} idle nodes without a NodePool alone for {SETTLED_SECONDS:.0f} s")
    claims.end(nodes[-1])
    wait_until(lambda: nodes[-1].instance not in claims.nodes())
    lines.append("the deletion of an idle node's NodeClaim ended it")
    for (name, (_, annotations, is_after)), node in zip(FATES.items(), nodes, strict=False):
        if is_after:
            claims.end(node)
        claims.bind(name, node, annotations=annotations)
        if not is_after:
            claims.end(node)
    time.sleep(WATCHED_SECONDS)
    fates = {name: claims.fate(name, node) for name, node in zip(FATES, nodes, strict=False)}
    lines += [f"{FATES[name][0]}: after {WATCHED_SECONDS:.0f} s {fate}" for name, fate in fates.items()]
    assert all(fates[name] == "node there, pod Running" for name, (_, notes, _) in FATES.items() if notes), fates
    for name in FATES:
        plane.raw("DELETE", f"/api/v1/namespaces/default/pods/{name}", {"gracePeriodSeconds": 0})
    wait_until(lambda: not claims.nodes())
    lines.append("once the pods had ended, Karpenter ended their nodes")
    assert claims.hand.look({}, time.time()).pools[0].faults == (), "what we ended ourselves is no fault"
    return lines


def buffers(plane: ControlPlane) -> list[str]:
    """Have Karpenter, in charge of a NodePool, make room that we ask for by a CapacityBuffer, and take it back."""
    labels = {"farm": "buffered"}
    template = {
        "metadata": {"labels": labels},
        "spec": {
            "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
            "requirements": [{"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]}],
        },
    }
    disruption = {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "5s"}
    body = {
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "buffered"},
        "spec": {"template": template, "disruption": disruption},
    }  # fmt: skip
    plane.call("POST", "/apis/karpenter.sh/v1/nodepools", body)
    kind = InstanceType(name=TYPE, allocatable=Size(), price_per_hour=1)
    size = Size(cpu_millicores=3000, memory_bytes=8 << 30)
    room = Expected(kind="ahead", pool=Pool(name="b", types=(kind,), labels=labels), type=TYPE, size=size, count=3)

    def nodes() -> int:
        return sum(one["metadata"]["labels"].get("farm") == "buffered" for one in plane.nodes().values())

    asking, began = Buffers(connect(str(plane.kubeconfig())), owner="proof"), time.monotonic()
    asking.apply([room], at=time.time(), fence=_unfenced)
    wait_until(nodes)
    came = time.monotonic() - began
    time.sleep(WATCHED_SECONDS / 2)
    assert nodes(), "Karpenter took the room back while it was asked for"
    count = nodes()
    asking.apply([], at=time.time(), fence=_unfenced)
    path = "/apis/autoscaling.x-k8s.io/v1beta1/namespaces/default/capacitybuffers"
    assert not plane.call("GET", path)["items"]
    return [
        f"Karpenter, in charge of a NodePool, started {count} node(s) {came:.0f} s after a CapacityBuffer for three jobs",
        f"empty, they stayed for {WATCHED_SECONDS / 2:.0f} s, although its NodePool lets empty nodes go after 5 s",
    ]


def service(plane: ControlPlane, *, nodes: int, pods: int, seconds: float) -> list[str]:
    """Measure the service's memory and CPU with so many nodes and pods, while jobs of ten minutes come and go."""
    name = "large"
    began = time.monotonic()
    large = LargeFarm(plane, name=name, nodes=nodes, pods=pods)
    large.fill()
    filled = time.monotonic() - began
    farm = NodesLab(plane, FaultyApi(plane), name)
    with tempfile.TemporaryDirectory() as folder:
        one = Service(farm, Path(folder), tick_seconds=10, kubeconfig=plane.kubeconfig())
        try:
            wait_until(one.leads)
            wait_until(lambda: "spack_farm_decide_seconds_count 0.0" not in one.get("/metrics"))
            started = cpu_seconds(one.process.pid)
            before, decided, began = started, figures(one), time.monotonic()
            while (passed := time.monotonic() - began) < seconds:
                large.churn(max(round(pods / JOB_SECONDS), 1), heartbeats=max(round(nodes / HEARTBEAT_SECONDS), 1))
                time.sleep(max(1 - (time.monotonic() - began - passed), 0))
            passed = time.monotonic() - began
            cores = (cpu_seconds(one.process.pid) - before) / passed
            memory, after = resident_mib(one.process.pid), figures(one)
            faults = [line for line in one.lines() if line["level"] in {"warning", "error"}]
        finally:
            one.kill()
            farm.api.stop()
    assert after["running"] > 0.99 * pods, after
    assert not faults, faults[:3]
    decisions = after["count"] - decided["count"]
    return [
        f"{nodes} nodes and {pods} pods of jobs were in the store after {filled:.0f} s; no controllers run",
        f"the service read them and decided for the first time with {started:.1f} s of CPU time",
        f"{passed:.0f} s in which {pods / JOB_SECONDS:.0f} jobs a second ended and as many came: {cores:.3f} cores",
        f"at most {memory:.0f} MiB resident",
        f"{decisions:.0f} decisions, {(after['sum'] - decided['sum']) / max(decisions, 1):.2f} s each",
    ]


def figures(one: Service) -> dict[str, float]:
    """Return what the service says of its decisions, and of jobs that run."""
    text = dict(line.rsplit(" ", 1) for line in one.get("/metrics").splitlines() if not line.startswith("#"))
    kept = {name: f"spack_farm_decide_seconds_{name}" for name in ("sum", "count")}
    return {name: float(text[key]) for name, key in (kept | {"running": 'spack_farm_pods{state="running"}'}).items()}


def _unfenced() -> None:
    pass


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
