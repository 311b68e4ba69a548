"""Our driver in front of a real cluster."""

import json
from collections.abc import Callable

from tests.fakes.runner import Runner
from tests.labs.backends.lab import ContractLab
from tests.labs.cluster.lab import NAMESPACE, ClusterLab


def lab_on(cluster: ClusterLab, runner: Callable[..., Runner]) -> ContractLab:
    """Return a driver in front of a cluster; `runner` as ContractLab's."""

    def pods(job_id: int, field: str) -> list[str]:
        options = ["-l", f"spack-farm.io/job-id={job_id}", "-o", f"jsonpath={{.items[*].{field}}}"]
        return cluster.kubectl("get", "pods", "-n", NAMESPACE, *options).split()

    def pod(job_id: int) -> str:
        (name,) = pods(job_id, "metadata.name")
        return name

    def phases(job_id: int) -> list[str]:
        return pods(job_id, "status.phase")

    def evict(job_id: int) -> None:
        name = pod(job_id)
        document = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
        cluster.kubectl("create", "--raw", path, "-f", "-", text=json.dumps(document))

    def remove(job_id: int) -> None:
        cluster.kubectl("delete", "pod", "-n", NAMESPACE, pod(job_id), "--force", "--wait=false")

    return ContractLab(runner=runner, evict=evict, remove=remove, phases=phases)
