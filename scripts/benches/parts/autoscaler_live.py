"""A pipeline's jobs on real parts, under real Karpenter and under ours: real API server and scheduler, simulated nodes.

Both order machines from Karpenter's kwok provider, of the same types, prices and boot time. Karpenter decides by a NodePool
with Spack's settings (empty nodes go after five minutes, jobs carry do-not-disrupt); ours decides by itself and uses
Karpenter as its hand. Time is compressed: run times, boot times and idle times are divided, but what each controller takes
by itself is not, so it is measured first, and the cost is given net of its excess, too.
"""

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from autoscaler.policy import InstanceType
from autoscaler.simulator.workload import JobSpec
from autoscaler.snapshot import Size
from scripts.benches.parts.autoscaler_nodes import MachineTime
from scripts.benches.parts.autoscaler_traces import instance_types
from scripts.benches.parts.contest import ROOT
from tests.labs.nodes.control_plane import BACKOFF, ControlPlane, free_port, running_control_plane
from tests.labs.nodes.objects import JOB_LABELS, pod
from tests.labs.nodes.service import PROGRAM
from tests.labs.waiting import wait_until

BOOT_SECONDS, KARPENTERS_IDLE_SECONDS, OUR_IDLE_SECONDS, TICK_SECONDS, SLACK_SECONDS = 90.0, 300.0, 30.0, 10.0, 90.0
_LEAST_TICK_SECONDS = 1.0
_LOOK_SECONDS = 0.5
_GRAPH = "l" * 52
_NAMESPACE = "live"
_RESERVED_MILLICORES, _RESERVED_BYTES = 100, 120 << 20
"""What the provider takes off each machine, at least as much."""


@dataclasses.dataclass
class Machine:
    """A machine, as long as its order was there."""

    type: str
    begun: float
    ended: float
    node: str = ""
    """Its node's name, once it is known."""


@dataclasses.dataclass(frozen=True)
class Use:
    """A job's time on a node."""

    node: str
    begun: float
    ended: float
    size: Size


@dataclasses.dataclass(frozen=True)
class Ran:
    """What came of the jobs."""

    waits: list[float]
    ends: list[float]
    lost: int
    uses: list[Use]


@dataclasses.dataclass(frozen=True)
class Fixed:
    """What a controller takes by itself, whatever its settings: on an empty lab."""

    start_seconds: float
    """From a pod to its node, without the boot time."""
    end_seconds: float
    """From a node's last job to its end, without the idle time of the settings."""


@dataclasses.dataclass(frozen=True)
class Live:
    """What came of one side; times are stretched again, costs are of real hours."""

    cost: float
    net_cost: float
    """Without what the compression adds to the fixed latencies."""
    mean_wait: float
    p95_wait: float
    makespan: float
    machines: int
    lost: int
    """Jobs that did not succeed."""
    fixed: Fixed
    cpu_seconds: dict[str, float]
    """CPU of each controller's process over the run."""
    memory_mib: dict[str, float]
    """Their largest resident size."""
    timeline: list[MachineTime]
    """Each machine, in the order of their orders."""


def measured(side: str, jobs: tuple[JobSpec, ...], folder: Path, *, compress: float, sample: Fixed | None = None) -> Live:
    """Run the jobs under `karpenter` or `ours`, on a control plane of its own.

    `sample` makes a short test of it: these latencies are taken instead of being measured, and the end of the machines,
    which takes Karpenter most of a minute, is not waited for.
    """
    prices = {kind.name: kind.price_per_hour for kind in instance_types()}
    with running_control_plane() as plane, contextlib.ExitStack() as held:
        processes = _prepared(plane, held, side, jobs, folder, compress)
        machines = _Machines(plane)
        held.callback(machines.stop)
        fixed = sample or _fixed_latencies(plane, machines, side, compress)
        machines.forget()
        before = {name: _cpu_seconds(process) for name, process in processes.items()}
        begun = time.monotonic()
        ran = _run(plane, jobs, side, compress)
        if sample is None:
            wait_until(lambda: not machines.there(), seconds=300 + 2 * KARPENTERS_IDLE_SECONDS / compress)
        cpu = {name: _cpu_seconds(process) - before[name] for name, process in processes.items()}
        memory = {name: _resident_mib(process) for name, process in processes.items()}
    seen = machines.all()
    hours = [(prices[one.type], (one.ended - one.begun) * compress / 3600) for one in seen]
    excess = (fixed.start_seconds + fixed.end_seconds) * (compress - 1) / 3600
    ordered = sorted(ran.waits)
    return Live(
        cost=sum(price * hour for price, hour in hours),
        net_cost=sum(price * max(hour - excess, 0.0) for price, hour in hours),
        mean_wait=statistics.mean(ran.waits) * compress,
        p95_wait=ordered[max(0, -(-95 * len(ordered) // 100) - 1)] * compress,
        makespan=(max(ran.ends) - begun) * compress,
        machines=len(seen),
        lost=ran.lost,
        fixed=fixed,
        cpu_seconds=cpu,
        memory_mib=memory,
        timeline=[_machine_time(one, ran.uses, begun, compress) for one in sorted(seen, key=lambda one: one.begun)],
    )


def _machine_time(machine: Machine, uses: list[Use], begun: float, compress: float) -> MachineTime:
    def stretched(at: float) -> float:
        return round((at - begun) * compress, 1)

    has = {kind.name: kind.allocatable for kind in instance_types()}[machine.type]
    jobs = tuple(
        (stretched(one.begun), stretched(one.ended), round(_share(one.size, has), 3))
        for one in uses
        if machine.node and one.node == machine.node
    )
    return MachineTime(machine.type, stretched(machine.begun), stretched(machine.ended), jobs)


def _share(size: Size, has: Size) -> float:
    return min(max(size.cpu_millicores / has.cpu_millicores, size.memory_bytes / has.memory_bytes), 1.0)


def _prepared(  # noqa: PLR0913, PLR0917  a side on a control plane, with its files
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
    plane.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}})
    wait_until(lambda: plane.raw("GET", f"/api/v1/namespaces/{_NAMESPACE}/serviceaccounts/default")[0] == 200)
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
                "metadata": {"labels": {"farm": _NAMESPACE}},
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
    (graphs / f"{_GRAPH}.json").write_text(json.dumps(_graph(jobs, compress)))
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
labels = {{farm = "{_NAMESPACE}"}}
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
    return {"version": 1, "digest": _GRAPH, "jobs": rows}


def _job(one: JobSpec, side: str, compress: float) -> dict[str, Any]:
    """Return a job's pod."""
    labels = JOB_LABELS | {"spack-farm.io/graph": _GRAPH, "spack-farm.io/graph-job": one.key}
    annotations = {
        "karpenter.sh/do-not-disrupt": "true",
        "spack-farm.io/expected-seconds": f"{one.seconds / compress:.3f}",
        "spack-farm.io/outcome": "",
    }
    more: dict[str, Any] = {"schedulerName": "spack-farm-packing"} if side == "ours" else {}
    return pod(
        _name(one.key), cpu=f"{one.size.cpu_millicores}m", memory=str(one.size.memory_bytes), labels=labels,
        annotations={key: value for key, value in annotations.items() if value}, seconds=one.seconds / compress,
        nodeSelector={"farm": _NAMESPACE}, **more,
    )  # fmt: skip


def _name(key: str) -> str:
    return f"j-{key.lower().replace('_', '-').replace('.', '-')}"


def _run(plane: ControlPlane, jobs: tuple[JobSpec, ...], side: str, compress: float) -> Ran:
    """Submit each job once what it needs has ended; return what came of them."""
    path = f"/api/v1/namespaces/{_NAMESPACE}/pods"
    keys = {one.key for one in jobs}
    left = {one.key: one for one in jobs}
    done: set[str] = set()
    created: dict[str, float] = {}
    started: dict[str, float] = {}
    ends: dict[str, float] = {}
    nodes: dict[str, str] = {}
    lost = 0
    while len(ends) < len(jobs):
        for key in [key for key, one in left.items() if all(need in done or need not in keys for need in one.needs)]:
            plane.call("POST", path, _job(left.pop(key), side, compress))
            created[key] = time.monotonic()
        pods = plane.pods(_NAMESPACE)
        phases = {name: one["status"].get("phase", "") for name, one in pods.items()}
        now = time.monotonic()
        for key in created.keys() - ends.keys():
            phase = phases.get(_name(key), "gone")
            if phase != "Pending":
                started.setdefault(key, now)
                nodes.setdefault(key, pods.get(_name(key), {}).get("spec", {}).get("nodeName", ""))
            if phase in {"Succeeded", "Failed", "gone"}:
                ends[key] = now
                lost += phase != "Succeeded"
                done.add(key)
        time.sleep(_LOOK_SECONDS / 2)
    uses = [Use(nodes[one.key], started[one.key], ends[one.key], one.size) for one in jobs]
    return Ran([started[key] - created[key] for key in created], list(ends.values()), lost, uses)


def _fixed_latencies(plane: ControlPlane, machines: "_Machines", side: str, compress: float) -> Fixed:
    """Run one job of a second on the empty lab; return what the controller has added."""
    boot = max(round(BOOT_SECONDS / compress), 1)
    idle = OUR_IDLE_SECONDS / compress if side == "ours" else max(round(KARPENTERS_IDLE_SECONDS / compress), 1)
    body = pod("probe", cpu="100m", memory="64Mi", seconds=1, nodeSelector={"farm": _NAMESPACE})
    begun = time.monotonic()
    plane.call("POST", f"/api/v1/namespaces/{_NAMESPACE}/pods", body)

    def phase() -> str:
        return str(plane.pods(_NAMESPACE)["probe"]["status"].get("phase", ""))

    wait_until(lambda: phase() != "Pending")
    started = time.monotonic()
    wait_until(lambda: phase() == "Succeeded")
    ended = time.monotonic()
    wait_until(lambda: not machines.there(), seconds=300 + idle)
    return Fixed(started - begun - boot, time.monotonic() - ended - idle)


class _Machines:
    """What is ordered: looked at all the time, in a thread."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane, self._seen, self._there = plane, dict[str, Machine](), set[str]()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def there(self) -> set[str]:
        """Return the machines that are there."""
        with self._lock:
            return set(self._there)

    def all(self) -> list[Machine]:
        """Return the machines that were there."""
        with self._lock:
            return list(self._seen.values())

    def forget(self) -> None:
        """Begin anew."""
        with self._lock:
            self._seen.clear()

    def stop(self) -> None:
        """End."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            with contextlib.suppress(OSError):
                found = self._plane.call("GET", "/apis/karpenter.sh/v1/nodeclaims")["items"]
                now = time.monotonic()
                with self._lock:
                    self._there = {one["metadata"]["name"] for one in found}
                    for one in found:
                        kind = one["metadata"].get("labels", {}).get("node.kubernetes.io/instance-type", "")
                        if kind:
                            machine = self._seen.setdefault(one["metadata"]["name"], Machine(kind, now, now))
                            machine.ended = now
                            machine.node = one.get("status", {}).get("nodeName", "") or machine.node


def _cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mib(process: int) -> float:
    line = next(line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
