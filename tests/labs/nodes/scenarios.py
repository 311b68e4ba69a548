"""Faults that a running controller meets, each with a small pipeline of jobs: none may be ended by us, no node may stay.

The lab plays the cloud and GitLab: it takes a node away, retries a job that was lost with it, submits a job once what it
needs has ended. Times are compressed: inputs are stale after three seconds, so an API server that is away for twelve is as
one that is away for minutes.
"""

import contextlib
import logging
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.labs.nodes.control_plane import ApiFault
from tests.labs.nodes.objects import pod
from tests.labs.nodes.plugin import NodesLab
from tests.labs.nodes.service import Service
from tests.labs.waiting import wait_until

_LOG = logging.getLogger(__name__)
STALE, AWAY_SECONDS = "stale_seconds = 3", 12.0
_SPOT = {"key": "aws-node-termination-handler/spot-itn", "effect": "NoSchedule"}


class Outcome(NamedTuple):
    """What became of one run."""

    jobs: int
    """Jobs of the pipeline."""
    lost: int
    """Those that the lab itself took away with their node; each was submitted again."""
    ended_by_us: int
    nodes_left: int
    seconds: float


class Pipeline:
    """Jobs, some of which need others; each is submitted once, and again if the lab takes it away."""

    def __init__(self, farm: NodesLab, chance: random.Random, *, first_seconds: float = 6, nodes: str = "") -> None:
        self.farm = farm
        self.expected: dict[str, float] = {}
        """Job -> how long it runs; of those that are submitted."""
        self.lost: set[str] = set()
        self._succeeded: set[str] = set()
        self._later = {f"b{number}": chance.uniform(1, 6) for number in range(3)}
        self._nodes = nodes
        for number in range(3):
            self.submit(f"a{number}", first_seconds + chance.uniform(0, 3))

    def submit(self, name: str, seconds: float) -> None:
        """Submit a job."""
        self.expected[name] = seconds
        self.farm.add_job(name, cpu="5", seconds=seconds)

    def take_away(self, node: str) -> None:
        """Take a node away as the cloud does, with its jobs; submit them again."""
        gone = [name for name, one in self.farm.pods().items() if one["spec"].get("nodeName") == node]
        running = [name for name in gone if self.farm.phase(name) not in {"Succeeded", "Failed"}]
        self.farm.plane.raw("DELETE", f"/api/v1/nodes/{node}")
        for name in running:
            self.farm.plane.raw("DELETE", f"/api/v1/namespaces/{self.farm.name}/pods/{name}", {"gracePeriodSeconds": 0})
            self.lost.add(name)
            self.submit(f"{name}x", self.expected.pop(name))

    def is_over(self) -> bool:
        """Return whether all jobs have succeeded, or are gone; submit the second wave once the first one is over."""
        found = self.farm.pods()
        phases = {name: found.get(name, {}).get("status", {}).get("phase", "gone") for name in self.expected}
        # kept: a minute after its node has gone, Kubernetes deletes the pod of a job that has succeeded
        self._succeeded |= {name for name, phase in phases.items() if phase == "Succeeded"}
        if any(phase in {"Pending", "Running"} for phase in phases.values()):
            return False
        if self._later:
            later, self._later = self._later, {}
            for name, seconds in later.items():
                self.submit(name, seconds)
            return False
        return True

    def ended_by_us(self) -> list[str]:
        """Return the jobs that neither succeeded nor were taken away by the lab, as far as `is_over` has seen."""
        return [name for name in self.expected if name not in self._succeeded]


Start = Callable[..., Service]
Scenario = Callable[[NodesLab, Start, random.Random], Pipeline]


def interrupted(farm: NodesLab, start: Start, chance: random.Random) -> Pipeline:
    """Have the cloud announce that it takes a node with jobs away, and take it some seconds later."""
    service = start(top=STALE)
    line = Pipeline(farm, chance, first_seconds=12)
    node = _first_busy_node(farm)
    farm.plane.call("PATCH", f"/api/v1/nodes/{node}", {"spec": {"taints": [_SPOT]}})
    time.sleep(chance.uniform(1, 5))
    line.take_away(node)
    wait_until(line.is_over)
    assert node not in {one["node"] for one in service.did("remove")}, "it was the cloud's to take"
    return line


def empty_zone(farm: NodesLab, start: Start, chance: random.Random) -> Pipeline:
    """Have one zone give no machine: orders there are accepted, and never fulfilled."""
    empty = chance.choice("ab")
    farm.api.add(
        "POST /api/v1/nodes", body=f'"topology.kubernetes.io/zone": ?"{empty}"', status=201, times=1 << 30
    )  # fmt: skip
    start(top=STALE, pool='zones = ["a", "b"]')
    line = Pipeline(farm, chance)
    wait_until(line.is_over, seconds=240)
    return line


def away_in_the_middle_of_a_scale_in(farm: NodesLab, start: Start, chance: random.Random) -> Pipeline:
    """Have the API server away for the controller between the cordon of a node and its removal; a job is bound meanwhile."""
    start(top=STALE)
    line = Pipeline(farm, chance, first_seconds=3)
    wait_until(line.is_over)
    cordoned: list[str] = []

    def some_cordon() -> bool:
        cordoned[:] = [name for name, one in farm.nodes().items() if one["spec"].get("unschedulable")]
        return bool(cordoned)

    wait_until(some_cordon)
    farm.api.add(".", cut=True, times=1 << 30)
    farm.api.cut_all()
    # A binding that was under way when the node was cordoned: it comes past every cordon.
    late = pod("late", node_name=cordoned[0], labels=farm.job_labels, seconds=AWAY_SECONDS + chance.uniform(15, 20))
    farm.plane.call("POST", f"/api/v1/namespaces/{farm.name}/pods", late)
    line.expected["late"] = 0.0
    time.sleep(AWAY_SECONDS)
    farm.api.clear()
    wait_until(line.is_over)
    return line


def rolled_out(farm: NodesLab, start: Start, chance: random.Random) -> Pipeline:
    """Have the controller ended, by TERM or KILL, and started anew, at any instants of a pipeline."""
    service = start(top=STALE)
    line = Pipeline(farm, chance)
    for _ in range(3):
        time.sleep(chance.uniform(0.5, 6))
        service.process.send_signal(chance.choice([signal.SIGTERM, signal.SIGKILL]))
        service.process.wait(120)
        service = start(top=STALE)
    wait_until(line.is_over)
    return line


def new_prices(farm: NodesLab, start: Start, chance: random.Random) -> Pipeline:
    """Have prices change under running jobs: on the nodes, and in the settings, which takes a restart."""
    service = start(top=STALE, pool=_types(small=0.1, huge=9.0))
    line = Pipeline(farm, chance)
    node = _first_busy_node(farm)
    label = {"spack-farm.io/price-per-hour": f"{chance.uniform(0.01, 99):.2f}"}
    farm.plane.call("PATCH", f"/api/v1/nodes/{node}", {"metadata": {"labels": label}})
    time.sleep(chance.uniform(0, 3))
    service.process.send_signal(signal.SIGTERM)
    service.process.wait(120)
    start(top=STALE, pool=_types(small=50.0, huge=0.2))
    wait_until(line.is_over)
    return line


SCENARIOS: dict[str, Scenario] = {
    "spot interruption": interrupted,
    "a zone without machines": empty_zone,
    "API server away in the middle of a scale-in": away_in_the_middle_of_a_scale_in,
    "controller rolled out during a pipeline": rolled_out,
    "price list edited": new_prices,
}


def run(name: str, farm: NodesLab, folder: Path, *, seed: int) -> Outcome:
    """Run one; return when all nodes are gone, or a time is over."""
    services: list[Service] = []

    def start(**options: str) -> Service:
        services.append(Service(farm, folder, **options))  # type: ignore[arg-type]  # texts only
        return services[-1]

    begun = time.monotonic()
    try:
        line = SCENARIOS[name](farm, start, random.Random(seed))
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not farm.nodes(), seconds=90)
        logs = [one.log.read_text() for one in services]
        assert not any(re.search(r"Traceback", log) for log in logs), logs
        if farm.nodes():
            last = "\n".join(logs[-1].splitlines()[-20:])
            _LOG.warning(
                "%s, seed %d: the last controller (exit %s) wrote:\n%s", name, seed, services[-1].process.poll(), last
            )
        return Outcome(
            len(line.expected), len(line.lost), len(line.ended_by_us()), len(farm.nodes()), time.monotonic() - begun
        )
    finally:
        for one in services:
            one.kill()
        with contextlib.suppress(ApiFault):
            farm.clean()


def _types(**prices: float) -> str:
    sizes = {"small": ("6", "24Gi"), "huge": ("16", "64Gi")}
    return "".join(
        f'[[pools.types]]\nname = "{name}"\nprice_per_hour = {price}\n'
        f'cpu = "{sizes[name][0]}"\nmemory = "{sizes[name][1]}"\n'
        for name, price in prices.items()
    )


def _first_busy_node(farm: NodesLab) -> str:
    found: list[str] = []

    def some() -> bool:
        found[:] = [
            str(one["spec"]["nodeName"]) for one in farm.pods().values() if one.get("status", {}).get("phase") == "Running"
        ]
        return bool(found)

    wait_until(some)
    return found[0]
