"""A pipeline's jobs on real parts, under real Karpenter and under ours: real API server and scheduler, simulated nodes.

Time is compressed: run times, boot times and idle times are divided, but what each controller takes by itself is not, so it
is measured first, and the cost is given net of its excess, too. On both sides jobs carry do-not-disrupt.
"""

import contextlib
import dataclasses
import os
import statistics
import threading
import time
from pathlib import Path
from typing import Any

from autoscaler.simulator.workload import JobSpec
from autoscaler.snapshot import Size
from scripts.benches.parts.autoscaler_nodes import MachineTime
from scripts.benches.parts.autoscaler_sides import (
    BOOT_SECONDS,
    GRAPH,
    KARPENTERS_IDLE_SECONDS,
    NAMESPACE,
    OUR_IDLE_SECONDS,
    prepared,
)
from scripts.benches.parts.autoscaler_traces import instance_types
from tests.labs.nodes.control_plane import ControlPlane, running_control_plane
from tests.labs.nodes.objects import JOB_LABELS, pod
from tests.labs.waiting import wait_until

_LOOK_SECONDS = 0.5


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
        processes = prepared(plane, held, side, jobs, folder, compress)
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


def _job(one: JobSpec, side: str, compress: float) -> dict[str, Any]:
    """Return a job's pod."""
    labels = JOB_LABELS | {"spack-farm.io/graph": GRAPH, "spack-farm.io/graph-job": one.key}
    annotations = {
        "karpenter.sh/do-not-disrupt": "true",
        "spack-farm.io/expected-seconds": f"{one.seconds / compress:.3f}",
        "spack-farm.io/outcome": "",
    }
    more: dict[str, Any] = {"schedulerName": "spack-farm-packing"} if side == "ours" else {}
    return pod(
        _name(one.key), cpu=f"{one.size.cpu_millicores}m", memory=str(one.size.memory_bytes), labels=labels,
        annotations={key: value for key, value in annotations.items() if value}, seconds=one.seconds / compress,
        nodeSelector={"farm": NAMESPACE}, **more,
    )  # fmt: skip


def _name(key: str) -> str:
    return f"j-{key.lower().replace('_', '-').replace('.', '-')}"


def _run(plane: ControlPlane, jobs: tuple[JobSpec, ...], side: str, compress: float) -> Ran:
    """Submit each job once what it needs has ended; return what came of them."""
    path = f"/api/v1/namespaces/{NAMESPACE}/pods"
    keys = {one.key for one in jobs}
    left = {one.key: one for one in jobs}
    created: dict[str, float] = {}
    started: dict[str, float] = {}
    ends: dict[str, float] = {}
    nodes: dict[str, str] = {}
    lost = 0
    while len(ends) < len(jobs):
        for key in [key for key, one in left.items() if all(need in ends or need not in keys for need in one.needs)]:
            plane.call("POST", path, _job(left.pop(key), side, compress))
            created[key] = time.monotonic()
        pods = plane.pods(NAMESPACE)
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
        time.sleep(_LOOK_SECONDS / 2)
    uses = [Use(nodes[one.key], started[one.key], ends[one.key], one.size) for one in jobs]
    return Ran([started[key] - created[key] for key in created], list(ends.values()), lost, uses)


def _fixed_latencies(plane: ControlPlane, machines: "_Machines", side: str, compress: float) -> Fixed:
    """Run one job of a second on the empty lab; return what the controller has added."""
    boot = max(round(BOOT_SECONDS / compress), 1)
    idle = OUR_IDLE_SECONDS / compress if side == "ours" else max(round(KARPENTERS_IDLE_SECONDS / compress), 1)
    body = pod("probe", cpu="100m", memory="64Mi", seconds=1, nodeSelector={"farm": NAMESPACE})
    begun = time.monotonic()
    plane.call("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", body)

    def phase() -> str:
        return str(plane.pods(NAMESPACE)["probe"]["status"].get("phase", ""))

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
