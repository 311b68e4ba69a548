"""Why pods wait: which reason, in which words, and when the annotation is written, replaced and removed."""

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from autoscaler.cluster.objects import EventObject, Involved, Meta, Page, PodObject
from autoscaler.deciding.decide import decide
from autoscaler.errors import ClusterError, NotLeader, NotPermitted
from autoscaler.policy import BreakerSettings, Caps, InstanceType, Policy
from autoscaler.scale_plan import Waiting
from autoscaler.service.mounts import Mounts
from autoscaler.service.waiting import WaitingNotes, document_of, is_news, patch_of
from autoscaler.snapshot import Breaker, Ledger, Node, Pod, Requirement, Size, Snapshot, Taint, Toleration
from tests.labs.autoscaler import GIB, LARGE, NOW, SMALL, node, pod, policy, pool, size, snapshot, state

JOBS = Taint(key="jobs", value="only")
DISK = InstanceType(
    name="disk", price_per_hour=1,
    allocatable=Size(cpu_millicores=8000, memory_bytes=32 * GIB, disk_bytes=100 * GIB),
)  # fmt: skip
ASKS_DISK = Size(cpu_millicores=1000, memory_bytes=GIB, disk_bytes=200 * GIB)
ASKS_GPU = Size(cpu_millicores=1000, memory_bytes=GIB, extended={"nvidia.com/gpu": 2})
ARM = {"kubernetes.io/arch": "arm64"}
LIMITED = policy(caps=Caps(most_nodes=1))
FULL = (node("n", SMALL), pod("busy", 4, 8, node="n"))
FOREIGN = Node(name="big", allocatable=size(64, 256), created_at=NOW - 999)
FOREIGN_FULL = (FOREIGN, pod("heavy", 60, 200, node="big"))
STALE: dict[str, Any] = {"inputs": dict.fromkeys(("pods", "nodes", "pools"), NOW - 300)}
OPEN = Breaker(pool="linux", type="small", failures=3, last_fault_at=NOW - 1, closed_at=NOW + 100)


def reason_of(seen: Snapshot, settled: Policy, name: str = "p") -> Waiting:
    (one,) = [one for one in decide(seen, settled, NOW).waiting if one.pod == name]
    return one


CASES: list[tuple[str, Snapshot, Policy, str, str]] = [
    ("ordered now", snapshot(pod("p")), policy(), "node_booting", "small new-00000 boots for it"),
    (
        "too many cores",
        snapshot(pod("p", 17, 8)),
        policy(),
        "fits_no_type",
        "17 cores and 8.0 GiB; the largest type, large, has 16 cores and 64.0 GiB",
    ),
    (
        "too much memory",
        snapshot(pod("p", 1, 65)),
        policy(),
        "fits_no_type",
        "asks for 1 cores and 65.0 GiB; the largest type, large",
    ),
    (
        "both only together",
        snapshot(pod("p", 15, 60)),
        policy(
            pool(
                types=(
                    InstanceType(name="c", price_per_hour=1, allocatable=size(16, 32)),
                    InstanceType(name="r", price_per_hour=1, allocatable=size(8, 64)),
                )
            )
        ),
        "fits_no_type",
        "the largest type, r, has 8 cores and 64.0 GiB",
    ),
    (
        "too much disk",
        snapshot(pod("p", size=ASKS_DISK)),
        policy(pool(types=(DISK,))),
        "fits_no_type",
        "the largest type, disk, has 8 cores, 32.0 GiB and 100.0 GiB of disk",
    ),
    (
        "a device that no type has",
        snapshot(pod("p", size=ASKS_GPU)),
        policy(),
        "fits_no_type",
        "has 16 cores, 64.0 GiB and 0 nvidia.com/gpu",
    ),
    (
        "what DaemonSets take",
        snapshot(pod("p", 16, 8)),
        policy(pool(types=(InstanceType(name="large", price_per_hour=1, allocatable=size(16, 64), daemons=size(0.5, 1)),))),
        "fits_no_type",
        "the largest type, large, has 15.5 cores and 63.0 GiB",
    ),
    (
        "what DaemonSets take, of a node that is there, too",
        snapshot(node("n", LARGE), pod("daemon", 0.5, 1, node="n", kind="daemon"), pod("p", 16, 8)),
        policy(),
        "fits_no_type",
        "the largest type, large, has 15.5 cores and 63.0 GiB",
    ),
    (
        "too large for its pool",
        snapshot(pod("p", 8, 8, node_selector={"pool": "small"})),
        policy(pool(types=(SMALL,), labels={"pool": "small"}), pool("big", types=(LARGE,))),
        "fits_no_type",
        "largest type, small",
    ),
    (
        "a foreign node that is full",
        snapshot(*FOREIGN_FULL, pod("p", 32, 100)),
        policy(),
        "unknown",
        "it waits for room on big",
    ),
    ("another autoscaler in charge", snapshot(pod("p", 17, 8)), policy(mode="hints"), "unknown", "another autoscaler"),
    ("no pool", snapshot(pod("p"), pools=()), Policy(), "unknown", "no pool is set up"),
    (
        "labels of no pool",
        snapshot(pod("p", 99, 999, node_selector=ARM)),
        policy(),
        "unknown",
        "kubernetes.io/arch=arm64; no pool of this autoscaler",
    ),
    (
        "an affinity to no pool",
        snapshot(pod("p", affinity=((Requirement(key="arch", operator="In", values=("arm",)),),))),
        policy(),
        "unknown",
        "by its node affinity",
    ),
    (
        "a taint",
        snapshot(pod("p")),
        policy(pool(taints=(JOBS,))),
        "taint",
        "does not tolerate jobs=only:NoSchedule of the pool linux",
    ),
    (
        "a taint, by another value",
        snapshot(pod("p", tolerations=(Toleration(key="jobs", value="none"),))),
        policy(pool(taints=(JOBS,))),
        "taint",
        "jobs=only",
    ),
    (
        "a taint of the only pool that is large enough",
        snapshot(pod("p", 12, 8)),
        policy(pool(types=(SMALL,)), pool("big", types=(LARGE,), taints=(JOBS,))),
        "taint",
        "the pool big",
    ),
    ("all nodes there", snapshot(*FULL, pod("p")), LIMITED, "pool_at_limit", "caps.most_nodes is 1"),
    (
        "the pool's own limit",
        snapshot(*FULL, pod("p")),
        policy(pool(most_nodes=1)),
        "pool_at_limit",
        "the pool linux has its 1 nodes",
    ),
    ("too dear", snapshot(pod("p")), policy(caps=Caps(most_cost_per_hour=0.1)), "pool_at_limit", "most_cost_per_hour"),
    (
        "orders fail",
        snapshot(pod("p"), ledger=Ledger(breakers=(OPEN,))),
        policy(pool(types=(SMALL,)), breaker=BreakerSettings()),
        "pool_at_limit",
        "3 orders failed",
    ),
    (
        "a pool that is rejected",
        snapshot(pod("p"), pools=(state(rejected="AZRebalance"),)),
        policy(),
        "pool_at_limit",
        "AZRebalance",
    ),
    ("nothing is known well", snapshot(pod("p"), **STALE), policy(), "unknown", "not known well enough"),
    ("a dry run", snapshot(pod("p")), policy(dry_run=True), "unknown", "only tried out"),
    ("a gate", snapshot(pod("p", is_gated=True)), policy(), "unknown", "a scheduling gate"),
    (
        "room that the scheduler does not use",
        snapshot(node("n"), pod("p", scheduler_message="0/1 nodes")),
        policy(),
        "unknown",
        "it fits on n; the scheduler has not bound it: 0/1 nodes",
    ),
    (
        "an image",
        snapshot(node("n"), pod("p", node="n", phase="Pending", blocked="image", blocked_detail="ErrImagePull: x")),
        policy(),
        "image",
        "ErrImagePull",
    ),
    (
        "a secret",
        snapshot(node("n"), pod("p", node="n", phase="Pending", blocked="secret")),
        policy(),
        "secret",
        "it waits for its secret",
    ),
    (
        "a volume",
        snapshot(pod("p", blocked="volume", scheduler_message='persistentvolumeclaim "a" not found')),
        policy(),
        "volume",
        '"a" not found',
    ),
    (
        "a container that cannot be made",
        snapshot(node("n"), pod("p", node="n", phase="Pending", blocked_detail="CreateContainerError")),
        policy(),
        "unknown",
        "CreateContainerError",
    ),
]


@pytest.mark.parametrize(
    ("seen", "settled", "reason", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_each_waiting_pod_has_its_reason(seen: Snapshot, settled: Policy, reason: str, words: str) -> None:
    found = reason_of(seen, settled)
    assert found.reason == reason, found.detail
    assert words in found.detail
    assert bool(found.exceeds) is (reason == "fits_no_type")


@pytest.mark.parametrize(
    ("asks", "exceeds"),
    [
        (size(17, 8), ("cpu",)),
        (size(1, 65), ("memory",)),
        (size(17, 65), ("cpu", "memory")),
        (ASKS_GPU, ("nvidia.com/gpu",)),
    ],
)
def test_what_is_too_much_is_named_as_kubernetes_does(asks: Size, exceeds: tuple[str, ...]) -> None:
    assert reason_of(snapshot(pod("p", size=asks)), policy()).exceeds == exceeds


def test_pods_that_do_not_wait_have_no_reason() -> None:
    going = pod("going", blocked="image", is_terminating=True)
    seen = snapshot(
        node("n"), going, pod("runs", node="n"), pod("starts", node="n", phase="Pending"), pod("other", kind="other")
    )
    assert decide(seen, policy(), NOW).waiting == ()


def test_a_pod_with_a_node_waits_since_it_has_it() -> None:
    found = reason_of(snapshot(node("n"), pod("p", node="n", phase="Pending", blocked="image")), policy())
    assert found.since == NOW - 20


WAITING = Waiting(namespace="jobs", pod="p", uid="u", reason="taint", since=0.0, detail="x" * 900, expected_start=60.5)


def test_why_a_pod_waits_as_the_annotation_has_it() -> None:
    patch = patch_of("u", document_of(WAITING, None, now=99))
    assert patch["metadata"]["uid"] == "u", "only if it is still this pod"
    document = json.loads(patch["metadata"]["annotations"]["spack-farm.io/waiting"])
    assert document == {
        "version": 1, "reason": "taint", "since": "1970-01-01T00:00:00Z", "detail": "x" * 500,
        "expected_start": "1970-01-01T00:01:00Z",
    }  # fmt: skip
    assert patch_of("u", None)["metadata"]["annotations"] == {"spack-farm.io/waiting": None}


@pytest.mark.parametrize(
    ("change", "is_new"),
    [
        ({}, False),
        ({"detail": "other words"}, False),
        ({"reason": "node_booting"}, True),
        ({"expected_start": 100.0}, False),
        ({"expected_start": 160.0}, True),
        ({"expected_start": None}, True),
        ({"exceeds": ("cpu",)}, True),
    ],
)
def test_an_annotation_is_replaced_only_for_news(change: dict[str, Any], is_new: bool) -> None:  # noqa: FBT001 (a column)
    before = document_of(WAITING, None, now=0)
    assert is_news(document_of(msgspec.structs.replace(WAITING, **change), before, now=50), before) is is_new


def test_a_reason_that_replaces_another_one_holds_since_then() -> None:
    before = document_of(WAITING, None, now=0)
    assert document_of(WAITING, before, now=50).since == before.since
    assert (
        document_of(msgspec.structs.replace(WAITING, reason="node_booting"), before, now=50).since == "1970-01-01T00:00:50Z"
    )


class Patches:
    """An API that keeps what is patched."""

    def __init__(self, *, fault: bool = False) -> None:
        self.made: list[tuple[str, str | None]] = []
        self.fault = fault

    def patch_pod(self, namespace: str, name: str, body: dict[str, Any]) -> None:
        assert namespace == "jobs"
        if self.fault:
            raise ClusterError("no")
        text = body["metadata"]["annotations"]["spack-farm.io/waiting"]
        self.made.append((name, text and json.loads(text)["reason"]))


def notes(api: Patches, *, step: float = 0.0) -> WaitingNotes:
    at = [0.0]

    def clock() -> float:
        at[0] += step
        return at[0]

    found: Any = api
    return WaitingNotes(found, clock=clock)


def shown(uid: str, text: str | None, change: str = "MODIFIED") -> tuple[PodObject, str]:
    annotations = {} if text is None else {"spack-farm.io/waiting": text}
    return PodObject(metadata=Meta(uid=uid, name="p", annotations=annotations)), change


LIVE = (pod("p"),)
OURS = msgspec.structs.replace(WAITING, uid="uid-p")


def test_it_is_written_once_and_removed_when_the_pod_no_longer_waits() -> None:
    api = Patches()
    one = notes(api)
    assert one.write([OURS], LIVE, now=NOW, fence=lambda: None) == 1
    assert one.write([OURS], LIVE, now=NOW, fence=lambda: None) == 0
    text = msgspec.json.encode(document_of(OURS, None, now=NOW)).decode()
    one.pod_changed(*shown("uid-p", text))
    assert one.write([], LIVE, now=NOW, fence=lambda: None) == 1
    assert one.write([], LIVE, now=NOW, fence=lambda: None) == 0
    assert api.made == [("p", "taint"), ("p", None)]


def test_a_new_controller_writes_nothing_that_stands_there_already() -> None:
    api = Patches()
    one = notes(api)
    text = msgspec.json.encode(document_of(OURS, None, now=NOW)).decode()
    one.pod_changed(*shown("uid-p", text))
    assert one.write([OURS], LIVE, now=NOW, fence=lambda: None) == 0
    one.pod_changed(*shown("uid-p", "not JSON"))
    assert one.write([OURS], LIVE, now=NOW, fence=lambda: None) == 1
    one.pod_changed(*shown("uid-p", text, "DELETED"))
    one.pod_changed(*shown("uid-old", text))  # its end was missed
    assert one.write([], LIVE, now=NOW, fence=lambda: None) == 0


@pytest.mark.parametrize("more", [{"is_terminating": True}, {"kind": "other"}])
def test_a_pod_that_is_being_deleted_keeps_its_reason_and_one_that_is_no_job_is_left_alone(more: dict[str, Any]) -> None:
    one = notes(Patches())
    one.pod_changed(*shown("uid-p", "{}"))
    assert one.write([], (pod("p", **more),), now=NOW, fence=lambda: None) == 0


def test_what_cannot_be_written_is_tried_again_and_time_is_bounded() -> None:
    api = Patches(fault=True)
    one = notes(api)
    assert one.write([OURS], LIVE, now=NOW, fence=lambda: None) == 1
    api.fault = False
    assert one.write([OURS], LIVE, now=NOW, fence=lambda: None) == 1
    slow = notes(api, step=2.0)
    many = [msgspec.structs.replace(OURS, uid=f"u{number}", since=float(-number)) for number in range(9)]
    assert slow.write(many, LIVE, now=NOW, fence=lambda: None) == 2


def test_no_reason_is_written_by_a_controller_that_does_not_lead() -> None:
    def fence() -> None:
        raise NotLeader("another one")

    api = Patches()
    with pytest.raises(NotLeader):
        notes(api).write([OURS], LIVE, now=NOW, fence=fence)
    assert api.made == []


def mounting(name: str = "p", *, bound_at: float = NOW - 5, **more: Any) -> Pod:
    return pod(name, node="n", phase="Pending", is_mounting=True, bound_at=bound_at, **more)


class EventLists:
    """An API that lists Events by their reason."""

    def __init__(self, *events: EventObject, fault: ClusterError | None = None) -> None:
        self.events, self.fault, self.asked = events, fault, 0

    def pages(self, kind: str, item: type, *, field_selector: str) -> Iterator[Page[EventObject]]:
        assert (kind, item) == ("events", EventObject)
        self.asked += 1
        if self.fault:
            raise self.fault
        yield Page(items=[one for one in self.events if field_selector == f"reason={one.reason}"])


def event(message: str, *, seconds: float = 5, uid: str = "uid-p", reason: str = "FailedMount") -> EventObject:
    at = dt.datetime.fromtimestamp(NOW - seconds, tz=dt.UTC).isoformat()
    return EventObject(involved_object=Involved(uid=uid), reason=reason, message=message, last_timestamp=at)


def mounts(api: EventLists) -> tuple[Mounts, list[float]]:
    at = [NOW]
    found: Any = api
    return Mounts(found, clock=lambda: at[0]), at


NO_SECRET = 'MountVolume.SetUp failed for volume "v" : secret "s" not found'
NO_DISK = 'AttachVolume.Attach failed for volume "v" : rpc error'


@pytest.mark.parametrize(
    ("one", "events", "blocked"),
    [
        (mounting(), [event(NO_SECRET)], "secret"),
        (mounting(), [event(NO_DISK, reason="FailedAttachVolume")], "volume"),
        (mounting(), [event(NO_DISK, seconds=50), event(NO_SECRET)], "secret"),
        (mounting(), [event(NO_SECRET), event(NO_DISK, seconds=50)], "secret"),
        (mounting(), [event(NO_SECRET, seconds=600)], ""),
        (mounting(), [event(NO_SECRET, uid="other")], ""),
        (mounting(), [], ""),
        (mounting(bound_at=NOW - 1), [event(NO_SECRET)], ""),
        (mounting(blocked="image"), [event(NO_SECRET)], "image"),
        (mounting(kind="other"), [event(NO_SECRET)], ""),
        (pod("p", node="n"), [event(NO_SECRET)], ""),
    ],
)
def test_events_say_why_volumes_are_missing(one: Pod, events: list[EventObject], blocked: str) -> None:
    found, _ = mounts(EventLists(*events))
    assert [pod.blocked for pod in found.explained((one,))] == [blocked]


def test_events_are_listed_only_while_they_may_say_something_and_not_all_the_time() -> None:
    api = EventLists(event(NO_SECRET))
    found, at = mounts(api)
    found.explained((pod("p", node="n"),))
    assert (api.asked, found.is_needed) == (0, False)
    for _ in range(5):
        found.explained((mounting(), mounting("q")))
    assert (api.asked, found.is_needed) == (2, True)
    at[0] += 10
    found.explained((mounting(),))
    assert api.asked == 4


@pytest.mark.parametrize(("fault", "asked"), [(ClusterError("x"), 2), (NotPermitted("x"), 1)])
def test_without_events_there_is_no_reason_and_nothing_fails(fault: ClusterError, asked: int) -> None:
    api = EventLists(fault=fault)
    found, at = mounts(api)
    assert found.explained((mounting(),))[0].blocked == ""
    at[0] += 10
    assert found.explained((mounting(),))[0].blocked == ""
    assert api.asked == asked, "what is denied is not asked for all the time"
