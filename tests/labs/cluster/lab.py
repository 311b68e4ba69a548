"""A cluster, ours or a foreign one, for tests: kubectl, the driver's kubeconfig, this process's Kubernetes namespace."""

import dataclasses
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.labs.cluster.cluster import Cluster

NAMESPACE = f"e2e-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"


@dataclasses.dataclass(frozen=True)
class ClusterLab:
    """What a test needs of a cluster."""

    inside: list[str]
    """What precedes a command that is to reach the cluster."""
    kubectl_argv: list[str]
    kubeconfig: Path
    """What the driver uses: its user has the Role of docs/reference/rbac.yaml where the cluster is ours."""
    cluster: Cluster | None
    """Ours, to break; None for a foreign one."""

    def kubectl(self, *arguments: str, text: str = "") -> str:
        """Run kubectl as an administrator; return what it prints."""
        return subprocess.run(
            [*self.kubectl_argv, *arguments], input=text, capture_output=True, text=True, check=True
        ).stdout

    def refusal(self, *arguments: str, text: str) -> str:
        """Run kubectl as an administrator; return why it fails, "" if it does not."""
        return subprocess.run(
            [*self.kubectl_argv, *arguments], input=text, capture_output=True, text=True, check=False
        ).stderr

    def pods(self) -> list[dict[str, Any]]:
        """Return the driver's pods that still exist."""
        selector = "spack-farm.io/managed-by=executor"
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", "pods", "-n", NAMESPACE, "-l", selector, "-o", "json"))[
            "items"
        ]
        return items
