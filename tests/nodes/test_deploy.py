"""Promise: deploy/autoscaler is accepted by a real API server, and grants what the service uses and nothing else."""

import json
import subprocess
from collections.abc import Callable

from tests.labs.checkout import ROOT
from tests.labs.nodes.control_plane import ControlPlane
from tests.labs.nodes.plugin import NodesLab
from tests.labs.nodes.service import Service
from tests.labs.waiting import wait_until

BASE = ROOT / "deploy/autoscaler"
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


def test_the_base_is_accepted_and_each_right_in_it_is_used_and_no_other(
    farm: NodesLab, start: Callable[..., Service]
) -> None:
    plane = farm.plane
    for file in ("namespace.yaml", "rbac.yaml"):
        kubectl(plane, "apply", "-f", str(BASE / file))
    kubectl(plane, "apply", "--dry-run=server", "-k", str(BASE))
    farm.add_job("giant", cpu="64")
    farm.add_job("stuck", node_name="no-such-node")  # it gets no volumes: why, only Events could say
    farm.add_job("first", cpu="3", seconds=2)
    service = start(user="controller", namespace="spack-farm")
    wait_until(lambda: service.did("remove"))
    wait_until(lambda: "spack-farm.io/waiting" in farm.pods()["giant"]["metadata"].get("annotations", {}))
    calls = used(plane)
    assert not [call for call, codes in calls.items() if 403 in codes]
    assert set(calls) == granted(plane) - NOT_HERE
