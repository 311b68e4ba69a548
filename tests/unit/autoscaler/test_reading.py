"""Kubernetes objects into what a Snapshot holds of them."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.cluster.objects import EventObject, Involved, Meta, NodeObject, PodObject
from autoscaler.cluster.reading import (
    Selection,
    blocks_removal,
    instance_of,
    mount_faults,
    read_cordon,
    read_node,
    read_pod,
    seconds,
)
from autoscaler.snapshot import Cordon, Node, Pod, Requirement, Size, Taint

GIB = 1 << 30
SELECTION = Selection(job_labels={"spack-farm.io/managed-by": "executor"}, startup_taints=frozenset({"starting"}))


def pod_object(spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **metadata: Any) -> PodObject:
    document = {"metadata": {"uid": "u", "name": "p", **metadata}, "spec": spec or {}, "status": status or {}}
    return msgspec.json.decode(json.dumps(document), type=PodObject)


def pod_of(spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **metadata: Any) -> Pod:
    found = read_pod(pod_object(spec, status, **metadata), SELECTION)
    assert found is not None
    return found


def node_of(spec: dict[str, Any] | None = None, conditions: list[dict[str, Any]] | None = None, **metadata: Any) -> Node:
    ready = [{"type": "Ready", "status": "True"}] if conditions is None else conditions
    document = {
        "metadata": {"name": "n", "creationTimestamp": "2026-01-01T00:00:00Z", **metadata},
        "spec": spec or {},
        "status": {"allocatable": {"cpu": "15890m", "memory": "60Gi", "pods": "58"}, "conditions": ready},
    }
    return read_node(msgspec.json.decode(json.dumps(document), type=NodeObject), SELECTION)


def asks(cpu: str, memory: str = "1Gi", **more: str) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu, "memory": memory, **more}}}


@pytest.mark.parametrize(
    ("spec", "cpu", "gib"),
    [
        ({"containers": [asks("1"), asks("500m")]}, 1500, 2),
        ({"containers": [asks("1")], "initContainers": [asks("3", "512Mi")]}, 3000, 1),
        # a sidecar runs beside the containers, and beside the init containers after it
        ({"containers": [asks("1")], "initContainers": [asks("1") | {"restartPolicy": "Always"}, asks("1")]}, 2000, 2),
        ({"containers": [asks("1")], "initContainers": [asks("3"), asks("1") | {"restartPolicy": "Always"}]}, 3000, 2),
        ({"containers": [asks("1")], "overhead": {"cpu": "250m", "memory": "1Gi"}}, 1250, 2),
        ({"containers": [asks("1"), asks("1")], "resources": {"requests": {"cpu": "3"}}}, 3000, 2),
        ({"containers": [{}]}, 0, 0),
        ({"containers": [asks("a lot", "1e9Gi?")]}, 0, 0),
        ({"containers": [{"resources": {"requests": {"cpu": 2, "memory": 1073741824}}}]}, 2000, 1),
    ],
)
def test_a_pods_size_is_what_the_scheduler_counts(spec: dict[str, Any], cpu: int, gib: int) -> None:
    assert pod_of(spec).size == Size(cpu_millicores=cpu, memory_bytes=gib * GIB)


def test_other_resources_are_counted_by_their_name() -> None:
    spec = {"containers": [asks("1", **{"nvidia.com/gpu": "2", "ephemeral-storage": "5Gi"})]}
    assert pod_of(spec).size == Size(
        cpu_millicores=1000, memory_bytes=GIB, disk_bytes=5 * GIB, extended={"nvidia.com/gpu": 2}
    )


@pytest.mark.parametrize(
    ("metadata", "kind", "blocks"),
    [
        ({"labels": {"spack-farm.io/managed-by": "executor"}}, "job", True),
        ({"labels": {"spack-farm.io/managed-by": "somebody"}}, "other", True),
        ({}, "other", True),
        ({"ownerReferences": [{"kind": "DaemonSet", "name": "d"}]}, "daemon", False),
        ({"ownerReferences": [{"kind": "Node", "name": "n"}]}, "daemon", False),
        ({"annotations": {"kubernetes.io/config.mirror": "x"}}, "daemon", False),
        ({"ownerReferences": [{"kind": "ReplicaSet", "name": "r"}]}, "other", True),
        ({"labels": {"spack-farm.io/pause": "true"}}, "pause", False),
        # a pod of a DaemonSet is no job, whatever its labels say
        ({"labels": {"spack-farm.io/managed-by": "executor"}, "ownerReferences": [{"kind": "DaemonSet"}]}, "daemon", False),
    ],
)
def test_which_pods_keep_a_node(metadata: dict[str, Any], kind: str, blocks: bool) -> None:  # noqa: FBT001 (a column)
    assert pod_of(**metadata).kind == kind
    assert blocks_removal(pod_object(**metadata)) is blocks


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_occupies_nothing(phase: str) -> None:
    found = pod_object(status={"phase": phase}, labels={"spack-farm.io/managed-by": "executor"})
    assert read_pod(found, SELECTION) is None
    assert not blocks_removal(found)


@pytest.mark.parametrize("phase", ["Pending", "Running", "Unknown", ""])
def test_a_pod_in_any_other_phase_keeps_its_node(phase: str) -> None:
    assert blocks_removal(pod_object(status={"phase": phase}))


def scheduled(status: str, message: str = "", reason: str = "Unschedulable") -> dict[str, Any]:
    one = {"type": "PodScheduled", "status": status, "message": message, "reason": reason}
    return {"phase": "Pending", "conditions": [one | {"lastTransitionTime": "2026-01-01T00:00:10Z"}]}


def waits(reason: str, message: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "containerStatuses": [{"name": "build", "state": state}]}


@pytest.mark.parametrize(
    ("status", "blocked"),
    [
        (waits("ContainerCreating"), ""),
        (waits("ImagePullBackOff"), "image"),
        (waits("ErrImageNeverPull"), "image"),
        (waits("CreateContainerConfigError"), "secret"),
        (waits("CreateContainerConfigError", 'secret "s" not found'), "secret"),
        (waits("CreateContainerConfigError", "couldn't find key k in Secret ns/s"), "secret"),
        (waits("CreateContainerConfigError", 'configmap "c" not found'), "secret"),
        (waits("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"), ""),
        (waits("CreateContainerError", "no command specified"), ""),
        (scheduled("False", "0/3 nodes are available: 3 Insufficient cpu."), ""),
        (scheduled("False", 'persistentvolumeclaim "a" not found'), "volume"),
        (scheduled("False", "0/1 nodes: pod has unbound immediate PersistentVolumeClaims."), "volume"),
    ],
)
def test_why_a_pod_waits_for_something_else_than_a_node(status: dict[str, Any], blocked: str) -> None:
    found = pod_of(status=status)
    assert found.blocked == blocked
    detail = status.get("containerStatuses", [{"state": {}}])[0]["state"].get("waiting", {}).get("message", "")
    assert detail in found.blocked_detail, "what the kubelet says is kept, whatever it is"


@pytest.mark.parametrize(
    ("spec", "status", "mounting"),
    [
        ({"nodeName": "n"}, {"phase": "Pending"}, True),
        (
            {"nodeName": "n"},
            {"phase": "Pending", "conditions": [{"type": "PodReadyToStartContainers", "status": "False"}]},
            True,
        ),
        (
            {"nodeName": "n"},
            {"phase": "Pending", "conditions": [{"type": "PodReadyToStartContainers", "status": "True"}]},
            False,
        ),
        ({"nodeName": "n"}, {"phase": "Running"}, False),
        ({}, {"phase": "Pending"}, False),
    ],
)
def test_a_pod_with_a_node_and_without_its_network_waits_for_its_volumes(
    spec: dict[str, Any],
    status: dict[str, Any],
    mounting: bool,  # noqa: FBT001 (a column)
) -> None:
    assert pod_of(spec, status).is_mounting is mounting


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('MountVolume.SetUp failed for volume "v" : secret "s" not found', "secret"),
        ('MountVolume.SetUp failed for volume "v" : references non-existent secret key: k', "secret"),
        ('MountVolume.SetUp failed for volume "v" : references non-existent config key: k', "secret"),
        ('MountVolume.SetUp failed for volume "v" : configmap "c" not found', "secret"),
        ('MountVolume.SetUp failed for volume "v" : object "jobs"/"s" not registered', "secret"),
        ('MountVolume.SetUp failed for volume "secret" : mount failed: exit status 32', "volume"),
        ("Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[]: timed out", "volume"),
        ('MountVolume.SetUp failed for volume "v" : hostPath type check failed: /x is not a directory', "volume"),
        ('AttachVolume.Attach failed for volume "pvc-1" : rpc error: volume is attached elsewhere', "volume"),
        ('MountVolume.MountDevice failed for volume "pvc-1" : driver name x not found', "volume"),
    ],
)
def test_what_the_kubelet_says_of_a_mount(message: str, reason: str) -> None:
    one = EventObject(involved_object=Involved(uid="u"), message=message, last_timestamp="2026-01-01T00:00:00Z")
    assert mount_faults([one], seconds("2026-01-01T00:01:00Z")) == {"u": (reason, message)}


def test_when_a_pod_was_bound() -> None:
    at = seconds("2026-01-01T00:00:10Z")
    assert pod_of({"nodeName": "n"}, scheduled("True")).bound_at == at
    assert pod_of({}, scheduled("False", "no room")).bound_at == 0
    assert pod_of({}, scheduled("False", "no room")).scheduler_message == "no room"


def test_what_a_pod_asks_of_its_node() -> None:
    term = {"matchExpressions": [{"key": "k", "operator": "In", "values": ["a", "b"]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    found = pod_of({"affinity": affinity, "nodeSelector": {"x": "y"}, "tolerations": [{"operator": "Exists"}]})
    assert found.affinity == ((Requirement(key="k", operator="In", values=("a", "b")),),)
    assert found.node_selector == {"x": "y"}
    assert found.tolerations[0].operator == "Exists"
    assert found.unread_constraints == ()


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}}, "podAntiAffinity"),
        ({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}}, "podAffinity"),
        ({"topologySpreadConstraints": [{"whenUnsatisfiable": "DoNotSchedule"}]}, "topologySpreadConstraints"),
        ({"resourceClaims": [{}]}, "resourceClaims"),
        ({"volumes": [{"persistentVolumeClaim": {"claimName": "c"}}]}, "persistentVolumeClaim"),
        ({"containers": [{"ports": [{"hostPort": 80}]}]}, "hostPort"),
    ],
)
def test_constraints_that_decisions_do_not_know_are_named(spec: dict[str, Any], name: str) -> None:
    assert pod_of(spec).unread_constraints == (name,)


def test_soft_constraints_are_none() -> None:
    soft: dict[str, Any] = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{}]}}
    assert (
        pod_of({"affinity": soft, "topologySpreadConstraints": [{"whenUnsatisfiable": "ScheduleAnyway"}]}).unread_constraints
        == ()
    )


@pytest.mark.parametrize(
    ("text", "value"), [("90", 90.0), ("0.5", 0.5), ("-1", None), ("soon", None), ("nan", None), ("1e99", None), ("", None)]
)
def test_the_expected_time_of_a_job(text: str, value: float | None) -> None:
    assert pod_of(annotations={"spack-farm.io/expected-seconds": text}).expected_seconds == value


@pytest.mark.parametrize(
    ("taints", "is_usable"),
    [
        ([], True),
        (["starting"], False),
        (["node.kubernetes.io/not-ready"], False),
        (["node.kubernetes.io/network-unavailable"], False),
        (["node.kubernetes.io/disk-pressure"], False),
        (["node.kubernetes.io/unschedulable"], True),
        (["dedicated"], True),
        (["spack-farm.io/scale-in"], True),
    ],
)
def test_a_node_that_is_ready_is_not_yet_usable(taints: list[str], is_usable: bool) -> None:  # noqa: FBT001 (a column)
    found = node_of({"taints": [{"key": key, "effect": "NoSchedule"} for key in taints]})
    assert found.is_ready
    assert found.is_usable is is_usable
    assert [taint.key for taint in found.taints] == (["dedicated"] if "dedicated" in taints else [])


@pytest.mark.parametrize(
    ("conditions", "unready_since"),
    [
        ([{"type": "Ready", "status": "True"}], None),
        ([], None),
        ([{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:30Z"}], None),  # it still starts
        ([{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T01:00:00Z"}], "2026-01-01T01:00:00Z"),
        ([{"type": "Ready", "status": "Unknown", "lastTransitionTime": "2026-01-01T00:01:00Z"}], "2026-01-01T00:01:00Z"),
    ],
)
def test_since_when_a_node_is_not_ready(conditions: list[dict[str, Any]], unready_since: str | None) -> None:
    assert node_of(conditions=conditions).unready_since == (seconds(unready_since) if unready_since else None)


def test_a_node_as_a_snapshot_has_it() -> None:
    taints = [
        {"key": "aws-node-termination-handler/spot-itn", "effect": "NoSchedule", "timeAdded": "2026-01-01T02:00:00Z"},
        {"key": "team", "value": "x", "effect": "NoExecute"},
    ]
    labels = {
        "spack-farm.io/pool": "a", "node.kubernetes.io/instance-type": "m5.large", "topology.kubernetes.io/zone": "z",
        "eks-node-viewer/instance-price": "0.5",
    }  # fmt: skip
    annotations = {"spack-farm.io/scale-in": '{"at": 12.5, "by": "me"}', "spack-farm.io/keep": ""}
    spec = {"providerID": "aws:///us-east-1a/i-0abc", "unschedulable": True, "taints": taints}
    found = node_of(spec, labels=labels, annotations=annotations)
    assert (found.pool, found.type, found.zone, found.instance) == ("a", "m5.large", "z", "i-0abc")
    assert (found.price_per_hour, found.is_kept, found.most_pods, found.is_unschedulable) == (0.5, True, 58, True)
    assert found.allocatable == Size(cpu_millicores=15890, memory_bytes=60 * GIB)
    assert found.taints == (Taint(key="team", value="x", effect="NoExecute"),)
    assert found.interrupted_at == seconds("2026-01-01T02:00:00Z")
    assert found.cordon == Cordon(at=12.5, by="me")


@pytest.mark.parametrize(
    ("pools", "pool"), [(None, "a"), (frozenset({"a", "b"}), "a"), (frozenset({"b"}), ""), (frozenset(), "")]
)
def test_a_node_of_another_controllers_pool_is_not_ours(pools: frozenset[str] | None, pool: str) -> None:
    found = NodeObject(metadata=Meta(labels={"spack-farm.io/pool": "a"}))
    assert read_node(found, Selection(pools=pools)).pool == pool


@pytest.mark.parametrize("text", ["", "x", "[]", '{"by": "x"}', '{"at": "soon"}'])
def test_a_cordon_that_cannot_be_read_is_one_of_old(text: str) -> None:
    """So it is taken back, and never ends a node."""
    assert read_cordon({"spack-farm.io/scale-in": text}) == Cordon(at=0.0)
    assert read_cordon({}) is None


@pytest.mark.parametrize(
    ("provider_id", "instance"), [("aws:///us-east-1a/i-0abc", "i-0abc"), ("kwok://n1", "n1"), ("n2", "n2"), ("", "")]
)
def test_the_machine_that_a_provider_id_names(provider_id: str, instance: str) -> None:
    assert instance_of(provider_id) == instance


@given(st.text(max_size=40))
def test_any_text_is_an_instant_or_none(text: str) -> None:
    assert isinstance(seconds(text), float)
