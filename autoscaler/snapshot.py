"""What is known of the cluster at one instant: the whole input of a decision, as a document that can be replayed.

A Snapshot is JSON, version 1 (docs/reference/snapshot.schema.json). Readers ignore keys that they do not know. Instants are
Unix seconds, sizes are integers in base units. It knows no Kubernetes client, no cloud and no clock.
"""

from typing import Literal

import msgspec

VERSION = 1
JOB, DAEMON, PAUSE, OTHER = "job", "daemon", "pause", "other"


class Size(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a pod requests, or what a node has for pods."""

    cpu_millicores: int = 0
    """CPU in thousandths of a core."""
    memory_bytes: int = 0
    """Memory."""
    disk_bytes: int = 0
    """Ephemeral storage; 0 of a node: not known, anything fits."""
    extended: dict[str, int] = {}
    """Other resources by their name in Kubernetes, such as `nvidia.com/gpu`."""


class Taint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A node's taint, as in Kubernetes."""

    key: str
    """Name."""
    value: str = ""
    """Value."""
    effect: str = "NoSchedule"
    """NoSchedule, PreferNoSchedule or NoExecute."""


class Toleration(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A pod's toleration, as in Kubernetes."""

    key: str = ""
    """Name of the taint; "" with `Exists` tolerates every taint."""
    operator: str = "Equal"
    """Equal or Exists."""
    value: str = ""
    """Value of the taint."""
    effect: str = ""
    """Effect of the taint; "" is every effect."""


class Requirement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One expression of a required node affinity."""

    key: str
    """A node's label."""
    operator: str
    """In, NotIn, Exists, DoesNotExist, Gt or Lt."""
    values: tuple[str, ...] = ()
    """Values to compare with."""


class Pod(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A pod that has not ended."""

    uid: str
    """Kubernetes' identity of the pod."""
    name: str
    """Its name."""
    namespace: str = ""
    """Its namespace."""
    kind: Literal["job", "daemon", "pause", "other"] = "job"
    """`job`: a CI job. `daemon`: of a DaemonSet, or static. `pause`: a placeholder of ours. `other`: blocks its node too."""
    phase: Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"] = "Pending"
    """Its phase. Succeeded and Failed pods occupy nothing; the observer may leave them out."""
    node: str = ""
    """Node that it is bound to; "" while it waits for one."""
    size: Size = Size()
    """What the scheduler counts for it: containers, init containers and overhead."""
    created_at: float = 0.0
    """When it was created."""
    bound_at: float = 0.0
    """When it was bound; 0 while it is not, or if that is not known."""
    is_terminating: bool = False
    """Whether it has a deletion timestamp."""
    is_gated: bool = False
    """Whether a scheduling gate holds it back: it is not a demand yet."""
    blocked: Literal["", "quota", "image", "secret", "volume"] = ""
    """Why it waits for something else than a node."""
    blocked_detail: str = ""
    """That in the kubelet's words, or what else keeps its containers from starting; "" if the kubelet does not say."""
    is_mounting: bool = False
    """Whether it has a node and no network yet, which comes after its volumes: only Events say why."""
    scheduler_message: str = ""
    """The scheduler's message if it found no node (condition PodScheduled=False); "" if it has not tried."""
    node_selector: dict[str, str] = {}
    """Labels that its node must have."""
    affinity: tuple[tuple[Requirement, ...], ...] = ()
    """Required node affinity: one of these lists must hold in whole; empty asks for nothing."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints that it tolerates."""
    unread_constraints: tuple[str, ...] = ()
    """Constraints of its spec that decisions do not know, such as `podAntiAffinity`."""
    graph: str = ""
    """Digest of its job graph (label `spack-farm.io/graph`)."""
    graph_job: str = ""
    """Its key in that graph (label `spack-farm.io/graph-job`)."""
    expected_seconds: float | None = None
    """How long it is expected to run once it is bound; None if not known."""
    p90_seconds: float | None = None
    """Nine of ten such jobs are shorter; None if not known."""
    orphaned_since: float | None = None
    """Since when its GitLab job has ended, or its owner is gone; None if it has an owner."""

    @property
    def occupies(self) -> bool:
        """Return whether it has a place on a node."""
        return bool(self.node) and self.phase not in {"Succeeded", "Failed"}

    @property
    def waits_for_node(self) -> bool:
        """Return whether it is a job that only lacks a node."""
        return (
            not self.node and self.kind == JOB and self.phase == "Pending"
            and not (self.is_terminating or self.is_gated or self.blocked)
        )  # fmt: skip


class Cordon(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Our own cordon, as the node's annotation says."""

    at: float
    """When the node was cordoned, by the clock of the controller that did it."""
    by: str = ""
    """Identity of that controller."""


class Node(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A Node object of the cluster."""

    name: str
    """Its name."""
    pool: str = ""
    """The pool that it belongs to; "" if it is not ours: it is never touched, but pods may run there."""
    type: str = ""
    """Instance type."""
    zone: str = ""
    """Availability zone; "" if there are none."""
    instance: str = ""
    """The cloud's identity of the machine, as in `launches` and in `PoolState.instances`; "" if not known."""
    created_at: float = 0.0
    """When the object was created."""
    is_ready: bool = True
    """The condition Ready."""
    is_usable: bool = True
    """Whether it is ready and jobs can run there: no startup taint, kubelet's serving certificate approved."""
    unready_since: float | None = None
    """Since when a node that was ready is not; None otherwise."""
    allocatable: Size = Size()
    """What it has for pods."""
    most_pods: int = 110
    """How many pods it may run."""
    labels: dict[str, str] = {}
    """Its labels; only those that pods may select."""
    taints: tuple[Taint, ...] = ()
    """Its taints, without Kubernetes' own for cordons, without startup taints and without ours."""
    is_unschedulable: bool = False
    """Whether it is cordoned, by whomever."""
    cordon: Cordon | None = None
    """Our own cordon; None if it is not ours."""
    price_per_hour: float | None = None
    """Its price; None takes that of the pool's settings."""
    interrupted_at: float | None = None
    """When the cloud takes it away (spot interruption notice); None if nothing was announced."""
    is_kept: bool = False
    """Whether an operator's annotation keeps it (`spack-farm.io/keep`): it is never scaled in."""


class Launch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Capacity that was ordered and has no Node object yet.

    Also what was just ordered and the cloud does not show yet: the hand counts its orders until it sees them or their fault.
    """

    id: str
    """Identity of the order: an instance, a NodeClaim, or a number within a pool."""
    pool: str
    """Pool that it was ordered from."""
    type: str
    """Instance type."""
    zone: str = ""
    """Zone; "" if the cloud chooses."""
    ordered_at: float
    """When it was ordered."""
    instance: str = ""
    """The machine, once there is one."""


class LaunchFault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An order that the cloud did not fulfill."""

    at: float
    """When."""
    type: str
    """Instance type."""
    zone: str = ""
    """Zone; "" if the cloud chose."""
    message: str = ""
    """The cloud's reason."""


class PoolState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the hand sees of a pool."""

    name: str
    """Name in the settings."""
    desired: int = 0
    """How many machines the pool is to have, as far as the cloud knows such a number; else how many there are."""
    most: int | None = None
    """The cloud's own upper bound; None if it has none."""
    least: int = 0
    """The cloud's own lower bound."""
    instances: tuple[str, ...] | None = None
    """Machines that exist, with or without a Node; None if the hand cannot list them."""
    faults: tuple[LaunchFault, ...] = ()
    """Orders that failed within the last hour."""
    rejected: str = ""
    """Why nothing may be done with this pool, such as AZRebalance; "" if all is well."""


class GraphJob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job of a job graph that a pipeline builds."""

    key: str
    """Key in the graph: a spec hash."""
    name: str = ""
    """For people."""
    needs: tuple[str, ...] = ()
    """Keys of the jobs that must end first; keys that the graph lacks are ignored."""
    size: Size = Size()
    """What its pod will request."""
    expected_seconds: float | None = None
    """How long it is expected to run; None if not known."""
    p90_seconds: float | None = None
    """Nine of ten such jobs are shorter; None if not known."""


class Graph(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job graph with what is known of its progress."""

    digest: str
    """Digest of the document."""
    jobs: tuple[GraphJob, ...] = ()
    """Jobs with state `build`."""
    done: frozenset[str] = frozenset()
    """Keys of jobs that have ended, whether well or badly."""
    unknown: frozenset[str] = frozenset()
    """Keys of jobs of which nothing is known: their branch gives no look-ahead."""


class QueuedJob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job that waits in GitLab and has no pod yet."""

    id: str
    """GitLab's id."""
    name: str = ""
    """For people."""
    since: float = 0.0
    """Since when it waits."""
    size: Size | None = None
    """What its pod will request; None takes the pool's slot."""
    expected_seconds: float | None = None
    """How long it is expected to run; None if not known."""
    node_selector: dict[str, str] = {}
    """Labels that its node must have."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints that its pod will tolerate."""


class Breaker(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """How often orders of one type in one zone of one pool failed in a row."""

    pool: str
    """Pool."""
    type: str
    """Instance type."""
    zone: str = ""
    """Zone."""
    failures: int = 0
    """Failures without a success between them."""
    last_fault_at: float = 0.0
    """When the last one that is counted happened."""
    closed_at: float = 0.0
    """Until then nothing is ordered there."""


class Ledger(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one decision leaves to the next. An empty one is safe: a node is seen idle anew before it goes."""

    idle_since: dict[str, float] = {}
    """Node -> since when it was seen without a job."""
    breakers: tuple[Breaker, ...] = ()
    """Orders that failed."""
    ordered_at: float = 0.0
    """When machines were last ordered."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a decision may know."""

    version: int = VERSION
    """Version of this document."""
    taken_at: float
    """When it was put together, by the controller's clock."""
    inputs: dict[str, float] = {}
    """Input -> when it was last read well: `pods`, `nodes`, `pools`, `graphs`, `gitlab`. An absent input is missing."""
    pods: tuple[Pod, ...] = ()
    """Pods of all namespaces that are bound to nodes or are jobs."""
    nodes: tuple[Node, ...] = ()
    """All nodes."""
    pools: tuple[PoolState, ...] = ()
    """The pools of the settings."""
    launches: tuple[Launch, ...] = ()
    """What was ordered and has no Node yet."""
    graphs: tuple[Graph, ...] = ()
    """Job graphs of jobs that have pods."""
    queued: tuple[QueuedJob, ...] = ()
    """Jobs that wait in GitLab, where it is asked."""
    ledger: Ledger = Ledger()
    """What the last decision left."""


def to_json(snapshot: Snapshot) -> bytes:
    """Return the document."""
    return msgspec.json.encode(snapshot)


def from_json(content: bytes) -> Snapshot:
    """Return the Snapshot of a document. Raises msgspec.MsgspecError, which names the path, if it is none."""
    return msgspec.json.decode(content, type=Snapshot)
