"""A large farm, written into the store of a control plane without scheduler and kwok: nodes, jobs, and their churn.

Objects have what those of a real farm have, and their size: a job's pod of three containers is about 6 KiB, a node with
its images about 8 KiB. Each job lives through the changes that a watch of a real cluster shows.
"""

import datetime as dt
import itertools
import uuid
from typing import Any

from tests.labs.nodes.control_plane import ControlPlane
from tests.labs.nodes.objects import node, pod

HEARTBEAT_SECONDS = 300.0
"""How often a kubelet writes a node's status if nothing of it changes."""
_IMAGES = 40
_VARIABLES = 25


class LargeFarm:
    """The farm. Invariant: each node has as many jobs as any other, give or take one that has just ended."""

    def __init__(self, plane: ControlPlane, *, name: str, nodes: int, pods: int) -> None:
        """`name` is that of the pool, the namespace and the jobs' label. Nothing is written yet."""
        self._plane, self._name, self._nodes, self._pods = plane, name, nodes, pods
        self._numbers = itertools.count()
        self._running: list[dict[str, Any]] = []
        self._starting: list[dict[str, Any]] = []
        self._ending: list[dict[str, Any]] = []
        self._heartbeats = itertools.cycle(range(nodes))

    def fill(self) -> None:
        """Write the namespace, the nodes, and jobs that run."""
        self._plane.write([(f"namespaces/{self._name}", _namespace(self._name))])
        self._plane.write(self._node(number) for number in range(self._nodes))
        self._running = [self._bound(self._job()) for _ in range(self._pods)]
        self._plane.write(self._written(one) for one in self._running)

    def churn(self, jobs: int, *, heartbeats: int) -> None:
        """Have so many jobs end and as many come, and so many kubelets report.

        A job takes four calls to be there and gone: it is created, is bound and runs, has its outcome, is deleted.
        """
        gone = [(f"pods/{self._name}/{one['metadata']['name']}", None) for one in self._ending]
        bound = [self._bound(one) for one in self._starting]
        self._ending = [_with_outcome(one) for one in self._running[:jobs]]
        self._running = self._running[jobs:] + bound
        self._starting = [self._job() for _ in range(jobs)]
        changed = [self._written(one) for one in (*bound, *self._ending, *self._starting)]
        beats = [self._node(next(self._heartbeats)) for _ in range(heartbeats)]
        self._plane.write([*gone, *changed, *beats])

    def _written(self, one: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        body = {key: value for key, value in one.items() if key != "number"}
        return f"pods/{self._name}/{one['metadata']['name']}", body

    def _node(self, number: int) -> tuple[str, dict[str, Any]]:
        name = f"large-{number}"
        body = node(name, pool=self._name, labels={"farm": self._name, "node.kubernetes.io/instance-type": "large"})
        body["metadata"] |= _identity(name)
        images = [
            {"names": [f"registry.example.com/ci/image-{one}@sha256:{one:064x}", f"registry.example.com/ci/image-{one}:1"],
             "sizeBytes": 10**9 + one}
            for one in range(_IMAGES)
        ]  # fmt: skip
        kinds = {"MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": "True"}
        conditions = [
            {"type": kind, "status": status, "reason": "Kubelet", "message": "kubelet has said so",
             "lastHeartbeatTime": _now(), "lastTransitionTime": "2026-01-01T00:00:00Z"}
            for kind, status in kinds.items()
        ]  # fmt: skip
        body["status"] |= {"images": images, "conditions": conditions}
        return f"minions/{name}", body

    def _job(self) -> dict[str, Any]:
        number = next(self._numbers)
        name = f"job-{number}-{uuid.uuid5(uuid.NAMESPACE_OID, str(number)).hex[:16]}"
        labels = {"farm": self._name} | {f"spack-farm.io/label-{one}": f"value-{one}" for one in range(8)}
        notes = {f"job.runner.gitlab.com/note-{one}": "x" * 60 for one in range(8)}
        notes["spack-farm.io/expected-seconds"] = str(60 + number % 900)
        body = pod(name, labels=labels, annotations=notes)
        body["metadata"] |= _identity(name) | {"namespace": self._name}
        variables = [{"name": f"VARIABLE_{one}", "value": "v" * 40} for one in range(_VARIABLES)]
        body["spec"]["containers"][0]["env"] = variables
        for side in ("helper", "agent"):
            small = {"requests": {"cpu": "100m", "memory": "128Mi"}}
            body["spec"]["containers"].append({"name": side, "image": "x", "resources": small, "env": variables[:5]})
        body["spec"]["tolerations"] = [
            {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for key in ("not-ready", "unreachable")
        ]
        body["status"] = {"phase": "Pending", "qosClass": "Burstable"}
        body["number"] = number
        return body

    def _bound(self, one: dict[str, Any]) -> dict[str, Any]:
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": _now()}
            for kind in ("PodScheduled", "Initialized", "Ready")
        ]
        spec = one["spec"] | {"nodeName": f"large-{one['number'] % self._nodes}"}
        return one | {"spec": spec, "status": one["status"] | {"phase": "Running", "conditions": conditions}}


def _with_outcome(one: dict[str, Any]) -> dict[str, Any]:
    meta = one["metadata"]
    return one | {"metadata": meta | {"annotations": meta["annotations"] | {"spack-farm.io/outcome": "script_succeeded"}}}


def _identity(name: str) -> dict[str, Any]:
    return {"uid": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)), "creationTimestamp": _now()}


def _namespace(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, **_identity(name)},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def _now() -> str:
    return dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
