"""A cluster for the whole session: the one that KUBECONFIG names, or a real one of our own on this machine."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster.cluster import Cluster, running_cluster
from tests.fakes.runner import Runner

CHECKOUT = Path(__file__).resolve().parents[2]
NAMESPACE = "default"


@dataclasses.dataclass(frozen=True)
class Lab:
    """What a test needs of a cluster, whosever it is."""

    inside: list[str]
    """Words before a command that is to reach the cluster."""
    kubectl_argv: list[str]
    kubeconfig: Path
    """What the driver uses: its user has the Role of docs/reference/rbac.yaml where the cluster is ours."""
    cluster: Cluster | None
    """Ours, to break; None for a foreign one."""

    def kubectl(self, *words: str, text: str = "") -> str:
        """Run kubectl as an administrator; return what it prints."""
        return subprocess.run([*self.kubectl_argv, *words], input=text, capture_output=True, text=True, check=True).stdout

    def pods(self) -> list[dict[str, Any]]:
        """Return the driver's pods that are left."""
        selector = "spack-farm.io/managed-by=executor"
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", "pods", "-n", NAMESPACE, "-l", selector, "-o", "json"))[
            "items"
        ]
        return items


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Yield a running cluster."""
    foreign = os.environ.get("SPACK_FARM_E2E_KUBECONFIG") or os.environ.get("KUBECONFIG")
    if foreign:
        yield Lab([], ["kubectl", "--kubeconfig", foreign], Path(foreign), None)
        return
    with running_cluster() as cluster:
        admin = ["--kubeconfig", str(cluster.kubeconfig("admin"))]
        argv = [*cluster.inside, f"{cluster.programs}/kubectl", *admin]
        subprocess.run([*argv, "apply", "-f", str(CHECKOUT / "docs/reference/rbac.yaml")], check=True, capture_output=True)
        yield Lab(cluster.inside, argv, cluster.kubeconfig("driver"), cluster)


@pytest.fixture(autouse=True)
def no_pod_is_left(lab: Lab) -> Iterator[None]:
    """Fail a test that leaves a pod behind: every job's pod is gone soon after it, whatever happened."""
    yield
    deadline = time.monotonic() + 60
    while pods := lab.pods():
        if time.monotonic() > deadline:
            lab.kubectl("delete", "pods", "-n", NAMESPACE, "--all", "--force", "--wait=false")
            pytest.fail(f"left behind: {[pod['metadata']['name'] for pod in pods]}")
        time.sleep(0.1)


@pytest.fixture
def settings_file(lab: Lab, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a settings file for the cluster: its arguments are TOML in [kubernetes], and above."""

    def write(kubernetes: str = "", top: str = "", kubeconfig: Path | None = None) -> Path:
        path = tmp_path / "settings.toml"
        path.write_text(
            f'{top}\n[kubernetes]\nnamespace = "{NAMESPACE}"\nkubeconfig = "{kubeconfig or lab.kubeconfig}"\n'
            f'helper_image = "localhost/busybox:1"\npull_policy = "never"\n{kubernetes}\n'
        )
        return path

    return write


@pytest.fixture
def runner(lab: Lab, settings_file: Callable[..., Path]) -> Callable[..., Runner]:
    """Return a function that makes a Runner whose driver is this checkout's."""

    def make(kubernetes: str = "", top: str = "", kubeconfig: Path | None = None, **options: Any) -> Runner:
        path = settings_file(kubernetes, top, kubeconfig)
        environment = {"PYTHONPATH": str(CHECKOUT)} | options.pop("environment", {})
        driver = [*lab.inside, sys.executable, "-m", "executor"]
        return Runner(driver, ["--config", str(path)], environment=environment, **options)

    return make
