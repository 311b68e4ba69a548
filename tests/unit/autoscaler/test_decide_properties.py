"""What holds of every decision, whatever the cluster looks like: caps, busy nodes, its own result, the same input."""

import math
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.deciding.decide import decide
from autoscaler.policy import Caps, LookAhead, Policy, ScaleIn, WarmPeriod
from autoscaler.scale_plan import CordonNode, DeletePod, LaunchNodes, RemoveNode, TerminateInstance, UncordonNode
from autoscaler.scale_plan import to_json as plan_to_json
from autoscaler.snapshot import Cordon, Graph, GraphJob, Launch, LaunchFault, Ledger, Node, Pod, Snapshot, from_json, to_json
from tests.labs.autoscaler import (
    LARGE,
    MEDIUM,
    NOW,
    SMALL,
    applied,
    instance_type,
    lines_of,
    node,
    pod,
    pool,
    size,
    snapshot,
    state,
)

_FEW = settings(max_examples=40)
KINDS = (SMALL, MEDIUM, LARGE)
GONE = instance_type("gone", 12, 12, 0.5)
instants = st.one_of(st.floats(NOW - 4000, NOW + 10), st.sampled_from((NOW, NOW - 15, NOW - 60, NOW + 7200, 0.0)))


@st.composite
def nodes(draw: st.DrawFn) -> list[Node]:
    found = []
    for number in range(draw(st.sampled_from((1, 2, 0, 4, 6)))):
        kind = draw(st.sampled_from((*KINDS, GONE)))
        mark = draw(st.one_of(st.none(), st.none(), st.builds(Cordon, at=instants)))
        usable = draw(st.sampled_from((True, True, True, False)))
        more: dict[str, Any] = {
            "is_usable": usable,
            "is_ready": usable or draw(st.booleans()),
            "unready_since": None if usable else draw(st.one_of(st.none(), instants)),
            "created_at": draw(instants),
            "is_unschedulable": mark is not None or draw(st.sampled_from((False, False, False, True))),
            "cordon": mark,
            "interrupted_at": draw(st.sampled_from((None, None, None, None, NOW + 60))),
            "is_kept": draw(st.sampled_from((False, False, False, True))),
            "pool": draw(st.sampled_from(("linux", "linux", "linux", ""))),
            "zone": draw(st.sampled_from(("", "", "a"))),
        }
        found.append(node(f"n{number}", kind, **more))
    return found


@st.composite
def pods(draw: st.DrawFn, names: list[str]) -> list[Pod]:
    found = []
    for number in range(draw(st.sampled_from((3, 6, 10, 1, 0, 14)))):
        kind = draw(st.sampled_from(("job", "job", "job", "daemon", "other", "pause")))
        where = draw(st.sampled_from(("", "", *names)))
        found.append(
            pod(
                f"p{number}",
                draw(st.sampled_from((4, 8, 0.5, 1, 2, 12, 16, 40))),
                draw(st.sampled_from((8, 30, 0.5, 1, 4, 60, 500))),
                node=where,
                kind=kind,
                created_at=draw(instants),
                phase=draw(st.sampled_from(("Pending", "Running", "Succeeded"))) if where else "Pending",
                expected_seconds=draw(st.sampled_from((None, 10.0, 100.0, 3000.0))),
                graph=draw(st.sampled_from(("", "g"))),
                graph_job=draw(st.sampled_from(("a", "b", "c"))),
                is_gated=draw(st.sampled_from((False, False, True))),
                orphaned_since=draw(st.sampled_from((None, None, NOW - 5000))),
            )
        )
    return found


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    some = draw(nodes())
    launches = [
        Launch(
            id=f"l{number}", pool="linux", type=draw(st.sampled_from(("small", "medium", "gone"))),
            ordered_at=draw(instants), instance=draw(st.sampled_from(("", f"i-l{number}"))),
        )
        for number in range(draw(st.sampled_from((0, 0, 1, 2, 4))))
    ]  # fmt: skip
    jobs = (
        GraphJob(key="a"),
        GraphJob(key="b", needs=("a",), size=size(4, 8)),
        GraphJob(key="c", needs=("a", "b"), size=size(8, 8)),
    )
    graph = Graph(digest="g", jobs=jobs, done=draw(st.sampled_from((frozenset(), frozenset({"a"})))))
    faults = tuple(draw(st.lists(st.builds(LaunchFault, at=instants, type=st.sampled_from(("small", "large"))), max_size=3)))
    idle = draw(st.dictionaries(st.sampled_from([one.name for one in some] or ["n0"]), instants, max_size=6))
    stale = draw(st.sampled_from((*[()] * 12, ("pods",), ("nodes",), ("graphs",), ("pools",))))
    seen = snapshot(
        *some, *launches, *draw(pods([one.name for one in some])),
        graphs=draw(st.sampled_from(((), (graph,)))), ledger=Ledger(idle_since=idle),
        pools=(
            state(tuple(some), tuple(launches), faults=faults, rejected=draw(st.sampled_from(("", "", "", "AZRebalance")))),
        ),
    )  # fmt: skip
    return msgspec.structs.replace(seen, inputs={name: at for name, at in seen.inputs.items() if name not in stale})


@st.composite
def wanting(draw: st.DrawFn) -> Snapshot:
    """Draw a healthy cluster in which more jobs wait than there is room for: bounds are met here."""
    kinds = st.sampled_from(KINDS)
    some = [node(f"n{number}", draw(kinds)) for number in range(draw(st.integers(0, 3)))]
    launches = [
        Launch(id=f"l{number}", pool="linux", type=draw(kinds).name, ordered_at=draw(st.sampled_from((NOW - 5, NOW - 60))))
        for number in range(draw(st.integers(0, 2)))
    ]
    cores, gib = st.sampled_from((4, 2, 8, 12)), st.sampled_from((8, 1, 30))
    waits = [pod(f"p{number}", draw(cores), draw(gib)) for number in range(draw(st.sampled_from((8, 14, 20))))]
    return snapshot(*some, *launches, *waits)


policies = st.builds(
    Policy,
    name=st.sampled_from(("lookahead", "pack", "counts")),
    pools=st.sampled_from((
        (pool(),),
        (pool(zones=("a", "b"), least_nodes=1, most_nodes=5),),
        (pool(types=(LARGE,), most_nodes=2),),
    )),
    warm=st.sampled_from(((), (WarmPeriod(pool="linux", idle_count=2),), (WarmPeriod(pool="linux", scale_factor=0.5),))),
    caps=st.builds(
        Caps,
        most_nodes=st.sampled_from((8, 1000, 5, 3, 1, 0)),
        most_cost_per_hour=st.sampled_from((3.0, 1000.0, 0.85, 0.0)),
        most_step_nodes=st.sampled_from((6, 50, 2, 1, 0)),
    ),
    scale_in=st.builds(ScaleIn, idle_seconds=st.sampled_from((5.0, 60.0)), most_nodes=st.integers(1, 5)),
    look_ahead=st.builds(
        LookAhead, slack_seconds=st.sampled_from((0.0, 100.0)), end_factor=st.sampled_from((0.0, 1.0, 1.5))
    ),
    largest_type=st.sampled_from((0.0, 1.0, 4.0)),
)  # fmt: skip


@_FEW
@given(st.one_of(wanting(), snapshots()), policies)
def test_a_decision_is_stable_on_its_own_result(seen: Snapshot, settled: Policy) -> None:
    """At the same instant nothing more is ordered, cordoned or removed; else a slow API would be asked twice."""
    first = decide(seen, settled, NOW)
    second = decide(applied(seen, first, now=NOW), settled, NOW)
    assert [*lines_of(second, LaunchNodes), *lines_of(second, RemoveNode), *lines_of(second, TerminateInstance)] == []
    undone = {line.node for line in lines_of(second, UncordonNode)}
    assert undone.isdisjoint(line.node for line in lines_of(first, CordonNode))
    again = {line.node for line in lines_of(second, CordonNode)}
    assert again.isdisjoint(line.node for line in lines_of(first, UncordonNode))


@_FEW
@given(st.one_of(wanting(), wanting(), snapshots()), policies)
def test_no_decision_passes_a_cap(seen: Snapshot, settled: Policy) -> None:
    plan = decide(seen, settled, NOW)
    orders = lines_of(plan, LaunchNodes)
    prices = {kind.name: kind.price_per_hour for one in settled.pools for kind in one.types}
    count = sum(line.count for line in orders)
    if not count:
        return
    machines = [one.type for one in seen.nodes if one.pool == "linux"] + [one.type for one in seen.launches]
    assert len(machines) + count <= min(settled.caps.most_nodes, settled.pools[0].most_nodes)
    cost = sum(prices.get(one, 0.0) for one in machines) + sum(prices[line.type] * line.count for line in orders)
    assert cost <= settled.caps.most_cost_per_hour + 1e-6
    recent = sum(one.ordered_at > NOW - settled.caps.step_seconds for one in seen.launches)
    assert recent + count <= settled.caps.most_step_nodes
    assert not seen.pools[0].rejected


@_FEW
@given(snapshots(), policies)
def test_no_decision_touches_a_node_that_is_busy_foreign_or_kept(seen: Snapshot, settled: Policy) -> None:
    plan = decide(seen, settled, NOW)
    busy = {one.node for one in seen.pods if one.occupies and one.kind in {"job", "other"}}
    by_name = {one.name: one for one in seen.nodes}
    for line in lines_of(plan, RemoveNode):
        found = by_name[line.node]
        assert line.node not in busy
        assert found.pool == "linux"
        assert not found.is_kept
        assert found.cordon is not None
        assert NOW - found.cordon.at >= 15
        assert found.is_unschedulable
    for mark in lines_of(plan, CordonNode):
        assert mark.reason == "interruption" or mark.node not in busy
        assert by_name[mark.node].pool == "linux"
        assert mark.reason == "interruption" or not by_name[mark.node].is_unschedulable


@_FEW
@given(snapshots(), policies)
def test_without_fresh_inputs_nothing_is_removed(seen: Snapshot, settled: Policy) -> None:
    plan = decide(seen, settled, NOW + 3600)
    assert [line for line in plan.lines if isinstance(line, RemoveNode | LaunchNodes | DeletePod)] == []
    assert [line for line in lines_of(plan, CordonNode) if line.reason != "interruption"] == []


@_FEW
@given(st.one_of(wanting(), snapshots()), policies)
def test_the_same_snapshot_gives_the_same_plan_also_after_being_written_and_read(seen: Snapshot, settled: Policy) -> None:
    first = plan_to_json(decide(seen, settled, NOW))
    assert plan_to_json(decide(from_json(to_json(seen)), settled, NOW)) == first


@_FEW
@given(snapshots(), policies)
def test_each_line_has_a_reason_and_a_message_and_each_waiting_job_a_word(seen: Snapshot, settled: Policy) -> None:
    plan = decide(seen, settled, NOW)
    assert all(line.reason and line.message for line in plan.lines)
    told = [one.uid for one in plan.waiting]
    assert len(set(told)) == len(told), "one reason each"
    assert set(told) >= {one.uid for one in seen.pods if one.waits_for_node}
    assert set(told) <= {one.uid for one in seen.pods if one.kind == "job" and one.phase == "Pending"}
    assert {one.node for one in plan.nodes} == {one.name for one in seen.nodes}
    assert all(math.isfinite(one.expected_start) for one in plan.waiting if one.expected_start is not None)
