"""pytest's side of a cluster: the one that KUBECONFIG names, or a real one of our own on this machine.

Tests run side by side (pytest-xdist), each worker in a Kubernetes namespace of its own; the process that has the workers
starts the cluster. A test marked `alone` breaks the cluster for a while, or measures a time, and has it for itself.
"""

import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.runner import Runner
from tests.labs.checkout import ROOT
from tests.labs.cluster.cluster import Cluster, running_cluster
from tests.labs.cluster.lab import NAMESPACE, ClusterLab
from tests.labs.waiting import wait_until

_FOREIGN = os.environ.get("SPACK_FARM_E2E_KUBECONFIG") or os.environ.get("KUBECONFIG") or ""
_HELD = pytest.StashKey[contextlib.ExitStack]()
_CLUSTER = pytest.StashKey[Cluster]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand the cluster to a worker; the first one makes it start. Runs in the process that has the workers."""
    config = node.config
    is_asked_for = "cluster" in (config.getoption("--backend") or ()) or any("tests/e2e" in word for word in config.args)
    if _FOREIGN or not is_asked_for:
        return
    if _HELD not in config.stash:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # an orderly end
        config.stash[_HELD] = contextlib.ExitStack()
        config.stash[_CLUSTER] = config.stash[_HELD].enter_context(running_cluster())
    cluster = config.stash[_CLUSTER]
    node.workerinput["cluster"] = [str(cluster.home), str(cluster.programs), cluster.init]


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the cluster after the last worker."""
    if _HELD in config.stash:
        config.stash[_HELD].close()


@pytest.fixture(scope="session")
def cluster_lab(request: pytest.FixtureRequest) -> Iterator[ClusterLab]:
    """Yield a running cluster with a namespace for this process."""
    with contextlib.ExitStack() as held:
        if _FOREIGN:
            found = ClusterLab([], ["kubectl", "--kubeconfig", _FOREIGN], Path(_FOREIGN), None)
            held.callback(lambda: found.kubectl("delete", "namespace", NAMESPACE, "--wait=false"))
        else:
            handed = getattr(request.config, "workerinput", {}).get("cluster")
            cluster = (
                Cluster(Path(handed[0]), Path(handed[1]), handed[2]) if handed else held.enter_context(running_cluster())
            )
            argv = [*cluster.inside, f"{cluster.programs}/kubectl", "--kubeconfig", str(cluster.kubeconfig("admin"))]
            found = ClusterLab(cluster.inside, argv, cluster.kubeconfig("driver"), cluster)
        found.kubectl("create", "namespace", NAMESPACE)
        role = (ROOT / "docs/reference/rbac.yaml").read_text().replace("namespace: default\n", f"namespace: {NAMESPACE}\n")
        found.kubectl("apply", "-f", "-", text=role)
        wait_until(lambda: found.kubectl("get", "serviceaccount", "default", "-n", NAMESPACE, "--ignore-not-found"))
        yield found


@pytest.fixture
def cluster_turn(request: pytest.FixtureRequest, cluster_lab: ClusterLab) -> Iterator[None]:
    """Give a test that breaks the cluster the whole of it; the others share it."""
    if cluster_lab.cluster is None:
        yield
        return
    with (cluster_lab.cluster.home / "turn").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if request.node.get_closest_marker("alone") else fcntl.LOCK_SH)
        yield


@pytest.fixture
def no_pod_is_left(cluster_lab: ClusterLab, cluster_turn: None) -> Iterator[None]:
    """Fail a test that leaves a pod behind: every job's pod is gone soon after it, whatever happened."""
    del cluster_turn
    yield
    deadline = time.monotonic() + 60
    while pods := cluster_lab.pods():
        if time.monotonic() > deadline:
            cluster_lab.kubectl("delete", "pods", "-n", NAMESPACE, "--all", "--force", "--wait=false")
            pytest.fail(f"left behind: {[pod['metadata']['name'] for pod in pods]}")
        time.sleep(0.1)


@pytest.fixture
def cluster_settings(cluster_lab: ClusterLab, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a settings file for the cluster: its arguments are TOML in [kubernetes], and above."""

    def write(
        kubernetes: str = "", top: str = "", kubeconfig: Path | None = None, helper_image: str = "localhost/busybox:1"
    ) -> Path:
        path = (
            tmp_path / f"settings-{len(list(tmp_path.glob('settings-*')))}.toml"
        )  # of each Runner, as they may run at once
        path.write_text(
            f'{top}\n[kubernetes]\nnamespace = "{NAMESPACE}"\nkubeconfig = "{kubeconfig or cluster_lab.kubeconfig}"\n'
            f'helper_image = "{helper_image}"\npull_policy = "never"\n{kubernetes}\n'
        )
        return path

    return write


@pytest.fixture
def cluster_runner(cluster_lab: ClusterLab, cluster_settings: Callable[..., Path]) -> Callable[..., Runner]:
    """Return a function that makes a Runner whose driver is this checkout's."""

    def make(kubernetes: str = "", top: str = "", **options: Any) -> Runner:
        written = {key: options.pop(key) for key in ("kubeconfig", "helper_image") if key in options}
        path = cluster_settings(kubernetes, top, **written)
        environment = {"PYTHONPATH": str(ROOT)} | options.pop("environment", {})
        program = options.pop("program", [sys.executable, "-m", "executor"])
        return Runner([*cluster_lab.inside, *program], ["--config", str(path)], environment=environment, **options)

    return make
