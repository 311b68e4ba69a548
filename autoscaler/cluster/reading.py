"""Kubernetes objects into what a Snapshot holds of them. Pure: values in, values out.

Source: Kubernetes, pkg/api/v1/resource (PodRequests), for what the scheduler counts; KEP-753 for sidecars; KEP-2837 for
resources of a pod as a whole.
"""

import datetime as dt
import functools
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

import msgspec

from autoscaler.cluster import names
from autoscaler.cluster.objects import Condition, Container, EventObject, NodeObject, PodObject, PodSpec, TaintObject
from autoscaler.snapshot import Cordon, Node, Pod, Requirement, Size, Taint, Toleration
from executor.units import QuantityError, parse_bytes, parse_millicores

_BASIC = {"cpu": "cpu_millicores", "memory": "memory_bytes", "ephemeral-storage": "disk_bytes"}
_PULL_FAULTS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"})
_START_FAULTS = frozenset({"CreateContainerError", "RunContainerError"})
_SETTLED = frozenset({"Succeeded", "Failed"})
_LONGEST_MESSAGE = 500
_BOOT_SECONDS = 120.0
"""A node that is unready so soon after its creation has not been ready yet."""
_CLAIM_FAULTS = ("persistentvolumeclaim", "unbound immediate", "volume node affinity")
"""Words of the scheduler about volumes; its condition has no other sign. Source: plugins/volumebinding/volume_binding.go."""
_CONFIGURATION = re.compile(r"\bsecrets?\b|\bconfigmaps?\b", re.IGNORECASE)
"""What the kubelet says of a secret or config map that a container needs. Source: pkg/kubelet/kubelet_pods.go."""
_MOUNT_CONFIGURATION = re.compile(
    r' : (?:secret|configmap) "|references non-existent (?:secret|config) key|object "[^"]*"/"[^"]*" not registered'
)
"""The same of a volume. Source: pkg/volume/secret, pkg/volume/configmap, pkg/kubelet/util/manager."""
_RECENT_SECONDS = 180.0
"""The kubelet tries a mount again every two minutes at most, and says so each time."""
_NETWORK = "PodReadyToStartContainers"


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which pods are jobs, and which nodes are not usable yet."""

    job_labels: Mapping[str, str] = {}
    """A pod with all of these is a job."""
    startup_taints: frozenset[str] = frozenset(names.STARTUP_TAINTS)
    """A node with one of these is not usable yet."""
    pools: frozenset[str] | None = None
    """Our pools; a node of another is not ours. None: every pool is."""


def read_pod(found: PodObject, selection: Selection) -> Pod | None:
    """Return a pod; None if it has ended: it occupies nothing."""
    meta, spec, status = found.metadata, found.spec, found.status
    if status.phase in _SETTLED:
        return None
    scheduled = _condition(status.conditions, "PodScheduled")
    message = scheduled.message if scheduled and scheduled.status == "False" else ""
    graph, graph_job = meta.labels.get(names.GRAPH, ""), meta.labels.get(names.GRAPH_JOB, "")
    blocked, detail = _blocked(found, message)
    return Pod(
        uid=meta.uid,
        name=meta.name,
        namespace=meta.namespace,
        kind=_kind(found, selection),
        phase=_phase(status.phase),
        node=spec.node_name,
        size=pod_size(spec),
        created_at=seconds(meta.creation_timestamp),
        bound_at=seconds(scheduled.last_transition_time) if scheduled and scheduled.status == "True" else 0.0,
        is_terminating=bool(meta.deletion_timestamp),
        is_gated=bool(spec.scheduling_gates),
        blocked=blocked,
        blocked_detail=detail[:_LONGEST_MESSAGE],
        is_mounting=_is_mounting(found),
        scheduler_message=message[:_LONGEST_MESSAGE],
        node_selector=_one_selector(tuple(sorted(spec.node_selector.items()))),
        affinity=_affinity(spec),
        tolerations=_tolerations(spec),
        unread_constraints=_unread(spec),
        graph=graph,
        graph_job=graph_job,
        expected_seconds=_positive(meta.annotations.get(names.EXPECTED_SECONDS, "")),
    )


def read_node(found: NodeObject, selection: Selection) -> Node:
    """Return a node."""
    meta, spec = found.metadata, found.spec
    ready = _condition(found.status.conditions, "Ready")
    is_ready = ready is not None and ready.status == "True"
    keys = {taint.key for taint in spec.taints}
    # What Kubernetes itself says by a taint keeps new jobs away as much as an operator's startup taint does.
    faults = {key for key in keys if key.startswith(names.KUBERNETES_OWN) and key != names.UNSCHEDULABLE}
    created_at = seconds(meta.creation_timestamp)
    return Node(
        name=meta.name,
        pool=_pool_of(meta.labels, selection),
        type=meta.labels.get(names.INSTANCE_TYPE, ""),
        zone=meta.labels.get(names.ZONE, ""),
        instance=instance_of(spec.provider_id),
        created_at=created_at,
        is_ready=is_ready,
        is_usable=is_ready and not faults and keys.isdisjoint(selection.startup_taints),
        unready_since=_unready_since(ready, created_at),
        allocatable=read_size(found.status.allocatable),
        most_pods=_count(found.status.allocatable.get("pods", 110)),
        labels=meta.labels,
        taints=tuple(
            Taint(key=taint.key, value=taint.value, effect=taint.effect)
            for taint in spec.taints
            if not _is_known(taint, selection)
        ),
        is_unschedulable=spec.unschedulable or names.UNSCHEDULABLE in keys,
        cordon=read_cordon(meta.annotations),
        price_per_hour=next(
            (price for label in names.PRICES if (price := _positive(meta.labels.get(label, ""))) is not None), None
        ),
        interrupted_at=_interrupted_at(spec.taints, created_at),
        is_kept=names.KEEP in meta.annotations or names.KEEP in meta.labels,
    )


def _pool_of(labels: Mapping[str, str], selection: Selection) -> str:
    pool = labels.get(names.POOL, "")
    return pool if selection.pools is None or pool in selection.pools else ""


def instance_of(provider_id: str) -> str:
    """Return the machine that a provider id names: `i-0abc` of `aws:///us-east-1a/i-0abc`."""
    return provider_id.rpartition("/")[2]


def read_cordon(annotations: Mapping[str, str]) -> Cordon | None:
    """Return our own cordon, as the node's annotation says; None without one. One that cannot be read is one of old."""
    text = annotations.get(names.SCALE_IN)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=Cordon)
    except msgspec.MsgspecError:
        return Cordon(at=0.0)


def pod_size(spec: PodSpec) -> Size:
    """Return what the scheduler counts for a pod: its containers, init containers, sidecars and overhead."""
    running: dict[str, int] = {}
    for container in spec.containers:
        running = _plus(running, _amounts(container.resources.requests))
    sidecars: dict[str, int] = {}
    starting: dict[str, int] = {}
    for container in spec.init_containers:
        asked = _amounts(container.resources.requests)
        if _is_sidecar(container):
            sidecars = _plus(sidecars, asked)
            starting = _most(starting, sidecars)
        else:
            starting = _most(starting, _plus(sidecars, asked))
    both = _most(_plus(running, sidecars), starting)
    # What the pod as a whole asks for stands for its containers; other resources stay theirs.
    both |= _amounts(spec.resources.requests)
    return _size(_plus(both, _amounts(spec.overhead)))


def read_size(quantities: Mapping[str, str | float]) -> Size:
    """Return what a table of quantities says; `pods` is none of it, a quantity that cannot be read counts as nothing."""
    return _size({name: value for name, value in _amounts(quantities).items() if name != "pods"})


@functools.lru_cache(maxsize=4096)
def seconds(text: str) -> float:
    """Return an instant of the API in Unix seconds; 0 if it is none."""
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def is_daemon(found: PodObject) -> bool:
    """Return whether a pod goes with its node: of a DaemonSet, or static."""
    meta = found.metadata
    return (
        any(owner.kind in {"DaemonSet", "Node"} for owner in meta.owner_references) or names.STATIC_POD in meta.annotations
    )


def blocks_removal(found: PodObject) -> bool:
    """Return whether a node with this pod must stay: it has not ended, does not go with its node, and is no placeholder."""
    return not (
        found.status.phase in _SETTLED or is_daemon(found) or names.PAUSE in found.metadata.labels
    )  # fmt: skip


def _kind(found: PodObject, selection: Selection) -> Literal["job", "daemon", "pause", "other"]:
    labels = found.metadata.labels
    if is_daemon(found):
        return "daemon"
    if names.PAUSE in labels:
        return "pause"
    wanted = selection.job_labels
    return "job" if wanted and all(labels.get(key) == value for key, value in wanted.items()) else "other"


def _phase(text: str) -> Literal["Pending", "Running", "Unknown"]:
    if text == "Running":
        return "Running"
    return "Unknown" if text == "Unknown" else "Pending"


def mount_faults(events: Iterable[EventObject], now: float) -> dict[str, tuple[Literal["secret", "volume"], str]]:
    """Return why volumes of pods cannot be mounted, by the pods' identities: each pod's last message, if it is recent."""
    found: dict[str, tuple[float, str]] = {}
    for event in events:
        at = seconds(event.last_timestamp or event.event_time or event.metadata.creation_timestamp)
        if now - at <= _RECENT_SECONDS and at >= found.get(event.involved_object.uid, (0.0, ""))[0]:
            found[event.involved_object.uid] = at, " ".join(event.message.split())
    return {
        uid: ("secret" if _MOUNT_CONFIGURATION.search(message) else "volume", message[:_LONGEST_MESSAGE])
        for uid, (_, message) in found.items()
    }


def _is_mounting(found: PodObject) -> bool:
    if not found.spec.node_name or found.status.phase != "Pending" or found.metadata.deletion_timestamp:
        return False
    network = _condition(found.status.conditions, _NETWORK)
    return network is None or network.status != "True"


def _blocked(found: PodObject, message: str) -> tuple[Literal["", "image", "secret", "volume"], str]:
    """Return for what a pod waits that is not a node, and what is said of it; "" with words is a fault of another kind."""
    if found.status.phase == "Running":
        return "", ""
    for one in (*found.status.container_statuses, *found.status.init_container_statuses):
        waiting = one.state.waiting
        if waiting is None:
            continue
        detail = " ".join(f"container {one.name}: {waiting.reason}: {waiting.message}".split()).removesuffix(":")
        if waiting.reason in _PULL_FAULTS:
            return "image", detail
        if waiting.reason == "CreateContainerConfigError":
            # Other faults of the configuration, such as a user that is not allowed, are not a secret's.
            return ("secret" if _CONFIGURATION.search(waiting.message) or not waiting.message else ""), detail
        if waiting.reason in _START_FAULTS:
            return "", detail
    return ("volume", message) if any(word in message for word in _CLAIM_FAULTS) else ("", "")


@functools.lru_cache(maxsize=4096)
def _one_selector(items: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return equal selectors as one object, which nothing changes."""
    return dict(items)


def _affinity(spec: PodSpec) -> tuple[tuple[Requirement, ...], ...]:
    required = spec.affinity.node_affinity.required if spec.affinity else None
    return tuple(
        tuple(
            Requirement(key=one.key, operator=one.operator, values=tuple(one.values)) for one in term.match_expressions
        )
        for term in (required.node_selector_terms if required else ())
        if term.match_expressions
    )  # fmt: skip


def _tolerations(spec: PodSpec) -> tuple[Toleration, ...]:
    return _one_set(tuple((one.key, one.operator or "Equal", one.value, one.effect) for one in spec.tolerations))


@functools.lru_cache(maxsize=4096)
def _one_set(found: tuple[tuple[str, str, str, str], ...]) -> tuple[Toleration, ...]:
    """Return equal sets of tolerations as one object."""
    return tuple(
        Toleration(key=key, operator=operator, value=value, effect=effect) for key, operator, value, effect in found
    )


def _unread(spec: PodSpec) -> tuple[str, ...]:
    """Return the constraints that decisions do not know."""
    affinity = spec.affinity
    required = affinity.node_affinity.required if affinity else None
    found = {
        "podAffinity": bool(affinity and affinity.pod_affinity.required),
        "podAntiAffinity": bool(affinity and affinity.pod_anti_affinity.required),
        "matchFields": any(term.match_fields for term in (required.node_selector_terms if required else ())),
        "topologySpreadConstraints": any(one.is_hard for one in spec.topology_spread_constraints),
        "resourceClaims": bool(spec.resource_claims),
        "persistentVolumeClaim": any(one.persistent_volume_claim for one in spec.volumes),
        "hostPort": any(port.host_port for one in spec.containers for port in one.ports),
    }  # fmt: skip
    return tuple(name for name, is_there in found.items() if is_there)


def _unready_since(ready: Condition | None, created_at: float) -> float | None:
    """Return since when a node that was ready is not; one that is still starting was not ready yet."""
    if ready is None or ready.status == "True":
        return None
    since = seconds(ready.last_transition_time)
    return since if ready.status == "Unknown" or since - created_at > _BOOT_SECONDS else None


def _interrupted_at(taints: Iterable[TaintObject], created_at: float) -> float | None:
    """Return when the node is taken away by somebody else, as far as a taint says: from the moment that it was put there."""
    found = [seconds(taint.time_added) or created_at for taint in taints if taint.key in names.INTERRUPTIONS]
    return min(found, default=None)


def _is_known(taint: TaintObject, selection: Selection) -> bool:
    """Return whether a taint has a field of its own in the Snapshot."""
    return (
        taint.key == names.SCALE_IN
        or taint.key.startswith(names.KUBERNETES_OWN)
        or taint.key in selection.startup_taints
        or taint.key in names.INTERRUPTIONS
    )


def _condition(conditions: Collection[Condition], kind: str) -> Condition | None:
    return next((one for one in conditions if one.type == kind), None)


def _is_sidecar(container: Container) -> bool:
    return container.restart_policy == "Always"


def _amounts(quantities: Mapping[str, str | float]) -> dict[str, int]:
    return {name: _amount(name, quantity) for name, quantity in quantities.items()}


@functools.lru_cache(maxsize=8192)
def _amount(name: str, quantity: str | float) -> int:
    """Return a quantity in base units, CPU in thousandths; one that cannot be read is 0."""
    try:
        return parse_millicores(str(quantity)) if name == "cpu" else parse_bytes(str(quantity))
    except QuantityError:
        return 0


def _size(amounts: dict[str, int]) -> Size:
    return _one_size(tuple(sorted((name, value) for name, value in amounts.items() if value)))


@functools.lru_cache(maxsize=4096)
def _one_size(amounts: tuple[tuple[str, int], ...]) -> Size:
    """Return equal sizes as one object: ten thousand pods have the same few."""
    basic = {field: dict(amounts).get(name, 0) for name, field in _BASIC.items()}
    return Size(extended={name: value for name, value in amounts if name not in _BASIC}, **basic)


def _plus(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in one.keys() | other.keys()}


def _most(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in one.keys() | other.keys()}


def _positive(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < 1e12 else None


def _count(quantity: str | float) -> int:
    return _amount("pods", quantity)
