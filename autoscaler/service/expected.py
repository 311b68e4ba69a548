"""What another autoscaler is to have room for before jobs come (`mode = "hints"`): machines and warm slots. Pure.

Jobs that wait are none of it: every autoscaler sees them itself. A machine counts from the moment in which a job is
expected until the job runs there: also while it stands idle for that job.
"""

import hashlib
from typing import Any, Literal

import msgspec

from autoscaler.cluster import names
from autoscaler.deciding import floor
from autoscaler.deciding.places import pods_by_node
from autoscaler.policy import Policy, Pool
from autoscaler.scale_plan import LaunchNodes, ScalePlan
from autoscaler.snapshot import Size, Snapshot
from executor.units import format_bytes, format_millicores

PRIORITY_CLASS = "spack-farm-placeholder"
IMAGE = "registry.k8s.io/pause:3.10"
_SHARE = 0.9
"""Of a machine: what is as large as all of it would fit only a larger one, if DaemonSets grow a little."""


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """Room of one kind."""

    kind: Literal["ahead", "warm"]
    """`ahead`: machines for jobs that come soon. `warm`: slots of the warm floor."""
    pool: Pool
    """For whose nodes."""
    type: str = ""
    """Instance type; "" of a slot."""
    size: Size
    """Of one piece of it."""
    count: int
    """How many pieces."""

    @property
    def name(self) -> str:
        """Return its name, valid in Kubernetes and another one for each pool, type and size."""
        same = msgspec.json.encode((self.kind, self.pool.name, self.type, template(self)))
        safe = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in self.pool.name.lower())
        return f"spack-farm-{self.kind}-{safe.strip('-')[:20] or 'pool'}-{hashlib.sha256(same).hexdigest()[:12]}"


def expected(plan: ScalePlan, snapshot: Snapshot, policy: Policy) -> list[Expected]:
    """Return what is expected, in the settings' order; nothing of a count of 0."""
    counts: dict[tuple[str, str], int] = {}
    for line in plan.lines:
        if isinstance(line, LaunchNodes) and line.reason == "look_ahead":
            counts[line.pool, line.type] = counts.get((line.pool, line.type), 0) + line.count
    needed = frozenset(plan.needed_nodes)
    for node in snapshot.nodes:
        if node.name in needed:
            counts[node.pool, node.type] = counts.get((node.pool, node.type), 0) + 1
    slots = floor.slots(policy, snapshot, pods_by_node(snapshot), plan.decided_at)
    found = []
    for pool in policy.pools:
        for kind in pool.types:
            if count := counts.get((pool.name, kind.name), 0):
                size = Size(
                    cpu_millicores=max(int(_SHARE * (kind.allocatable.cpu_millicores - kind.daemons.cpu_millicores)), 1),
                    memory_bytes=max(int(_SHARE * (kind.allocatable.memory_bytes - kind.daemons.memory_bytes)), 1),
                )
                found.append(Expected(kind="ahead", pool=pool, type=kind.name, size=size, count=count))
        if count := slots.get(pool.name, 0):
            found.append(Expected(kind="warm", pool=pool, size=pool.slot, count=count))
    return found


def template(one: Expected) -> dict[str, Any]:
    """Return the spec of a pod that holds one piece: it does nothing, and any job pushes it out."""
    requests = {"cpu": format_millicores(one.size.cpu_millicores), "memory": format_bytes(one.size.memory_bytes)}
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "nodeSelector": one.pool.labels,
        "priorityClassName": PRIORITY_CLASS,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65535, "seccompProfile": {"type": "RuntimeDefault"}},
        "tolerations": [
            {"key": taint.key, "operator": "Equal", "value": taint.value, "effect": taint.effect}
            for taint in one.pool.taints
        ],
        "containers": [
            {
                "name": "pause",
                "image": IMAGE,
                "resources": {"requests": requests},
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    }


def labels(one: Expected, owner: str) -> dict[str, str]:
    """Return the labels of what stands for a piece, or for all of them."""
    return {names.PAUSE: "true", names.OWNER: owner, names.PLACEHOLDER: one.name}
