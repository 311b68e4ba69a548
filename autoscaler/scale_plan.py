"""What a decision says is to be done: the whole input of `apply`, as a document that can be printed and compared.

Each line carries its reason twice: as a code for metrics and as a message for people. JSON, version 1
(docs/reference/scale-plan.schema.json).
"""

from typing import Literal

import msgspec

from autoscaler.snapshot import Ledger

VERSION = 1

WaitReason = Literal[
    "pool_at_limit", "node_booting", "taint", "fits_no_type", "quota", "image", "secret", "volume", "unknown"
]
"""Why a pod waits (documents.md: annotation `spack-farm.io/waiting`)."""


class LaunchNodes(msgspec.Struct, frozen=True, kw_only=True, tag_field="action", tag="launch"):
    """Order machines."""

    pool: str
    """Pool."""
    type: str
    """Instance type."""
    zone: str
    """Zone; "" lets the cloud choose."""
    count: int
    """How many, on top of `desired`."""
    desired: int
    """What the pool's number of machines is to be after all lines of the plan up to this one: orders repeat safely."""
    reason: str
    """`pending`, `look_ahead`, `warm_floor`, `interruption` or `policy`."""
    message: str
    """For people."""
    pods: tuple[str, ...] = ()
    """Names of what these machines are for; at most 20."""


class CordonNode(msgspec.Struct, frozen=True, kw_only=True, tag_field="action", tag="cordon"):
    """First phase of a scale-in: cordon, taint and annotate."""

    node: str
    """Node."""
    pool: str
    """Its pool."""
    reason: str
    """`idle`, `never_usable` or `interruption` (then the second phase never comes: the cloud takes the node away)."""
    message: str
    """For people."""


class UncordonNode(msgspec.Struct, frozen=True, kw_only=True, tag_field="action", tag="uncordon"):
    """Take back our own cordon."""

    node: str
    """Node."""
    pool: str
    """Its pool."""
    reason: str
    """`needed`, `job_found`, `cordon_too_old`, `no_longer_wanted` or `inputs`."""
    message: str
    """For people."""


class RemoveNode(msgspec.Struct, frozen=True, kw_only=True, tag_field="action", tag="remove"):
    """Second phase: list the node's pods uncached; with a job pod undo the cordon, else end exactly this machine."""

    node: str
    """Node."""
    pool: str
    """Its pool."""
    instance: str
    """Its machine."""
    reason: str
    """As that of the cordon."""
    message: str
    """For people."""


class TerminateInstance(msgspec.Struct, frozen=True, kw_only=True, tag_field="action", tag="terminate"):
    """End a machine that never became a node."""

    launch: str
    """Identity of the order."""
    pool: str
    """Pool."""
    instance: str
    """The machine; "" if there is none yet."""
    reason: str
    """`no_node`."""
    message: str
    """For people."""


class DeleteNodeObject(msgspec.Struct, frozen=True, kw_only=True, tag_field="action", tag="delete_node"):
    """Delete the Node object of a machine that is gone: its jobs are lost."""

    node: str
    """Node."""
    pool: str
    """Its pool."""
    reason: str
    """`instance_gone`."""
    message: str
    """For people."""


class DeletePod(msgspec.Struct, frozen=True, kw_only=True, tag_field="action", tag="delete_pod"):
    """Delete a job's pod whose GitLab job has ended."""

    namespace: str
    """Its namespace."""
    pod: str
    """Its name."""
    uid: str
    """Only if it is still this pod."""
    reason: str
    """`orphan`."""
    message: str
    """For people."""


class LowerDesired(msgspec.Struct, frozen=True, kw_only=True, tag_field="action", tag="lower_desired"):
    """Give up orders that the cloud does not fulfill."""

    pool: str
    """Pool."""
    desired: int
    """The new number: machines that exist or boot."""
    reason: str
    """`no_capacity`."""
    message: str
    """For people."""


class Note(msgspec.Struct, frozen=True, kw_only=True, tag_field="action", tag="note"):
    """Nothing is done; why."""

    subject: str
    """A node, pod, pool or input."""
    reason: str
    """`stale_input`, `unhealthy`, `max_nodes`, `max_cost`, `max_step`, `breaker`, `fits_no_type`, `pool_rejected` …"""
    message: str
    """For people."""


Line = (
    LaunchNodes
    | CordonNode
    | UncordonNode
    | RemoveNode
    | TerminateInstance
    | DeleteNodeObject
    | DeletePod
    | LowerDesired
    | Note
)


class Waiting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a job's pod waits."""

    namespace: str
    """Its namespace."""
    pod: str
    """Its name."""
    uid: str
    """Its identity."""
    reason: WaitReason
    """From the closed list."""
    since: float
    """Since when it waits, or since when it has a node if it waits for something else."""
    detail: str
    """For people."""
    expected_start: float | None = None
    """When it is expected to be bound; None if that is not known."""
    exceeds: tuple[str, ...] = ()
    """Of `fits_no_type`: the resources, by their names in Kubernetes, of which it requests more than any type has."""


class NodeState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the decision makes of a node, for `explain` and metrics."""

    node: str
    """Node."""
    state: Literal["busy", "idle", "booting", "cordoned", "unusable", "foreign"]
    """One word."""
    reason: str
    """Why it stays or goes, for people."""


class ScalePlan(msgspec.Struct, frozen=True, kw_only=True):
    """The decision."""

    version: int = VERSION
    """Version of this document."""
    decided_at: float
    """The `now` of the decision."""
    policy: str
    """Name of the policy."""
    lines: tuple[Line, ...] = ()
    """What is to be done, in this order, and notes."""
    waiting: tuple[Waiting, ...] = ()
    """Each job's pod that waits."""
    nodes: tuple[NodeState, ...] = ()
    """Each node."""
    needed_nodes: tuple[str, ...] = ()
    """Nodes without a job that jobs that come soon are to run on."""
    dry_run_pools: tuple[str, ...] = ()
    """Pools whose lines are printed only."""
    ledger: Ledger = Ledger()
    """For the next Snapshot."""


def to_json(plan: ScalePlan) -> bytes:
    """Return the document."""
    return msgspec.json.encode(plan)
