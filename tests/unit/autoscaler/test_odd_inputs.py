"""Odd nodes, pods, price lists, graphs and clocks: a decision is made, stays within its bounds, and ends no job."""

from typing import Any

import msgspec
import pytest

from autoscaler.deciding.decide import decide
from autoscaler.policy import Caps, Policy, WarmPeriod
from autoscaler.scale_plan import CordonNode, LaunchNodes, RemoveNode, ScalePlan, to_json
from autoscaler.snapshot import (
    Cordon,
    Graph,
    GraphJob,
    Launch,
    LaunchFault,
    Ledger,
    QueuedJob,
    Requirement,
    Size,
    Snapshot,
    Toleration,
)
from tests.labs.autoscaler import (
    LARGE,
    MEDIUM,
    NOW,
    SMALL,
    cordoned,
    instance_type,
    lines_of,
    node,
    pod,
    policy,
    pool,
    size,
    snapshot,
    state,
)

Case = tuple[Snapshot, Policy, dict[str, int]]
OLD = Ledger(idle_since={"n": NOW - 600})
WAITS = pod("p", 4, 8)
FREE, DEAR = instance_type("free", 8, 32, 0.0), instance_type("dear", 8, 32, 1e12)
THOUSAND = tuple(pod(f"p{number}", 0, 0) for number in range(1000))
NO_GPU = Size(cpu_millicores=4000, memory_bytes=1, extended={"nvidia.com/gpu": 0})
BIG = size(16, 8)
CROWDED = msgspec.structs.replace(MEDIUM, daemons=size(16, 64))


def graph(*jobs: GraphJob) -> Graph:
    return Graph(digest="g", jobs=jobs)


RUNS = pod("a", 4, 8, node="n", graph="g", graph_job="a", bound_at=NOW - 90, expected_seconds=100.0)
CASES: dict[str, Case] = {
    # nodes
    "more is bound to a node than it has": (
        snapshot(node("n", SMALL), pod("b", 40, 400, node="n"), WAITS), policy(), {"small": 1},
    ),
    "a node that has nothing": (snapshot(node("n", allocatable=Size()), WAITS), policy(), {"small": 1}),
    "a node that takes no pod": (snapshot(node("n", LARGE, most_pods=0), WAITS), policy(), {"small": 1}),
    "a node of a type that is not in the settings": (snapshot(node("n", type="gone"), WAITS), policy(), {}),
    "a node without a type or a machine": (snapshot(node("n", type="", instance=""), WAITS), policy(), {}),
    "a node of the future": (snapshot(node("n", created_at=NOW + 1e9), WAITS), policy(), {}),
    "a node of a pool that is not in the settings": (snapshot(node("n", pool="theirs"), ledger=OLD), policy(), {}),
    "two nodes of one name": (snapshot(node("n"), node("n"), ledger=OLD), policy(), {}),
    "a pod on a node that is not there": (snapshot(pod("b", 4, 8, node="gone"), WAITS), policy(), {"small": 1}),
    # pods
    "a thousand pods that ask for nothing": (snapshot(*THOUSAND), policy(), {"small": 10}),
    "two pods of one identity": (snapshot(WAITS, WAITS), policy(), {"small": 2}),
    "a pod that asks for a resource that no type has": (
        snapshot(pod("p", size=Size(cpu_millicores=1, extended={"nvidia.com/gpu": 1}))), policy(), {},
    ),
    "a pod that asks for none of such a resource": (
        snapshot(pod("p", size=NO_GPU)), policy(), {"small": 1},
    ),
    "a pod of the future": (snapshot(pod("p", created_at=NOW + 1e6)), policy(), {"small": 1}),
    "a pod that is expected to run for ever": (snapshot(pod("p", expected_seconds=1e300)), policy(), {"small": 1}),
    "a pod that is expected to take no time": (snapshot(pod("p", expected_seconds=0.0)), policy(), {"small": 1}),
    "a pod with a hundred constraints": (
        snapshot(pod("p", node_selector={f"k{number}": "v" for number in range(100)},
                     tolerations=tuple(Toleration(key=f"t{number}") for number in range(100)))), policy(), {},
    ),
    "a pod whose affinity compares with no number": (
        snapshot(pod("p", affinity=((Requirement(key="cores", operator="Gt", values=("many",)),),))), policy(), {},
    ),
    "a pod with 10^18 bytes": (snapshot(pod("p", 1, 10**9)), policy(), {}),
    # price lists and pools
    "a type that costs nothing": (snapshot(WAITS), policy(pool(types=(LARGE, FREE))), {"free": 1}),
    "a type that costs more than all caps": (snapshot(WAITS), policy(pool(types=(DEAR,))), {}),
    "daemons that take more than the type has": (snapshot(WAITS), policy(pool(types=(CROWDED,))), {}),
    "the same type in two pools": (
        snapshot(WAITS, pools=(state(), state(name="two"))), policy(pool(most_nodes=0), pool("two")), {"small": 1},
    ),
    "no cap allows anything": (snapshot(WAITS), policy(caps=Caps(most_nodes=0, most_step_nodes=0)), {}),
    "a warm floor of more slots than a pool may have": (
        snapshot(), policy(pool(most_nodes=3), warm=(WarmPeriod(pool="linux", idle_count=10**4),)), {"small": 3},
    ),
    "a pool that boots in no time": (snapshot(WAITS), policy(pool(boot_seconds=0.0)), {"small": 1}),
    # graphs, queues, orders
    "a job that needs itself": (
        snapshot(
            RUNS, node("n"),
            graphs=(graph(GraphJob(key="a", needs=("a",)), GraphJob(key="b", needs=("a", "b"), size=BIG)),),
        ),
        policy(), {},
    ),
    "a job that needs what the graph lacks": (
        snapshot(
            RUNS, node("n", SMALL), graphs=(graph(GraphJob(key="a"), GraphJob(key="b", needs=("a", "?"), size=BIG)),)
        ),
        policy(), {"large": 1},
    ),
    "two jobs of one key": (
        snapshot(
            RUNS, node("n", SMALL), graphs=(graph(GraphJob(key="a"), *[GraphJob(key="b", needs=("a",), size=BIG)] * 2),)
        ),
        policy(), {"large": 1},
    ),
    "a thousand jobs in GitLab's queue": (
        snapshot(queued=tuple(QueuedJob(id=str(number)) for number in range(1000))),
        policy(pool(most_nodes=5)), {"small": 5},
    ),
    "an order of the future": (
        snapshot(WAITS, Launch(id="l", pool="linux", type="small", ordered_at=NOW + 1e6)), policy(), {},
    ),
    "an order of a type that is not in the settings": (
        snapshot(WAITS, Launch(id="l", pool="linux", type="gone", ordered_at=NOW)), policy(), {"small": 1},
    ),
    "a fault of the future": (
        snapshot(WAITS, pools=(state(faults=(LaunchFault(at=NOW + 1e9, type="small"),)),)), policy(), {"medium": 1},
    ),
}  # fmt: skip


def orders(plan: ScalePlan) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in lines_of(plan, LaunchNodes):
        found[line.type] = found.get(line.type, 0) + line.count
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_decision_on_an_odd_input(case: str) -> None:
    seen, settled, wanted = CASES[case]
    plan = decide(seen, settled, NOW)
    assert orders(plan) == wanted
    assert to_json(plan) == to_json(decide(seen, settled, NOW))
    busy = {one.node for one in seen.pods if one.occupies}
    assert busy.isdisjoint(line.node for line in plan.lines if isinstance(line, CordonNode | RemoveNode))


@pytest.mark.parametrize("step", [-1e9, -86_400.0, -61.0, -1.0, 1.0, 61.0, 86_400.0, 1e9])
def test_a_clock_that_is_set_removes_nothing_on_one_look(step: float) -> None:
    """Between two decisions and between both looks: what was remembered is of another clock then."""
    ledger = decide(snapshot(node("n")), policy(), NOW).ledger
    later = NOW + step
    first = decide(snapshot(node("n"), ledger=ledger, now=later), policy(), later)
    assert lines_of(first, RemoveNode) == []
    marked: dict[str, Any] = {"is_unschedulable": True, "cordon": Cordon(at=NOW)}
    second = decide(snapshot(node("n", **marked), ledger=ledger, now=later), policy(), later)
    if step < 15 or step > 1800:
        assert lines_of(second, RemoveNode) == []
    third = decide(snapshot(cordoned("n"), pod("b", node="n"), ledger=ledger, now=later), policy(), later)
    assert lines_of(third, RemoveNode) == []
