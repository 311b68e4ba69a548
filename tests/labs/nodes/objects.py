"""Objects for simulated nodes: nodes, jobs' pods and others, as the API server takes them."""

from typing import Any

JOB_LABELS = {"spack-farm.io/managed-by": "executor"}


def node(
    name: str, *, pool: str = "", cpu: str = "16", memory: str = "64Gi", labels: dict[str, str] | None = None,
    taints: list[dict[str, str]] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return a node that kwok makes ready."""
    room = {"cpu": cpu, "memory": memory, "pods": "110", "ephemeral-storage": "200Gi"}
    own = {"kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"}
    if pool:
        own |= {"spack-farm.io/pool": pool}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake", "node.alpha.kubernetes.io/ttl": "0"},
            "labels": own | (labels or {}),
        },
        "spec": {"providerID": f"kwok://{name}", **({"taints": taints} if taints else {})},
        "status": {"allocatable": room, "capacity": room},
    }


_LONG_SECONDS = 86_400.0


def pod(
    name: str, *, cpu: str = "1", memory: str = "1Gi", seconds: float = _LONG_SECONDS, node_name: str = "",
    labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None, job: bool = True, **spec: Any,
) -> dict[str, Any]:  # fmt: skip
    """Return a job's pod that runs for some seconds, or until it is deleted."""
    # without these annotations, kwok would end it after some seconds of its own choice
    milliseconds = f"{int(seconds * 1000)}ms"
    notes = {
        **(annotations or {}),
        "pod-complete.stage.kwok.x-k8s.io/delay": milliseconds,
        "pod-complete.stage.kwok.x-k8s.io/jitter-delay": milliseconds,
    }
    container = {"name": "build", "image": "x", "resources": {"requests": {"cpu": cpu, "memory": memory}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": (JOB_LABELS if job else {}) | (labels or {}), "annotations": notes},
        "spec": {
            "containers": [container],
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            **({"nodeName": node_name} if node_name else {}),
            **spec,
        },
    }
