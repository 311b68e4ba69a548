"""The hand `kwok`: simulated nodes. A machine is a Node object that kwok makes ready; for tests and for trying settings out.

Options of a pool: none. Source: kwok's annotation `kwok.x-k8s.io/node`.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from autoscaler.cluster import names
from autoscaler.cluster.api import Api
from autoscaler.hands.hand import Fence, View, by_name, order_name
from autoscaler.hands.recent import Recent, launches_of
from autoscaler.policy import InstanceType, Pool
from autoscaler.scale_plan import LaunchNodes, LowerDesired
from autoscaler.snapshot import Launch, Node, PoolState, Size
from executor.units import format_bytes, format_millicores

_SCHEME = "kwok://"


class KwokHand:
    """The hand."""

    def __init__(self, api: Api, pools: tuple[Pool, ...], *, clock: Callable[[], float] = time.time) -> None:
        self._api, self._pools, self._clock, self._recent = api, by_name(pools), clock, Recent()

    def look(self, nodes: Mapping[str, Node], now: float) -> View:
        """Return the nodes that there are: an order is one at once."""
        ours = {node.instance: node for node in nodes.values() if node.pool in self._pools}
        launches = self._recent.settle(shown=ours.keys(), fulfilled=ours.keys(), now=now)
        states = []
        for pool in self._pools:
            instances = tuple(sorted(name for name, node in ours.items() if node.pool == pool))
            desired = len(instances) + launches_of(launches, pool)
            states.append(
                PoolState(name=pool, desired=desired, instances=instances, faults=self._recent.faults(pool, now))
            )  # fmt: skip
        return View(pools=tuple(states), launches=launches)

    def launch(self, line: LaunchNodes, *, order: str, fence: Fence) -> None:
        """Create node objects."""
        pool = self._pools[line.pool]
        kind = next(one for one in pool.types if one.name == line.type)
        for number in range(line.count):
            name = order_name(line.pool, order, number)
            fence()
            self._api.create_node(_node(name, pool, kind, zone=line.zone))
            self._recent.add(
                Launch(id=name, pool=line.pool, type=line.type, zone=line.zone, ordered_at=self._clock(), instance=name)
            )

    def end(self, pool: str, instance: str, *, node: str, fence: Fence) -> None:
        """Delete the node object."""
        del pool
        fence()
        self._recent.forget(instance)
        self._api.delete_node(node or instance)

    def cancel(self, pool: str, launch: str, *, fence: Fence) -> None:
        """Delete the node object."""
        self.end(pool, launch, node=launch, fence=fence)

    def protect(self, *, fence: Fence) -> int:
        """Do nothing: nothing but us ends such a machine."""
        del fence
        return 0

    def lower(self, line: LowerDesired, *, fence: Fence) -> None:
        """Do nothing: there is no number to lower."""


def _node(name: str, pool: Pool, kind: InstanceType, *, zone: str) -> dict[str, Any]:
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        names.INSTANCE_TYPE: kind.name,
        **pool.labels,
        names.POOL: pool.name,
    }
    if zone:
        labels[names.ZONE] = zone
    room = _quantities(kind.allocatable) | {"pods": str(kind.most_pods)}
    taints = [{"key": one.key, "value": one.value, "effect": one.effect} for one in pool.taints]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "spec": {"providerID": f"{_SCHEME}{name}", "taints": taints},
        "status": {"allocatable": room, "capacity": room},
    }


def _quantities(size: Size) -> dict[str, str]:
    """Return a size as Kubernetes writes it; disk of which nothing is known is not written."""
    written = {
        "cpu": format_millicores(size.cpu_millicores),
        "memory": format_bytes(size.memory_bytes),
        **{name: str(value) for name, value in size.extended.items()},
    }
    return written | ({"ephemeral-storage": format_bytes(size.disk_bytes)} if size.disk_bytes else {})
