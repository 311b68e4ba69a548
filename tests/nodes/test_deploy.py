"""Promise: deploy/autoscaler is accepted by a real API server, and grants what the service uses and nothing else."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from autoscaler.cluster.api import connect
from autoscaler.service.buffers import Buffers
from autoscaler.service.expected import Expected
from autoscaler.service.placeholders import Placeholders
from tests.labs.autoscaler import pool, size
from tests.labs.checkout import ROOT
from tests.labs.nodes.control_plane import ControlPlane
from tests.labs.nodes.plugin import NodesLab
from tests.labs.nodes.service import Service
from tests.labs.waiting import wait_until

BASE = ROOT / "deploy/autoscaler"
COMPONENTS = ("hints", "orphans")
NOT_HERE = {("nodeclaims", verb) for verb in ("list", "watch", "create", "delete")}
"""Rights of the hand nodeclaim, which this test does not run."""


def kubectl(plane: ControlPlane, *argv: str) -> str:
    command = [f"{plane.programs}/kubectl", "--kubeconfig", str(plane.kubeconfig()), *argv]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def granted(plane: ControlPlane) -> set[tuple[str, str]]:
    rules = []
    for kind in ("clusterroles", "roles"):
        found = json.loads(kubectl(plane, "get", kind, "--all-namespaces", "-o", "json"))["items"]
        rules += [
            rule for one in found if one["metadata"]["name"].startswith("spack-farm-autoscaler") for rule in one["rules"]
        ]
    return {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}


def used(plane: ControlPlane) -> dict[tuple[str, str], set[int]]:
    found: dict[tuple[str, str], set[int]] = {}
    for line in (plane.home / "log/audit.jsonl").read_text().splitlines():
        event = json.loads(line)
        reference = event["objectRef"]
        resource = "/".join(filter(None, (reference["resource"], reference.get("subresource"))))
        found.setdefault((resource, event["verb"]), set()).add(event.get("responseStatus", {}).get("code", 0))
    return found


def overlay(folder: Path) -> Path:
    """Return an overlay with the base and all of its components."""
    base = os.path.relpath(BASE, folder)
    parts = {"resources": [base], "components": [f"{base}/{name}" for name in COMPONENTS]}
    (folder / "kustomization.yaml").write_text(json.dumps(parts))
    return folder


def ask_for_room(farm: NodesLab) -> None:
    """Use the rights that hints need, with the service's own credentials."""
    api = connect(str(farm.kubeconfig("controller")), namespace="spack-farm")
    few, more = (
        Expected(kind="warm", pool=pool("builds"), size=size(1, 1), count=count) for count in (1, 2)
    )  # fmt: skip
    for way in (Placeholders(api, owner="spack-farm"), Buffers(api, owner="spack-farm")):
        for expected in ([few], [more], []):
            way.apply(expected, at=1.0, fence=lambda: None)


def test_the_base_is_accepted_and_each_right_in_it_is_used_and_no_other(
    farm: NodesLab, start: Callable[..., Service], tmp_path: Path
) -> None:
    plane = farm.plane
    plane.add_karpenters_kinds()
    rights = ["namespace.yaml", "rbac.yaml", "disruption.yaml", *(f"{name}/rights.yaml" for name in COMPONENTS)]
    for file in rights:
        kubectl(plane, "apply", "-f", str(BASE / file))
    (tmp_path / "overlay").mkdir()
    kubectl(plane, "apply", "--dry-run=server", "-k", str(overlay(tmp_path / "overlay")))
    farm.add_job(
        "left", cpu="1", labels=farm.job_labels | {"spack-farm.io/job-id": "1"},
        annotations={"spack-farm.io/outcome": "interrupted"},
    )  # fmt: skip
    farm.add_job("giant", cpu="64")
    farm.add_job("stuck", node_name="no-such-node")  # it gets no volumes: why, only Events could say
    farm.add_job("first", cpu="3", seconds=2)
    service = start(user="controller", namespace="spack-farm", top="orphan_seconds = 1")
    ask_for_room(farm)
    wait_until(lambda: service.did("delete_pod"))
    wait_until(lambda: service.did("remove"))
    wait_until(lambda: "spack-farm.io/waiting" in farm.pods()["giant"]["metadata"].get("annotations", {}))
    calls = used(plane)
    assert not [call for call, codes in calls.items() if 403 in codes]
    assert set(calls) == granted(plane) - NOT_HERE
