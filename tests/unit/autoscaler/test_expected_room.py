"""What another autoscaler is asked for before jobs come: machines while a job is expected, slots of the warm floor."""

from typing import Any

import pytest

from autoscaler.deciding.decide import decide
from autoscaler.errors import ClusterError
from autoscaler.hands.hand import Fence
from autoscaler.policy import Policy, WarmPeriod
from autoscaler.service.expected import Expected, expected, template
from autoscaler.service.hints import Hints
from autoscaler.service.metrics import Metrics
from autoscaler.snapshot import Graph, GraphJob, Snapshot, Taint
from tests.labs.autoscaler import MEDIUM, NOW, node, pod, policy, pool, size, snapshot, state

GRAPH = Graph(
    digest="g", jobs=(GraphJob(key="a", size=size(4, 8)), GraphJob(key="b", needs=("a",), size=size(16, 60)))
)  # fmt: skip
FIRST = pod("a", 4, 8, node="n", graph="g", graph_job="a", bound_at=NOW - 90, expected_seconds=100.0)
WARM = (WarmPeriod(pool="linux", idle_count=2),)


def room(seen: Snapshot, settled: Policy) -> list[Expected]:
    return expected(decide(seen, settled, NOW), seen, settled)


def counts(seen: Snapshot, **more: Any) -> dict[str, int]:
    return {f"{one.kind} {one.type}".strip(): one.count for one in room(seen, policy(mode="hints", **more))}


CASES: dict[str, tuple[Snapshot, dict[str, Any], dict[str, int]]] = {
    "a job that comes soon": (snapshot(FIRST, node("n"), graphs=(GRAPH,)), {}, {"ahead large": 1}),
    "its machine is there and idle": (
        snapshot(FIRST, node("n"), node("m", pool().types[2]), graphs=(GRAPH,)), {}, {"ahead large": 1},
    ),
    "the job runs there": (
        snapshot(FIRST, node("n"), node("m", pool().types[2]), pod("b", 16, 60, node="m", graph="g", graph_job="b"),
                 graphs=(GRAPH,)), {}, {},
    ),
    "a job that waits is seen without us": (snapshot(pod("p", 4, 8)), {}, {}),
    "nothing": (snapshot(), {}, {}),
    "a warm floor": (snapshot(), {"warm": WARM}, {"warm": 2}),
    "a warm floor whose nodes are there": (snapshot(node("n"), node("m")), {"warm": WARM}, {"warm": 2}),
    "both": (snapshot(FIRST, node("n"), graphs=(GRAPH,)), {"warm": WARM}, {"ahead large": 1, "warm": 2}),
    "stale pods: only the floor is certain": (
        snapshot(FIRST, node("n"), graphs=(GRAPH,), inputs={"pods": NOW - 600}), {"warm": WARM}, {"warm": 2},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_asked_for(case: str) -> None:
    seen, more, wanted = CASES[case]
    assert counts(seen, **more) == wanted


class Asked:
    """A room that remembers what it was asked for."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.names: list[list[str]] = []

    def apply(self, expected: list[Expected], *, at: float, fence: Fence) -> int:
        del at, fence
        if self.fault:
            raise ClusterError(self.fault)
        self.names.append([one.pool.name for one in expected])
        return len(expected)


@pytest.mark.parametrize(
    ("settled", "asked", "results"),
    [
        (policy(mode="hints", warm=WARM), [["linux"]], {"done"}),
        (policy(mode="hints", warm=WARM, dry_run=True), [], {"dry_run"}),
        (policy(pool(dry_run=True), mode="hints", warm=WARM), [[]], {"dry_run"}),
        (
            policy(pool(dry_run=True), pool("two"), mode="hints", warm=(*WARM, WarmPeriod(pool="two", idle_count=1))),
            [["two"]], {"dry_run", "done"},
        ),
    ],
)  # fmt: skip
def test_what_is_tried_out_is_said_and_not_asked_for(settled: Policy, asked: list[list[str]], results: set[str]) -> None:
    one, metrics = Asked(), Metrics({"a": "b"})
    seen = snapshot(pools=(state(), state(name="two")))
    hints = Hints(one, settled, metrics=metrics)
    for _ in range(2):
        hints.apply(decide(seen, settled, NOW), seen, fence=lambda: None)
    assert one.names == asked * 2
    text = metrics.text().decode()
    assert {word for word in ("done", "dry_run", "failed") if f'result="{word}"' in text} == results
    assert text.count("spack_farm_scale_actions_total{") == len(results), "the same is said once"


def test_a_cluster_that_says_no_is_counted_and_the_next_decision_asks_again() -> None:
    one, metrics, settled = Asked("forbidden"), Metrics({"a": "b"}), policy(mode="hints", warm=WARM)
    hints = Hints(one, settled, metrics=metrics)
    hints.apply(decide(snapshot(), settled, NOW), snapshot(), fence=lambda: None)
    assert 'spack_farm_faults_total{where="apply"} 1.0' in metrics.text().decode()
    one.fault = ""
    hints.apply(decide(snapshot(), settled, NOW), snapshot(), fence=lambda: None)
    assert one.names == [["linux"]]


def test_another_shape_has_another_name_and_the_same_one_the_same() -> None:
    (one,) = room(snapshot(), policy(mode="hints", warm=WARM))
    (again,) = room(snapshot(node("n", MEDIUM)), policy(mode="hints", warm=WARM))
    (other,) = room(snapshot(), policy(pool(slot=size(1, 1)), mode="hints", warm=WARM))
    assert one.name == again.name != other.name
    assert len(one.name) <= 63


@pytest.mark.parametrize("name", ["linux", "Ünicode / pool", "-", "a" * 300, ""])
def test_whatever_a_pool_is_called_the_name_is_valid(name: str) -> None:
    (one,) = room(snapshot(pools=()), policy(pool(name), mode="hints", warm=(WarmPeriod(pool=name, idle_count=1),)))
    assert one.name.isascii()
    assert one.name == one.name.lower()
    assert len(one.name) <= 63
    assert one.name.replace("-", "").isalnum()


def test_a_piece_goes_where_jobs_go_and_yields() -> None:
    taint = Taint(key="team", value="x", effect="NoExecute")
    (one,) = room(snapshot(), policy(pool(taints=(taint,), labels={"farm": "a"}), mode="hints", warm=WARM))
    spec = template(one)
    assert spec["nodeSelector"] == {"farm": "a"}
    assert spec["tolerations"] == [{"key": "team", "operator": "Equal", "value": "x", "effect": "NoExecute"}]
    assert spec["containers"][0]["resources"]["requests"] == {"cpu": "4", "memory": "15625000Ki"}
    assert spec["priorityClassName"] == "spack-farm-placeholder"
