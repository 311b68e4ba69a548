"""Our driver in front of a fake cluster."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from executor.names import JOB_ID
from tests.fakes.kube.server import FakeCluster
from tests.fakes.runner import Runner
from tests.labs.backends.lab import ContractLab
from tests.labs.checkout import ROOT

__all__ = ["FakeCluster", "lab_on", "left_over", "pod_of", "runner_factory"]


def lab_on(cluster: FakeCluster, folder: Path) -> ContractLab:
    """Return a driver in front of a fake cluster."""

    def evict(job_id: int) -> None:
        cluster.kubelet.evict(pod_of(cluster, job_id))

    def remove(job_id: int) -> None:
        cluster.kubelet.delete(pod_of(cluster, job_id), grace_seconds=0)

    def phases(job_id: int) -> list[str]:
        return [pod["status"]["phase"] for pod in cluster.pods() if pod["metadata"]["labels"][JOB_ID] == str(job_id)]

    return ContractLab(runner=runner_factory(cluster, folder), evict=evict, remove=remove, phases=phases)


def pod_of(cluster: FakeCluster, job_id: int) -> str:
    """Return the name of a job's pod."""
    labels = {pod["metadata"]["name"]: pod["metadata"]["labels"] for pod in cluster.pods()}
    (name,) = (name for name, found in labels.items() if found[JOB_ID] == str(job_id))
    return str(name)


def runner_factory(cluster: FakeCluster, folder: Path) -> Callable[..., Runner]:
    """Return a function that makes a Runner with settings of its own; see ContractLab.runner."""

    def make(
        kubernetes: str = "",
        top: str = "",
        kubeconfig: Path | None = None,
        helper_image: str = "localhost/busybox:1",
        **options: Any,
    ) -> Runner:
        number = len(list(folder.glob("settings-*")))
        path = folder / f"settings-{number}-{id(options)}.toml"
        path.write_text(
            f'builds_dir = "{folder}/builds"\ncache_dir = "{folder}/cache"\n{top}\n[kubernetes]\n'
            f'kubeconfig = "{kubeconfig or cluster.kubeconfig()}"\nhelper_image = "{helper_image}"\n{kubernetes}\n'
        )
        environment = {"PYTHONPATH": str(ROOT)} | options.pop("environment", {})
        program = options.pop("program", [sys.executable, "-m", "executor"])
        return Runner(program, ["--config", str(path)], environment=environment, **options)

    return make


def left_over(cluster: FakeCluster) -> list[str]:
    """Return the names of pods whose deletion was never asked for."""
    return [pod["metadata"]["name"] for pod in cluster.pods() if "deletionTimestamp" not in pod["metadata"]]
