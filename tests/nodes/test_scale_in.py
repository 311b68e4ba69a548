"""Promise: no node is ended under a job, whatever happens between the two looks, and to the calls of either."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from autoscaler.cluster.api import connect
from autoscaler.cluster.objects import NodeObject
from autoscaler.cluster.reading import Selection, read_node
from autoscaler.errors import AutoscalerError, NotLeader
from autoscaler.hands.kwok import KwokHand
from autoscaler.policy import InstanceType, Pool, ScaleIn
from autoscaler.scale_plan import CordonNode, RemoveNode
from autoscaler.service.scale_in import ABORTED, DONE, Scaler
from autoscaler.snapshot import Size
from tests.labs.nodes.objects import pod
from tests.labs.nodes.plugin import NodesLab
from tests.labs.waiting import wait_until

SELECTION = Selection(job_labels={"x": "y"})


class Hands:
    """A scaler whose monotonic clock a test turns, with the hand of the test's pool."""

    def __init__(self, farm: NodesLab) -> None:
        self.farm, self.api = farm, connect(str(farm.kubeconfig()))
        self.api.sleep = lambda _seconds: None
        self.passed = 0.0
        self.leads = True
        pool = Pool(name=farm.name, hand="kwok", types=(InstanceType(name="t", allocatable=Size(), price_per_hour=1),))
        self.hand = KwokHand(self.api, (pool,))
        self.scaler = self.another()

    def another(self) -> Scaler:
        """Return the scaler of another process."""
        return Scaler(self.api, ScaleIn(), identity="me", tick_seconds=10, monotonic=lambda: self.passed)

    def fence(self) -> None:
        if not self.leads:
            raise NotLeader("another controller leads")

    def cordon(self, name: str) -> str:
        line = CordonNode(node=name, pool=self.farm.name, reason="idle", message="idle")
        return self.scaler.cordon(line, fence=self.fence)

    def look(self) -> None:
        """Have the scaler see the nodes as they are."""
        pages = self.api.pages("nodes", NodeObject)
        self.scaler.note_cordons(read_node(one, SELECTION) for page in pages for one in page.items)

    def wait(self, seconds: float = 16) -> None:
        """See the cordons, and let time pass."""
        self.look()
        self.passed += seconds

    def remove(self, name: str) -> str:
        line = RemoveNode(node=name, pool=self.farm.name, instance=name, reason="idle", message="idle")
        return self.scaler.remove(line, self.hand, fence=self.fence)


@pytest.fixture
def hands(farm: NodesLab) -> Hands:
    return Hands(farm)


def bind(farm: NodesLab, name: str, short: str, **what: Any) -> Callable[[], None]:
    """Return what puts a pod onto a node as a binding that was under way does: past every cordon."""

    def put() -> None:
        body = pod(short, node_name=name, labels=farm.job_labels, **what)
        farm.plane.call("POST", f"/api/v1/namespaces/{farm.name}/pods", body)

    return put


def test_an_idle_node_goes_after_two_looks(farm: NodesLab, hands: Hands) -> None:
    name = farm.add_node("a")
    assert hands.cordon(name) == DONE
    assert farm.is_cordoned(name)
    assert hands.remove(name).startswith("too early"), "this process has not seen the cordon"
    hands.wait(14)
    assert hands.remove(name).startswith("too early")
    hands.passed += 2
    assert hands.remove(name) == DONE
    assert farm.node(name) is None
    assert hands.remove(name) == "it is gone already"


def test_a_job_that_came_to_the_node_takes_the_cordon_back(farm: NodesLab, hands: Hands) -> None:
    """karpenter#3185: eight pods that may not be disrupted were bound in the window, and the node went 12 s later."""
    name = farm.add_node("a")
    hands.cordon(name)
    hands.wait()
    bind(farm, name, "late")()
    assert hands.remove(name) == ABORTED
    assert not farm.is_cordoned(name)
    wait_until(lambda: farm.phase("late") == "Running")


@pytest.mark.parametrize("step", range(4))
def test_a_job_that_is_bound_during_the_first_look_survives(farm: NodesLab, hands: Hands, step: int) -> None:
    """Before and after each request of the cordon."""
    name = farm.add_node("a")
    pattern = (f"GET /api/v1/nodes/{name}", f"PATCH /api/v1/nodes/{name}")[step // 2]
    farm.api.add(pattern, action=bind(farm, name, "late"), after=bool(step % 2))
    # The answer of a request that was carried out may be lost, too: what is done then is done again.
    for _ in range(3):
        try:
            hands.cordon(name)
        except AutoscalerError:
            continue
    hands.wait()
    assert hands.remove(name) == ABORTED
    assert not farm.is_cordoned(name)
    assert farm.phase("late")


@pytest.mark.parametrize("call", ["GET /api/v1/nodes/", "GET /api/v1/pods"])
def test_a_job_that_is_bound_right_before_a_call_of_the_second_look_survives(
    farm: NodesLab, hands: Hands, call: str
) -> None:
    name = farm.add_node("a")
    hands.cordon(name)
    hands.wait()
    farm.api.add(call, action=bind(farm, name, "late"))
    assert hands.remove(name) == ABORTED
    assert not farm.is_cordoned(name)
    assert farm.phase("late")


def test_the_scheduler_never_loses_a_job_to_a_removal(farm: NodesLab, hands: Hands) -> None:
    """Jobs that only this node can take are created before each call of both looks: they wait, and never die."""
    numbers = itertools.count()
    for round_ in range(3):
        name = farm.add_node(f"n{round_}")
        created: list[str] = []
        farm.api.add(
            "(GET|PATCH|DELETE) /api/v1/(nodes|pods)", times=20,
            action=lambda created=created: created.append(farm.add_job(f"j{next(numbers)}", cpu="10m", memory="1Mi")),
        )  # fmt: skip
        hands.cordon(name)
        hands.wait()
        result = hands.remove(name)
        farm.api.clear()
        assert created
        pods = farm.pods()
        assert set(created) <= pods.keys(), "a job's pod is gone"
        assert (farm.node(name) is None) == (result == DONE)
        assert result == ABORTED or not any(one["spec"].get("nodeName") == name for one in pods.values())
        farm.clean()


@pytest.mark.parametrize("pods", [["daemon"], ["ended"], ["placeholder"], ["daemon", "ended", "placeholder"]])
def test_what_goes_with_its_node_does_not_keep_it(farm: NodesLab, hands: Hands, pods: list[str]) -> None:
    name = farm.add_node("a")
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "d"}
    bodies = {
        "daemon": pod("daemon", node_name=name, job=False),
        "ended": pod("ended", node_name=name, seconds=0, labels=farm.job_labels),
        "placeholder": pod("placeholder", node_name=name, job=False, labels={"spack-farm.io/pause": "true"}),
    }
    bodies["daemon"]["metadata"]["ownerReferences"] = [owner]
    for one in pods:
        farm.plane.call("POST", f"/api/v1/namespaces/{farm.name}/pods", bodies[one])
    wait_until(lambda: "ended" not in pods or farm.phase("ended") == "Succeeded")
    hands.cordon(name)
    hands.wait()
    assert hands.remove(name) == DONE


@pytest.mark.parametrize("seconds", [-86_400.0, -3_600.0, 3_600.0, 86_400.0])
def test_a_clock_that_is_wrong_makes_no_removal_early(farm: NodesLab, hands: Hands, seconds: float) -> None:
    """The time on the node is another machine's: only what this process has waited itself counts."""
    name = farm.add_node("a")
    other = Scaler(hands.api, ScaleIn(), identity="other", tick_seconds=10, now=lambda: 1_700_000_000 + seconds)
    other.cordon(CordonNode(node=name, pool=farm.name, reason="idle", message=""), fence=hands.fence)
    hands.look()
    assert hands.remove(name).startswith("too early")
    hands.passed += 14
    assert hands.remove(name).startswith("too early")
    assert farm.node(name)
    hands.passed += 2
    assert hands.remove(name) == DONE


def test_a_controller_that_was_restarted_waits_anew(farm: NodesLab, hands: Hands) -> None:
    name = farm.add_node("a")
    hands.cordon(name)
    hands.wait()
    hands.scaler = hands.another()
    assert hands.remove(name).startswith("too early")
    hands.wait()
    assert hands.remove(name) == DONE


def test_a_cordon_that_was_renewed_is_waited_for_anew(farm: NodesLab, hands: Hands) -> None:
    name = farm.add_node("a")
    hands.cordon(name)
    hands.wait()
    hands.scaler.undo(name, fence=hands.fence)
    hands.look()
    hands.cordon(name)
    hands.look()
    assert hands.remove(name).startswith("too early")


def test_who_uncordons_by_hand_gets_the_node_back(farm: NodesLab, hands: Hands) -> None:
    name = farm.add_node("a")
    hands.cordon(name)
    hands.wait()
    farm.plane.call("PATCH", f"/api/v1/nodes/{name}", {"spec": {"unschedulable": False}})
    assert hands.remove(name) == ABORTED
    assert not farm.is_cordoned(name)


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        ({"spec": {"unschedulable": True}}, "somebody else has cordoned it"),
        ({"metadata": {"annotations": {"spack-farm.io/keep": ""}}}, "its annotation keeps it"),
        ({"metadata": {"labels": {"spack-farm.io/pool": "theirs"}}}, "its pool is theirs now"),
    ],
)
def test_a_node_that_somebody_wants_is_left_alone(farm: NodesLab, hands: Hands, patch: dict[str, Any], reason: str) -> None:
    name = farm.add_node("a")
    farm.plane.call("PATCH", f"/api/v1/nodes/{name}", patch)
    assert hands.cordon(name) == reason
    assert hands.scaler.undo(name, fence=hands.fence) == "it has no cordon of ours"


def test_the_taints_of_others_stay_also_if_they_come_at_the_same_moment(farm: NodesLab, hands: Hands) -> None:
    """A list in a patch replaces the whole list: a patch of an older node must not be taken."""
    name = farm.add_node("a", taints=[{"key": "team", "value": "x", "effect": "NoSchedule"}])
    late = {"spec": {"taints": [{"key": "late", "effect": "NoSchedule"}]}}
    farm.api.add(
        f"PATCH /api/v1/nodes/{name}", action=lambda: farm.plane.call("PATCH", f"/api/v1/nodes/{name}", late)
    )  # fmt: skip
    assert hands.cordon(name) == DONE
    found = farm.node(name)
    assert found is not None
    assert {one["key"] for one in found["spec"]["taints"]} >= {"late", "spack-farm.io/scale-in"}
    assert farm.api.count(rf"PATCH /api/v1/nodes/{name}\S* 409") == 1
    hands.scaler.undo(name, fence=hands.fence)
    found = farm.node(name)
    assert found is not None
    assert [one["key"] for one in found["spec"]["taints"] if "kubernetes.io" not in one["key"]] == ["late"]


CALLS = ["GET /api/v1/nodes/", "PATCH /api/v1/nodes/", "GET /api/v1/pods", "DELETE /api/v1/nodes/"]
ANSWERS = [409, 410, 429, 500, 503, 504, 0]


@pytest.mark.parametrize("call", CALLS)
def test_calls_that_fail_leave_all_or_nothing_and_are_made_again(farm: NodesLab, hands: Hands, call: str) -> None:
    """Each answer that an API server gives under load, and none at all; also after the call was carried out."""
    names: Iterator[str] = (farm.add_node(f"n{number}") for number in itertools.count())
    for status in ANSWERS:
        name = next(names)
        farm.api.add(call, status=status, cut=not status, after=not status and call.startswith("P"), times=9)
        for act in (hands.cordon, hands.remove):
            with contextlib.suppress(AutoscalerError):
                act(name)
            if farm.node(name) is not None:
                farm.is_cordoned(name)
            hands.wait()
        farm.api.clear()
        hands.cordon(name)
        hands.wait()
        assert hands.remove(name) in {DONE, "it is gone already"}
        assert farm.node(name) is None


def test_a_controller_that_no_longer_leads_changes_nothing(farm: NodesLab, hands: Hands) -> None:
    name, other = farm.add_node("a"), farm.add_node("b")
    hands.cordon(name)
    hands.wait()
    hands.leads = False
    for act, node in ((hands.remove, name), (hands.cordon, other)):
        with pytest.raises(NotLeader):
            act(node)
    assert farm.is_cordoned(name)
    assert not farm.is_cordoned(other)


def test_leading_is_lost_between_the_list_and_the_end(farm: NodesLab, hands: Hands) -> None:
    name = farm.add_node("a")
    hands.cordon(name)
    hands.wait()
    farm.api.add("GET /api/v1/pods", action=lambda: setattr(hands, "leads", False))
    with pytest.raises(NotLeader):
        hands.remove(name)
    assert farm.is_cordoned(name)
