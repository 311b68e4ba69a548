"""From no node to a signed binary and back to no node: the controller, the driver and a build, on a real kubelet."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.labs.checkout import ROOT
from tests.labs.cluster.cluster import Cluster
from tests.labs.cluster.kubelet_hand import NODE, stop_kubelet
from tests.labs.cluster.lab import NAMESPACE, ClusterLab
from tests.labs.farm.farm import Farm, plain
from tests.labs.farm.pipeline import JOBS, Pipeline, need_spack, telemetry
from tests.labs.waiting import wait_until


def nodes(cluster: Cluster) -> list[str]:
    return cluster.kubectl("get", "nodes", "-o", "name").split()


@pytest.fixture
def no_node(farm: Farm) -> Iterator[Cluster]:
    """Take the only node away; give it back afterwards."""
    cluster = farm.cluster
    stop_kubelet(cluster)
    cluster.kubectl("delete", "node", NODE)
    yield cluster
    stop_kubelet(cluster)
    cluster.kubectl("delete", "node", NODE, "--ignore-not-found")
    cluster.start("kubelet")
    is_ready = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    wait_until(lambda: cluster.kubectl("get", "node", NODE, "--ignore-not-found", "-o", is_ready) == "True")


@contextlib.contextmanager
def controller(cluster: Cluster, folder: Path) -> Iterator[Path]:
    """Run the controller; yield its log."""
    settings, log = folder / "farm.toml", folder / "autoscaler.log"
    settings.write_text(f"""
tick_seconds = 2
[scale_in]
idle_seconds = 3
[[pools]]
name = "build"
hand = "kwok"
boot_seconds = 20
most_nodes = 1
types = [{{name = "machine", cpu = "2", memory = "8Gi", price_per_hour = 1.0}}]
[service]
kubeconfig = "{cluster.kubeconfig("admin")}"
namespace = "{NAMESPACE}"
listen = ""
""")
    command = [sys.executable, "-m", "tests.labs.cluster.kubelet_hand", str(settings)]
    command += [str(cluster.home), str(cluster.programs), str(cluster.init)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*cluster.inside, *command], cwd=ROOT, stdout=output, stderr=output,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    try:
        yield log
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]


@pytest.mark.alone  # it takes the only node away
@pytest.mark.timeout(900)
def test_from_no_node_to_a_binary_and_back_to_no_node(
    lab: ClusterLab, no_node: Cluster, pipeline: Pipeline, tmp_path: Path
) -> None:
    need_spack("the build on a node that was ordered for it")
    assert nodes(no_node) == []
    with controller(no_node, tmp_path) as log:
        job = pipeline.submit(JOBS["libhello"]["script"])
        assert job.wait(seconds=600).state == "success", job.text
        text = plain(job.text)
        assert "waiting (node_booting): a node boots for this job: machine " in text
        assert f" is ready on node {NODE}" in text
        assert job.trace_is_whole()
        assert telemetry(job, "libhello")["outcome"] == "built"
        assert telemetry(job, "libhello")["publish"]["state"] == "published"
        wait_until(lambda: nodes(no_node) == [])
        assert '"action": "remove"' in log.read_text(), log.read_text()[-3000:]
        assert lab.pods() == []
