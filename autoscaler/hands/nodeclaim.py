"""The hand `nodeclaim`: Karpenter's controllers order and end machines, and none of them decides which.

A machine is a NodeClaim without a NodePool: Karpenter's consolidation, drift and expiry look at nodes of a NodePool only.
`expireAfter: Never` and no `terminationGracePeriod`: nothing but our own deletion ends it. Source: karpenter.sh/v1,
NodeClaim; sigs.k8s.io/karpenter, pkg/controllers/{nodeclaim,disruption}.

Options of a pool: `node_class_group`, `node_class_kind`, `node_class` (its name); `capacity_type` (on-demand, spot).
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from autoscaler.cluster import names
from autoscaler.cluster.api import Api
from autoscaler.cluster.mirror import Mirror
from autoscaler.cluster.objects import NodeClaimObject
from autoscaler.cluster.reading import instance_of, seconds
from autoscaler.errors import ClusterUnavailable
from autoscaler.hands.hand import Fence, View, by_name, order_name
from autoscaler.hands.recent import Recent, launches_of
from autoscaler.policy import Pool
from autoscaler.scale_plan import LaunchNodes, LowerDesired
from autoscaler.snapshot import Launch, Node, PoolState

_TYPE, _CAPACITY = names.INSTANCE_TYPE, "karpenter.sh/capacity-type"
_STALE_SECONDS = 60.0


class NodeClaimHand:
    """The hand."""

    def __init__(self, api: Api, pools: tuple[Pool, ...], *, owner: str, clock: Callable[[], float] = time.time) -> None:
        """`owner` names this autoscaler in a label: claims of others are not touched."""
        self._api, self._pools, self._owner, self._clock = api, by_name(pools), owner, clock
        self._recent = Recent()
        self._claims: Mirror[NodeClaimObject, NodeClaimObject] = Mirror(
            api, "nodeclaims", NodeClaimObject, self._ours, clock=clock
        )
        self._claims.start()

    def look(self, nodes: Mapping[str, Node], now: float) -> View:
        """Return the claims, and which of them are no nodes yet. Raises ClusterUnavailable if they are not known."""
        if self._claims.read_at is None or now - self._claims.read_at > _STALE_SECONDS:
            raise ClusterUnavailable("the NodeClaims are not known: is Karpenter installed, and may they be listed?")
        claims = {claim.metadata.name: claim for claim in self._claims.values()}
        machines = {name: instance_of(claim.status.provider_id) for name, claim in claims.items()}
        fulfilled = {name for name, machine in machines.items() if machine and machine in nodes}
        for name, claim in claims.items():
            if name not in fulfilled and not claim.metadata.deletion_timestamp:
                self._recent.see(name, _launch_of(claim), _trouble_of(claim))
        launches = self._recent.settle(shown=claims.keys(), fulfilled=fulfilled, now=now)
        states = []
        for pool in self._pools:
            there = {name for name, claim in claims.items() if claim.metadata.labels.get(names.POOL) == pool}
            unseen = [one for one in launches if one.pool == pool and one.id not in there]
            states.append(
                PoolState(
                    name=pool,
                    desired=len(there) + launches_of(unseen, pool),
                    instances=tuple(sorted(filter(None, (machines[name] for name in there)))),
                    faults=self._recent.faults(pool, now),
                )
            )
        return View(pools=tuple(states), launches=launches)

    def launch(self, line: LaunchNodes, *, order: str, fence: Fence) -> None:
        """Create NodeClaims."""
        pool = self._pools[line.pool]
        for number in range(line.count):
            name = order_name(line.pool, order, number)
            fence()
            self._api.create_nodeclaim(_claim(name, pool, line, owner=self._owner))
            self._recent.add(Launch(id=name, pool=line.pool, type=line.type, zone=line.zone, ordered_at=self._clock()))

    def end(self, pool: str, instance: str, *, node: str, fence: Fence) -> None:
        """Delete the NodeClaim of a machine: Karpenter ends the machine and its node, and makes no other."""
        del pool
        for claim in self._claims.values():
            if instance_of(claim.status.provider_id) == instance or (node and claim.status.node_name == node):
                self._delete(claim, fence)

    def cancel(self, pool: str, launch: str, *, fence: Fence) -> None:
        """Delete the NodeClaim of that name."""
        del pool
        for claim in self._claims.values():
            if claim.metadata.name == launch:
                self._delete(claim, fence)
        self._recent.forget(launch)

    def protect(self, *, fence: Fence) -> int:
        """Do nothing: nothing but us ends such a machine."""
        del fence
        return 0

    def lower(self, line: LowerDesired, *, fence: Fence) -> None:
        """Do nothing: there is no number to lower; orders without a machine are canceled one by one."""

    def _delete(self, claim: NodeClaimObject, fence: Fence) -> None:
        fence()
        self._recent.forget(claim.metadata.name)
        self._api.delete_nodeclaim(claim.metadata.name, uid=claim.metadata.uid)

    def _ours(self, claim: NodeClaimObject) -> NodeClaimObject | None:
        labels = claim.metadata.labels
        return claim if labels.get(names.OWNER) == self._owner and labels.get(names.POOL) in self._pools else None


def _launch_of(claim: NodeClaimObject) -> Launch:
    asked = {one.key: one.values[0] for one in claim.spec.requirements if one.operator == "In" and one.values}
    return Launch(
        id=claim.metadata.name,
        pool=claim.metadata.labels.get(names.POOL, ""),
        type=asked.get(_TYPE, ""),
        zone=asked.get(names.ZONE, ""),
        ordered_at=seconds(claim.metadata.creation_timestamp),
        instance=instance_of(claim.status.provider_id),
    )


def _trouble_of(claim: NodeClaimObject) -> str:
    """Return why a claim has no machine yet; "" if nothing says so."""
    for one in claim.status.conditions:
        if one.type == "Launched" and one.status != "True" and one.message:
            return f"{one.reason}: {one.message}"
    return ""


def _claim(name: str, pool: Pool, line: LaunchNodes, *, owner: str) -> dict[str, Any]:
    options = pool.options
    requirements = [{"key": _TYPE, "operator": "In", "values": [line.type]}]
    if line.zone:
        requirements.append({"key": names.ZONE, "operator": "In", "values": [line.zone]})
    if options.get("capacity_type"):
        requirements.append({"key": _CAPACITY, "operator": "In", "values": [options["capacity_type"]]})
    labels = pool.labels | {names.POOL: pool.name, names.OWNER: owner}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "expireAfter": "Never",
            "nodeClassRef": {
                "group": options.get("node_class_group", "karpenter.k8s.aws"),
                "kind": options.get("node_class_kind", "EC2NodeClass"),
                "name": options.get("node_class", "default"),
            },
            "requirements": requirements,
            "taints": [{"key": one.key, "value": one.value, "effect": one.effect} for one in pool.taints],
        },
    }
