"""Beside another autoscaler that is in charge (`mode = "hints"`): placeholders that it makes nodes for, and nothing else.

A placeholder is a pod of the lowest priority and the size of a machine. The other autoscaler sees it wait and starts a node;
the first job that needs the room pushes it out. Waiting jobs need none: they are seen themselves. No node is touched.
"""

import logging
from collections.abc import Callable
from typing import Any

from autoscaler.cluster import names
from autoscaler.cluster.api import Api
from autoscaler.errors import ClusterError
from autoscaler.hands.hand import Fence, order_name
from autoscaler.policy import InstanceType, Policy, Pool
from autoscaler.scale_plan import LaunchNodes, ScalePlan
from autoscaler.service.log import LOGGER
from autoscaler.service.metrics import Metrics
from autoscaler.snapshot import PAUSE, Pod, Snapshot
from executor.units import format_bytes, format_millicores

PRIORITY_CLASS = "spack-farm-placeholder"
IMAGE = "registry.k8s.io/pause:3.10"
_AHEAD = frozenset({"look_ahead", "warm_floor"})
_EXTRA_SECONDS = 120.0
_SHARE = 0.9
"""Of a machine: a placeholder as large as all of it would fit only a larger one, if DaemonSets grow a little."""
_LOG = logging.getLogger(LOGGER)


class Hints:
    """The placeholders."""

    def __init__(self, api: Api, policy: Policy, *, metrics: Metrics, image: str = IMAGE) -> None:
        self._api, self._metrics, self._image = api, metrics, image
        self._pools = {pool.name: pool for pool in policy.pools}
        self._dry_run = policy.dry_run

    def apply(self, plan: ScalePlan, snapshot: Snapshot, *, fence: Fence, stopped: Callable[[], bool]) -> int:
        """Create what is missing, delete what is no longer needed; return how many were created. Raises NotLeader."""
        wanted = [line for line in plan.lines if isinstance(line, LaunchNodes) and line.reason in _AHEAD]
        placeholders = [pod for pod in snapshot.pods if pod.kind == PAUSE]
        waiting: dict[str, int] = {}
        for pod in placeholders:
            waiting[self._pool_of(pod)] = waiting.get(self._pool_of(pod), 0) + (not pod.node)
        created = 0
        for number, line in enumerate(wanted):
            missing = max(line.count - waiting.get(line.pool, 0), 0)
            waiting[line.pool] = max(waiting.get(line.pool, 0) - line.count, 0)
            for one in range(missing):
                if stopped():
                    return created
                name = order_name(line.pool, f"{int(plan.decided_at)}-{number}", one)
                created += self._create(name, line, fence)
        still = {line.pool for line in wanted}
        for pod in placeholders:
            pool = self._pools.get(self._pool_of(pod))
            # One that has its node keeps it until the job that it is for must have come.
            lifetime = (pool.boot_seconds if pool else 0.0) + _EXTRA_SECONDS
            needed = pool is not None and (pool.name in still if not pod.node else plan.decided_at - pod.bound_at < lifetime)
            if not needed and not pod.is_terminating:
                self._delete(pod, fence)
        return created

    def _pool_of(self, pod: Pod) -> str:
        """Return the pool that a placeholder is for: its name begins as those of the pool do; "" if it is of none."""
        begin = {order_name(name, "", 0).removesuffix("-0"): name for name in self._pools}
        return max((name for start, name in begin.items() if pod.name.startswith(start)), key=len, default="")

    def _create(self, name: str, line: LaunchNodes, fence: Fence) -> int:
        pool = self._pools[line.pool]
        if self._dry_run or pool.dry_run:
            self._metrics.action("out", line.reason, "dry_run")
            return 0
        kind = next(one for one in pool.types if one.name == line.type)
        fence()
        try:
            self._api.create_pod(self._api.namespace, placeholder(name, pool, kind, image=self._image))
        except ClusterError as error:
            self._metrics.fault("apply")
            self._metrics.action("out", line.reason, "failed")
            _LOG.warning("a placeholder cannot be created", extra={"pod": name, "cause": str(error)})
            return 0
        self._metrics.action("out", line.reason, "done")
        _LOG.info(line.message, extra={"action": "placeholder", "pod": name, "pool": pool.name, "reason": line.reason})
        return 1

    def _delete(self, pod: Pod, fence: Fence) -> None:
        if self._dry_run:
            return
        fence()
        try:
            self._api.delete_pod(pod.namespace, pod.name, uid=pod.uid)
        except ClusterError as error:
            _LOG.warning("a placeholder cannot be deleted", extra={"pod": pod.name, "cause": str(error)})


def placeholder(name: str, pool: Pool, kind: InstanceType, *, image: str = IMAGE) -> dict[str, Any]:
    """Return a placeholder of the size of a machine."""
    requests = {
        "cpu": format_millicores(max(int(_SHARE * (kind.allocatable.cpu_millicores - kind.daemons.cpu_millicores)), 1)),
        "memory": format_bytes(max(int(_SHARE * (kind.allocatable.memory_bytes - kind.daemons.memory_bytes)), 1)),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {names.PAUSE: "true", names.POOL: pool.name}},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "nodeSelector": pool.labels,
            "priorityClassName": PRIORITY_CLASS,
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65535, "seccompProfile": {"type": "RuntimeDefault"}},
            "tolerations": [
                {"key": one.key, "operator": "Equal", "value": one.value, "effect": one.effect} for one in pool.taints
            ],
            "containers": [
                {
                    "name": "pause",
                    "image": image,
                    "resources": {"requests": requests},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }
