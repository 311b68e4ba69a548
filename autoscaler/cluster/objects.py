"""Kubernetes objects as the API server writes them: only the fields that are read, everything else is skipped unread.

Source: Kubernetes API v1 (Pod, Node), coordination.k8s.io/v1 (Lease), karpenter.sh/v1 (NodeClaim),
autoscaling.x-k8s.io (CapacityBuffer).
"""

from typing import Generic, TypeVar

import msgspec

_Item = TypeVar("_Item")


class ListMeta(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Of a list."""

    resource_version: str = ""
    following: str = msgspec.field(default="", name="continue")
    """Token of the following page; "" on the last one."""


class Page(msgspec.Struct, Generic[_Item], frozen=True):
    """A page of a list."""

    metadata: ListMeta = ListMeta()
    items: list[_Item] = []


class Owner(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """An owner reference."""

    kind: str = ""
    name: str = ""


class Meta(msgspec.Struct, frozen=True, rename="camel"):
    """Of an object."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: list[Owner] = []


class Resources(msgspec.Struct, frozen=True):
    """Of a container or a pod. Quantities may be written as numbers."""

    requests: dict[str, str | int | float] = {}


class Port(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Of a container."""

    host_port: int = 0


class Container(msgspec.Struct, frozen=True, rename="camel"):
    """Of a pod's spec."""

    resources: Resources = Resources()
    ports: list[Port] = []
    restart_policy: str = ""
    """Of an init container: `Always` makes it a sidecar."""


class Expression(msgspec.Struct, frozen=True):
    """Of a node selector."""

    key: str = ""
    operator: str = ""
    values: list[str] = []


class Term(msgspec.Struct, frozen=True, rename="camel"):
    """Of a node selector: all of its expressions must hold."""

    match_expressions: list[Expression] = []
    match_fields: list[Expression] = []


class NodeSelector(msgspec.Struct, frozen=True, rename="camel"):
    """One of its terms must hold."""

    node_selector_terms: list[Term] = []


class NodeAffinity(msgspec.Struct, frozen=True):
    """What a pod requires of its node."""

    required: NodeSelector | None = msgspec.field(default=None, name="requiredDuringSchedulingIgnoredDuringExecution")


class PodAffinity(msgspec.Struct, frozen=True):
    """What a pod requires of the pods around it; only whether it does."""

    required: list[dict[str, object]] = msgspec.field(
        default_factory=list, name="requiredDuringSchedulingIgnoredDuringExecution"
    )


class Affinity(msgspec.Struct, frozen=True, rename="camel"):
    """Of a pod."""

    node_affinity: NodeAffinity = NodeAffinity()
    pod_affinity: PodAffinity = PodAffinity()
    pod_anti_affinity: PodAffinity = PodAffinity()


class TolerationObject(msgspec.Struct, frozen=True, gc=False):
    """Of a pod."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""


class Spread(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A topology spread constraint."""

    when_unsatisfiable: str = ""

    @property
    def is_hard(self) -> bool:
        """Whether a pod waits for it."""
        return self.when_unsatisfiable != "ScheduleAnyway"


class Claim(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The claim of a volume."""

    claim_name: str = ""


class Volume(msgspec.Struct, frozen=True, rename="camel"):
    """Of a pod; only whether it binds the pod to a place."""

    persistent_volume_claim: Claim | None = None


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """Of a pod."""

    node_name: str = ""
    containers: list[Container] = []
    init_containers: list[Container] = []
    resources: Resources = Resources()
    """Of the pod as a whole."""
    overhead: dict[str, str | int | float] = {}
    node_selector: dict[str, str] = {}
    affinity: Affinity | None = None
    tolerations: list[TolerationObject] = []
    scheduling_gates: list[dict[str, object]] = []
    topology_spread_constraints: list[Spread] = []
    resource_claims: list[dict[str, object]] = []
    volumes: list[Volume] = []
    priority: int | None = None


class Condition(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Of a status."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""


class State(msgspec.Struct, frozen=True, gc=False):
    """Why a container waits, or how it ended."""

    reason: str = ""
    message: str = ""


class ContainerState(msgspec.Struct, frozen=True, gc=False):
    """Of a container."""

    waiting: State | None = None
    terminated: State | None = None


class ContainerStatus(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Of a container."""

    name: str = ""
    state: ContainerState = ContainerState()


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """Of a pod."""

    phase: str = ""
    conditions: list[Condition] = []
    container_statuses: list[ContainerStatus] = []
    init_container_statuses: list[ContainerStatus] = []


class PodObject(msgspec.Struct, frozen=True):
    """A pod."""

    metadata: Meta = Meta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class Involved(msgspec.Struct, frozen=True, gc=False):
    """What an Event is about."""

    uid: str = ""


class EventObject(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """An Event."""

    metadata: Meta = Meta()
    involved_object: Involved = Involved()
    reason: str = ""
    message: str = ""
    last_timestamp: str | None = None
    event_time: str | None = None


class TaintObject(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Of a node."""

    key: str = ""
    value: str = ""
    effect: str = ""
    time_added: str = ""


class NodeSpec(msgspec.Struct, frozen=True, rename="camel"):
    """Of a node."""

    unschedulable: bool = False
    taints: list[TaintObject] = []
    provider_id: str = msgspec.field(default="", name="providerID")


class NodeStatus(msgspec.Struct, frozen=True, rename="camel"):
    """Of a node."""

    allocatable: dict[str, str | int | float] = {}
    conditions: list[Condition] = []


class NodeObject(msgspec.Struct, frozen=True):
    """A node."""

    metadata: Meta = Meta()
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class Requirement(msgspec.Struct, frozen=True):
    """Of a NodeClaim."""

    key: str = ""
    operator: str = ""
    values: list[str] = []


class NodeClaimSpec(msgspec.Struct, frozen=True):
    """Of a NodeClaim."""

    requirements: list[Requirement] = []


class NodeClaimStatus(msgspec.Struct, frozen=True, rename="camel"):
    """Of a NodeClaim."""

    node_name: str = ""
    provider_id: str = msgspec.field(default="", name="providerID")
    conditions: list[Condition] = []


class NodeClaimObject(msgspec.Struct, frozen=True):
    """An order of Karpenter's."""

    metadata: Meta = Meta()
    spec: NodeClaimSpec = NodeClaimSpec()
    status: NodeClaimStatus = NodeClaimStatus()


class TemplateRef(msgspec.Struct, frozen=True, gc=False):
    """Names a PodTemplate."""

    name: str = ""


class BufferSpec(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Of a CapacityBuffer."""

    provisioning_strategy: str | None = None
    pod_template_ref: TemplateRef = TemplateRef()
    replicas: int | None = None


class BufferObject(msgspec.Struct, frozen=True):
    """A CapacityBuffer."""

    metadata: Meta = Meta()
    spec: BufferSpec = BufferSpec()


class Bookmark(msgspec.Struct, frozen=True):
    """The object of a BOOKMARK line."""

    metadata: ListMeta = ListMeta()


class Status(msgspec.Struct, frozen=True, gc=False):
    """The object of an ERROR line."""

    code: int = 0
    message: str = ""


class EventType(msgspec.Struct, frozen=True, gc=False):
    """A line of a watch, its object unread."""

    type: str
    object: msgspec.Raw
