"""The sides of `scripts/bench autoscaler --live` on a control plane: real Karpenter, and ours with its scheduler.

Both order machines from Karpenter's kwok provider, of the same types, prices and boot time. Karpenter decides by a NodePool
with Spack's settings (empty nodes go after five minutes); ours decides by itself and uses Karpenter as its hand.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from autoscaler.policy import InstanceType
from autoscaler.simulator.workload import JobSpec
from scripts.benches.parts.autoscaler_traces import instance_types
from scripts.benches.parts.contest import ROOT
from tests.labs.nodes.control_plane import BACKOFF, ControlPlane, free_port
from tests.labs.nodes.service import PROGRAM
from tests.labs.waiting import wait_until

BOOT_SECONDS, KARPENTERS_IDLE_SECONDS, OUR_IDLE_SECONDS, TICK_SECONDS, SLACK_SECONDS = 90.0, 300.0, 30.0, 10.0, 90.0
_LEAST_TICK_SECONDS = 1.0
GRAPH = "l" * 52
NAMESPACE = "live"
_RESERVED_MILLICORES, _RESERVED_BYTES = 100, 120 << 20
"""What the provider takes off each machine, at least as much."""


def prepared(  # noqa: PLR0913, PLR0917  a side on a control plane, with its files
    plane: ControlPlane, held: contextlib.ExitStack, side: str, jobs: tuple[JobSpec, ...], folder: Path, compress: float
) -> dict[str, int]:
    """Start the controllers; return their processes."""
    types = folder / f"{side}.types.json"
    types.write_text(json.dumps([_karpenters_type(kind) for kind in instance_types()]))
    plane.start_karpenter(INSTANCE_TYPES_FILE_PATH=str(types))
    boot = {"nodeRegistrationDelay": f"{max(round(BOOT_SECONDS / compress), 1)}s"}
    node_class = {"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass", "metadata": {"name": "default"}}
    classes = "/apis/karpenter.kwok.sh/v1alpha1/kwoknodeclasses"
    wait_until(lambda: plane.raw("POST", classes, node_class | {"spec": boot})[0] in {201, 409})
    plane.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    wait_until(lambda: plane.raw("GET", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default")[0] == 200)
    processes = {"karpenter": plane.process("karpenter")}
    if side == "karpenter":
        pools = "/apis/karpenter.sh/v1/nodepools"
        wait_until(lambda: plane.raw("POST", pools, _node_pool(compress))[0] in {201, 409})
        return processes
    held.enter_context(_packing_scheduler(plane, folder))
    processes["ours"] = held.enter_context(_our_controller(plane, jobs, folder, compress))
    return processes


def _karpenters_type(kind: InstanceType) -> dict[str, Any]:
    size = kind.allocatable
    offering = {
        "Price": kind.price_per_hour,
        "Available": True,
        "Requirements": [
            {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]},
            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]},
        ],
    }
    resources = {
        "cpu": f"{size.cpu_millicores + _RESERVED_MILLICORES}m",
        "memory": str(size.memory_bytes + _RESERVED_BYTES),
        "ephemeral-storage": "500Gi",
    }
    return {
        "name": kind.name, "offerings": [offering], "architecture": "amd64", "operatingSystems": ["linux"],
        "resources": resources,
    }  # fmt: skip


def _node_pool(compress: float) -> dict[str, Any]:
    """Return Spack's NodePool: all types, only empty nodes go. Source: spack-infrastructure, k8s/production/karpenter."""
    requirement = {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]}
    group = {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"}
    after = f"{max(round(KARPENTERS_IDLE_SECONDS / compress), 1)}s"
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": "linux"},
        "spec": {
            "disruption": {
                "consolidationPolicy": "WhenEmpty", "consolidateAfter": after, "budgets": [{"nodes": "100%"}],
            },
            "template": {
                "metadata": {"labels": {"farm": NAMESPACE}},
                "spec": {"requirements": [requirement], "nodeClassRef": group, "expireAfter": "Never"},
            },
        },
    }  # fmt: skip


@contextlib.contextmanager
def _packing_scheduler(plane: ControlPlane, folder: Path) -> Iterator[None]:
    """Run the scheduler of deploy/scheduler beside the default one."""
    document = yaml.safe_load((ROOT / "deploy/scheduler/scheduler.yaml").read_text())
    document["clientConnection"] = {"kubeconfig": str(plane.kubeconfig("scheduler")), "qps": 500, "burst": 500}
    document["leaderElection"] = {"leaderElect": False}
    document |= BACKOFF  # time is compressed: ten seconds of waiting for the next try would be minutes
    config = folder / "scheduler.json"
    config.write_text(json.dumps(document))
    command = [
        "setpriv", "--pdeathsig", "KILL", f"{plane.programs}/kube-scheduler", f"--config={config}",
        "--bind-address=127.0.0.1", f"--secure-port={free_port()}", f"--cert-dir={folder}/scheduler",
    ]  # fmt: skip
    with (folder / "scheduler.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _our_controller(plane: ControlPlane, jobs: tuple[JobSpec, ...], folder: Path, compress: float) -> Iterator[int]:
    """Run our controller with the job graph; yield its process."""
    graphs = folder / "mirror/graphs/v1"
    graphs.mkdir(parents=True)
    (graphs / f"{GRAPH}.json").write_text(json.dumps(_graph(jobs, compress)))
    settings, log = folder / "farm.toml", folder / "ours.log"
    types = "".join(
        f'[[pools.types]]\nname = "{kind.name}"\ncpu = "{kind.allocatable.cpu_millicores}m"\n'
        f'memory = "{kind.allocatable.memory_bytes}"\nprice_per_hour = {kind.price_per_hour}\n'
        f'allocatable_cpu = "{kind.allocatable.cpu_millicores}m"\nallocatable_memory = "{kind.allocatable.memory_bytes}"\n'
        for kind in instance_types()
    )
    settings.write_text(f"""
tick_seconds = {max(TICK_SECONDS / compress, _LEAST_TICK_SECONDS)}
[caps]
most_nodes = 400
most_cost_per_hour = 1000000
most_step_nodes = 400
[scale_in]
idle_seconds = {OUR_IDLE_SECONDS / compress}
most_nodes = 400
[look_ahead]
slack_seconds = {SLACK_SECONDS / compress}
[[pools]]
name = "linux"
hand = "nodeclaim"
boot_seconds = {BOOT_SECONDS / compress}
most_nodes = 400
labels = {{farm = "{NAMESPACE}"}}
options = {{node_class_group = "karpenter.kwok.sh", node_class_kind = "KWOKNodeClass", node_class = "default", \
capacity_type = "on-demand"}}
{types}
[service]
kubeconfig = "{plane.kubeconfig()}"
namespace = "default"
listen = ""
graphs = "{folder}/mirror"
""")
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, "-c", PROGRAM, str(settings)], cwd=ROOT, stdout=output,
            stderr=output, stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    try:
        wait_until(lambda: '"leading"' in log.read_text() or process.poll() is not None)
        if process.poll() is not None:
            raise RuntimeError(log.read_text()[-2000:])
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _graph(jobs: tuple[JobSpec, ...], compress: float) -> dict[str, Any]:
    rows = [
        {
            "key": one.key, "name": one.name, "version": "1", "needs": list(one.needs), "state": "build",
            "size": {"cpu_millicores": one.size.cpu_millicores, "memory_bytes": one.size.memory_bytes},
            "expected_seconds": one.seconds / compress,
        }
        for one in jobs
    ]  # fmt: skip
    return {"version": 1, "digest": GRAPH, "jobs": rows}
