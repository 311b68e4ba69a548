"""Promise of deploy/scheduler: Kubernetes' own scheduler takes the profile, and fills the fullest node that has room."""

import json
import os
import subprocess
from pathlib import Path

import yaml

from tests.labs.checkout import ROOT
from tests.labs.nodes.control_plane import ControlPlane, free_port
from tests.labs.nodes.plugin import NodesLab
from tests.labs.waiting import wait_until

PROFILE = ROOT / "deploy/scheduler/scheduler.yaml"


def kubectl(plane: ControlPlane, *argv: str) -> None:
    command = [f"{plane.programs}/kubectl", "--kubeconfig", str(plane.kubeconfig()), *argv]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def test_jobs_fill_nodes_and_the_base_is_accepted(farm: NodesLab, tmp_path: Path) -> None:
    plane = farm.plane
    kubectl(plane, "apply", "-f", str(ROOT / "deploy/autoscaler/namespace.yaml"))
    kubectl(plane, "apply", "--dry-run=server", "-k", str(ROOT / "deploy/scheduler"))
    document = yaml.safe_load(PROFILE.read_text())
    name = document["profiles"][0]["schedulerName"]
    document["clientConnection"] = {"kubeconfig": str(plane.kubeconfig("scheduler"))}
    document["leaderElection"] = {"leaderElect": False}
    (tmp_path / "scheduler.json").write_text(json.dumps(document))
    command = [
        f"{plane.programs}/kube-scheduler", f"--config={tmp_path}/scheduler.json", "--bind-address=127.0.0.1",
        f"--secure-port={free_port()}", f"--cert-dir={tmp_path}",
    ]  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command], stdout=log, stderr=log, env={"PATH": os.environ["PATH"]}
        )
    try:
        nodes = [farm.add_node(f"n{number}", cpu="8", memory="32Gi") for number in range(3)]
        for number in range(6):
            farm.add_job(f"j{number}", cpu="2", memory="8Gi", schedulerName=name)
            wait_until(lambda: all(farm.phase(job) == "Running" for job in farm.pods()))
        used = [one["spec"]["nodeName"] for one in farm.pods().values()]
        assert sorted(used.count(node) for node in nodes) == [0, 2, 4], (tmp_path / "log").read_text()[-2000:]
    finally:
        process.kill()
        process.wait()
