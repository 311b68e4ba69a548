"""pytest's side of the control plane with simulated nodes: one for all workers of a run, each test with a pool of its own.

The process that has the workers starts it, if tests/nodes is among what is run.
"""

import contextlib
import dataclasses
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.labs.nodes.control_plane import ControlPlane, running_control_plane
from tests.labs.nodes.faulty_api import FaultyApi
from tests.labs.nodes.objects import node, pod
from tests.labs.waiting import wait_until

_HELD = pytest.StashKey[contextlib.ExitStack]()
_PLANE = pytest.StashKey[ControlPlane]()
_NUMBERS = itertools.count(1)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand the control plane to a worker; the first one makes it start. Runs in the process that has the workers."""
    config = node.config
    if not any("tests/nodes" in word for word in config.args):
        return
    if _HELD not in config.stash:
        config.stash[_HELD] = contextlib.ExitStack()
        config.stash[_PLANE] = config.stash[_HELD].enter_context(running_control_plane())
    plane = config.stash[_PLANE]
    node.workerinput["nodes"] = [str(plane.home), str(plane.programs), str(plane.kwok), plane.port]


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the control plane after the last worker."""
    if _HELD in config.stash:
        config.stash[_HELD].close()


@dataclasses.dataclass
class NodesLab:
    """What a test has: a real API server behind one that breaks calls, and a pool and a namespace that are its own."""

    plane: ControlPlane
    api: FaultyApi
    name: str
    """Of the test's pool, namespace and jobs."""

    @property
    def job_labels(self) -> dict[str, str]:
        """What makes a pod a job of this test."""
        return {"farm": self.name}

    def kubeconfig(self, user: str = "admin") -> Path:
        """Return a kubeconfig that leads through what breaks calls."""
        return self.plane.kubeconfig(user, server=self.api.url)

    def add_node(self, short: str, **what: Any) -> str:
        """Create a node of the pool, and return its name once it is ready."""
        name = f"{self.name}-{short}"
        what["labels"] = {"farm": self.name} | what.get("labels", {})
        self.plane.call("POST", "/api/v1/nodes", node(name, pool=self.name, **what))
        wait_until(lambda: self.is_ready(name))
        return name

    def add_job(self, short: str, **what: Any) -> str:
        """Create a job's pod that only nodes of the pool can take; return its name."""
        what = {"labels": self.job_labels, "nodeSelector": {"farm": self.name}} | what
        self.plane.call("POST", f"/api/v1/namespaces/{self.name}/pods", pod(short, **what))
        return short

    def node(self, name: str) -> dict[str, Any] | None:
        """Return a node; None if there is none."""
        return self.plane.nodes().get(name)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Return the pool's nodes by name."""
        labels = {name: one["metadata"].get("labels", {}) for name, one in self.plane.nodes().items()}
        return {name: one for name, one in self.plane.nodes().items() if labels.get(name, {}).get("farm") == self.name}

    def pods(self) -> dict[str, dict[str, Any]]:
        """Return the test's pods by name."""
        return self.plane.pods(self.name)

    def phase(self, name: str) -> str:
        """Return a pod's phase; "" if there is no such pod."""
        return str(self.pods().get(name, {}).get("status", {}).get("phase", ""))

    def is_ready(self, name: str) -> bool:
        """Return whether a node is ready and takes pods."""
        found = self.node(name) or {}
        conditions = {one["type"]: one["status"] for one in found.get("status", {}).get("conditions", ())}
        taints = {one["key"] for one in found.get("spec", {}).get("taints", ())}
        return conditions.get("Ready") == "True" and "node.kubernetes.io/not-ready" not in taints

    def is_cordoned(self, name: str) -> bool:
        """Return whether a node is cordoned, tainted and annotated by the autoscaler, all three or none."""
        found = self.node(name)
        assert found is not None
        marks = {
            bool(found["spec"].get("unschedulable")),
            "spack-farm.io/scale-in" in found["metadata"].get("annotations", {}),
            any(one["key"] == "spack-farm.io/scale-in" for one in found["spec"].get("taints", ())),
        }
        assert len(marks) == 1, "half a cordon"
        return marks.pop()

    def clean(self) -> None:
        """Delete what the test has made."""
        for name in self.nodes():
            self.plane.raw("DELETE", f"/api/v1/nodes/{name}")
        self.plane.raw("DELETE", f"/api/v1/namespaces/{self.name}/pods", {"gracePeriodSeconds": 0})


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """Yield the control plane."""
    handed = getattr(request.config, "workerinput", {}).get("nodes")
    if handed:
        yield ControlPlane(Path(handed[0]), Path(handed[1]), Path(handed[2]), port=handed[3])
        return
    with running_control_plane() as plane:
        yield plane


@pytest.fixture
def farm(control_plane: ControlPlane) -> Iterator[NodesLab]:
    """Yield a pool and a namespace of the test's own."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    lab = NodesLab(control_plane, FaultyApi(control_plane), f"f{worker}-{next(_NUMBERS)}")
    control_plane.call(
        "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": lab.name}}
    )
    wait_until(
        lambda: control_plane.raw("GET", f"/api/v1/namespaces/{lab.name}/serviceaccounts/default")[0] == 200
    )  # fmt: skip
    try:
        yield lab
    finally:
        lab.clean()
        lab.api.stop()
