"""Decisions, one by one: each is a complaint about another autoscaler, or a rule of docs/autoscaler.md."""

from typing import Any

import pytest

from autoscaler.deciding.decide import decide
from autoscaler.policy import BreakerSettings, Caps, InstanceType, LookAhead, Policy, ScaleIn, WarmPeriod
from autoscaler.scale_plan import (
    CordonNode,
    DeleteNodeObject,
    DeletePod,
    LaunchNodes,
    LowerDesired,
    Note,
    RemoveNode,
    ScalePlan,
    TerminateInstance,
    UncordonNode,
)
from autoscaler.snapshot import (
    Graph,
    GraphJob,
    Launch,
    LaunchFault,
    Ledger,
    Node,
    QueuedJob,
    Requirement,
    Size,
    Snapshot,
    Taint,
    Toleration,
)
from tests.labs.autoscaler import (
    GIB,
    LARGE,
    MEDIUM,
    NOW,
    SMALL,
    cordoned,
    lines_of,
    node,
    pod,
    policy,
    pool,
    size,
    snapshot,
    state,
)

OLD = Ledger(idle_since={"n": NOW - 600, "m": NOW - 600})


def plan_of(seen: Snapshot, settled: Policy | None = None, *, now: float = NOW) -> ScalePlan:
    return decide(seen, settled or policy(), now)


def orders(plan: ScalePlan) -> dict[str, int]:
    return {line.type: line.count for line in lines_of(plan, LaunchNodes)}


def reasons(plan: ScalePlan) -> set[str]:
    return {line.reason for line in lines_of(plan, Note)}


def waits(plan: ScalePlan) -> dict[str, str]:
    return {one.pod: one.reason for one in plan.waiting}


def test_a_pod_that_waits_gets_a_machine_that_fits_and_a_reason() -> None:
    plan = plan_of(snapshot(pod("p", 4, 8)))
    (line,) = lines_of(plan, LaunchNodes)
    assert (line.type, line.count, line.desired, line.reason, line.pods) == ("small", 1, 1, "pending", ("p",))
    assert [(one.reason, one.expected_start) for one in plan.waiting] == [("node_booting", NOW + 90)]


def test_a_pod_waits_for_capacity_that_boots_and_is_counted_once() -> None:
    """cluster-autoscaler#687, keda#6157: pending pods were counted again while their nodes booted."""
    seen = snapshot(pod("p", 4, 8), Launch(id="l", pool="linux", type="small", ordered_at=NOW - 30))
    assert orders(plan_of(seen)) == {}
    registered = snapshot(pod("p", 4, 8), node("n", SMALL, is_usable=False, is_ready=True, created_at=NOW - 30))
    assert orders(plan_of(registered)) == {}


def test_a_launch_whose_node_is_there_counts_once() -> None:
    seen = snapshot(
        pod("p", 4, 8),
        pod("q", 4, 8),
        node("n", SMALL),
        Launch(id="x", pool="linux", type="small", ordered_at=NOW, instance="i-n"),
    )
    assert orders(plan_of(seen)) == {"small": 1}


def test_a_pod_larger_than_any_type_is_named_and_never_scaled_for() -> None:
    plan = plan_of(snapshot(pod("giant", 17, 8), pod("fat", 1, 500)))
    assert orders(plan) == {}
    assert waits(plan) == {"giant": "fits_no_type", "fat": "fits_no_type"}
    assert "16 cores" in next(one.detail for one in plan.waiting if one.pod == "giant")
    assert reasons(plan) == {"fits_no_type"}


def test_a_big_pod_is_not_starved_by_many_half_empty_nodes() -> None:
    """escalator#224: the total was below its threshold, and a large pod fit nowhere."""
    nodes = [node(f"n{number}", MEDIUM) for number in range(10)]
    busy = [pod(f"b{number}", 1, 1, node=f"n{number}") for number in range(10)]
    assert orders(plan_of(snapshot(*nodes, *busy, pod("big", 12, 40)))) == {"large": 1}


def test_daemons_take_their_share_of_new_nodes() -> None:
    """escalator#154: DaemonSets' pods were not counted."""
    kind = InstanceType(name="small", allocatable=size(4, 16), price_per_hour=0.2, daemons=size(0.5, 1))
    assert orders(plan_of(snapshot(pod("p", 4, 8)), policy(pool(types=(kind, MEDIUM))))) == {"medium": 1}
    # what a live node shows overrules the settings
    seen = snapshot(pod("p", 4, 8), node("n", SMALL), pod("d", 0.2, 0, node="n", kind="daemon"), pod("b", 3, 1, node="n"))
    assert orders(plan_of(seen)) == {"medium": 1}


def test_at_the_limit_our_cordoned_nodes_are_taken_back_first() -> None:
    """escalator#107: stuck at max_nodes with cordoned ones."""
    settled = policy(caps=Caps(most_nodes=1))
    plan = plan_of(snapshot(cordoned("n"), pod("p")), settled)
    assert [(line.node, line.reason) for line in lines_of(plan, UncordonNode)] == [("n", "needed")]
    assert orders(plan) == {}
    assert waits(plan) == {"p": "unknown"}


def test_no_capacity_leads_to_other_types_and_a_wait_that_doubles() -> None:
    """escalator PR 294: desired 600, running 100."""
    faults = tuple(LaunchFault(at=NOW - 10 * number, type="small") for number in range(1, 3))
    plan = plan_of(snapshot(pod("p", 4, 8), pools=(state(faults=faults),)))
    assert orders(plan) == {"medium": 1}
    (breaker,) = plan.ledger.breakers
    assert (breaker.type, breaker.failures, breaker.closed_at) == ("small", 2, NOW - 10 + 120)


def test_a_breaker_opens_after_three_faults_lets_one_order_through_later_and_closes_with_a_node() -> None:
    only = policy(pool(types=(SMALL,)))
    faults = tuple(LaunchFault(at=NOW - number, type="small") for number in range(1, 4))
    first = plan_of(snapshot(pod("p"), pod("q"), pools=(state(faults=faults),)), only)
    assert (orders(first), reasons(first), waits(first)["p"]) == ({}, {"breaker"}, "pool_at_limit")
    later = NOW + 1800
    seen = snapshot(pod("p"), pod("q"), pools=(state(faults=faults),), ledger=first.ledger, now=later)
    assert orders(plan_of(seen, only, now=later)) == {"small": 1}
    came = snapshot(pod("p"), pod("q"), node("n", SMALL, created_at=NOW + 1), pods=(), ledger=first.ledger, now=later)
    assert plan_of(came, only, now=later).ledger.breakers == ()


def test_faults_are_counted_once() -> None:
    seen = snapshot(pods=(), pools=(state(faults=(LaunchFault(at=NOW - 5, type="small"),)),))
    first = plan_of(seen)
    again = snapshot(pods=(), pools=seen.pools, ledger=first.ledger, now=NOW + 10)
    assert plan_of(again, now=NOW + 10).ledger.breakers == first.ledger.breakers


@pytest.mark.parametrize(
    ("settled", "reason"),
    [
        (policy(caps=Caps(most_nodes=1)), "max_nodes"),
        (policy(caps=Caps(most_cost_per_hour=0.3)), "max_cost"),
        (policy(caps=Caps(most_step_nodes=1)), "max_step"),
        (policy(pool(most_nodes=1)), "pool"),
    ],
)
def test_caps_hold_and_are_named(settled: Policy, reason: str) -> None:
    plan = plan_of(snapshot(pod("p", 16, 60), pod("q", 4, 8), pod("r", 4, 8)), settled)
    assert sum(orders(plan).values()) <= 1
    assert reason in reasons(plan)
    assert "pool_at_limit" in waits(plan).values()


@pytest.mark.parametrize("given", [{"pools": ()}, {"pools": (state(rejected="AZRebalance is on"),)}])
def test_nothing_is_done_with_a_pool_that_was_not_read_or_is_rejected(given: dict[str, Any]) -> None:
    plan = plan_of(snapshot(pod("p"), node("n"), cordoned("m"), pod("b", 8, 8, node="n"), ledger=OLD, **given))
    assert not [line for line in plan.lines if isinstance(line, LaunchNodes | RemoveNode | CordonNode)]


@pytest.mark.parametrize("name", ["pods", "nodes", "pools"])
def test_a_missing_input_stops_orders_and_removals(name: str) -> None:
    inputs = {key: NOW for key in ("pods", "nodes", "pools") if key != name}
    plan = plan_of(snapshot(pod("p", 16, 60), cordoned("n"), node("m"), ledger=OLD, inputs=inputs))
    assert not [line for line in plan.lines if isinstance(line, LaunchNodes | CordonNode | RemoveNode)]
    assert reasons(plan) >= {"stale_input"}


def test_a_job_graph_that_was_not_read_stops_removals_but_not_orders() -> None:
    settled = policy(inputs=("pods", "nodes", "pools", "graphs"))
    seen = snapshot(
        pod("p", 16, 60), cordoned("n", SMALL), ledger=OLD, inputs=dict.fromkeys(("pods", "nodes", "pools"), NOW)
    )
    plan = plan_of(seen, settled)
    assert orders(plan) == {"large": 1}
    assert lines_of(plan, RemoveNode) == []


def test_an_input_from_the_future_is_not_fresh() -> None:
    seen = snapshot(node("n"), ledger=OLD, inputs=dict.fromkeys(("pods", "nodes", "pools"), NOW + 3600))
    assert lines_of(plan_of(seen), CordonNode) == []


def test_too_many_nodes_that_are_not_ready_freeze_everything() -> None:
    lost = [node(f"l{number}", is_ready=False, is_usable=False, unready_since=NOW - 60) for number in range(5)]
    plan = plan_of(snapshot(*lost, *[node(f"n{number}") for number in range(5)], pod("p", 16, 60)))
    assert (orders(plan), reasons(plan)) == ({}, {"unhealthy"})


def test_a_node_goes_in_two_steps_and_not_before_its_idle_time() -> None:
    fresh = plan_of(snapshot(node("n")))
    assert lines_of(fresh, CordonNode) == []
    assert fresh.ledger.idle_since == {"n": NOW}
    first = plan_of(snapshot(node("n"), ledger=OLD))
    assert [(line.node, line.reason) for line in lines_of(first, CordonNode)] == [("n", "idle")]
    assert lines_of(first, RemoveNode) == []
    early = plan_of(snapshot(cordoned("n", age=14), ledger=OLD))
    assert lines_of(early, RemoveNode) == []
    due = plan_of(snapshot(cordoned("n", age=16), ledger=OLD))
    assert [(line.node, line.instance) for line in lines_of(due, RemoveNode)] == [("n", "i-n")]


@pytest.mark.parametrize(
    ("things", "reason"),
    [
        ((cordoned("n"), pod("p", node="n")), "job_found"),
        ((cordoned("n"), pod("p", node="n", kind="other")), "job_found"),
        ((cordoned("n", age=1900),), "cordon_too_old"),
        ((cordoned("n", age=-3600),), "cordon_too_old"),
        ((cordoned("n"), pod("p")), "needed"),
        ((cordoned("n", is_kept=True),), "no_longer_wanted"),
        ((node("n", cordon=cordoned("n").cordon),), "no_longer_wanted"),
    ],
)
def test_a_cordon_of_ours_is_taken_back(things: tuple[Any, ...], reason: str) -> None:
    plan = plan_of(snapshot(*things, ledger=OLD))
    assert [(line.node, line.reason) for line in lines_of(plan, UncordonNode)] == [("n", reason)]
    assert lines_of(plan, RemoveNode) == []


def test_lists_that_are_older_than_the_cordon_do_not_confirm_it() -> None:
    seen = snapshot(cordoned("n", age=30), ledger=OLD, inputs=dict.fromkeys(("pods", "nodes", "pools"), NOW - 20))
    assert lines_of(plan_of(seen), RemoveNode) == []


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"is_kept": True}, "keep"),
        ({"is_unschedulable": True}, "somebody else"),
        ({"pool": ""}, ""),
        ({"is_usable": False, "created_at": NOW - 60}, "boots"),
        ({"is_ready": False, "is_usable": False, "unready_since": NOW - 60}, "not ready"),
    ],
)
def test_a_node_stays(more: dict[str, Any], word: str) -> None:
    plan = plan_of(snapshot(node("n", **more), ledger=OLD))
    assert [line for line in plan.lines if not isinstance(line, Note)] == []
    assert word in plan.nodes[0].reason


def test_a_node_that_is_ready_and_never_becomes_usable_is_replaced_and_removed() -> None:
    """awslabs/amazon-eks-ami#1944."""
    broken = node("n", SMALL, is_ready=True, is_usable=False, created_at=NOW - 1000)
    plan = plan_of(snapshot(broken, pod("p", 4, 8), ledger=OLD))
    assert [line.reason for line in lines_of(plan, CordonNode)] == ["never_usable"]
    assert sum(orders(plan).values()) == 1
    assert [one.failures for one in plan.ledger.breakers] == [1]


def test_only_so_many_nodes_go_at_once_the_longest_idle_first_and_never_below_the_least() -> None:
    nodes = [node(f"n{number}") for number in range(5)]
    ledger = Ledger(idle_since={f"n{number}": NOW - 100 - number for number in range(5)})
    few = plan_of(snapshot(*nodes, ledger=ledger), policy(scale_in=ScaleIn(most_nodes=2)))
    assert [line.node for line in lines_of(few, CordonNode)] == ["n4", "n3"]
    least = plan_of(snapshot(*nodes, ledger=ledger), policy(pool(least_nodes=4)))
    assert len(lines_of(least, CordonNode)) == 1


def test_a_node_stays_while_a_pod_that_fits_waits_but_not_for_ever() -> None:
    """cluster-autoscaler#8258: removal was blocked by a scale-up that never ended."""
    two = (node("n", SMALL), node("m", SMALL))
    young = plan_of(snapshot(*two, pod("p", 2, 4), ledger=OLD))
    assert lines_of(young, CordonNode) == []
    old = plan_of(snapshot(*two, pod("p", 2, 4, created_at=NOW - 2000, unread_constraints=("podAffinity",)), ledger=OLD))
    assert len(lines_of(old, CordonNode)) == 1
    assert "podAffinity" in old.waiting[0].detail


def test_a_spot_notice_is_a_loss_and_its_jobs_get_new_capacity() -> None:
    seen = snapshot(node("n", SMALL, interrupted_at=NOW + 100), pod("p", 4, 8, node="n"), ledger=OLD)
    plan = plan_of(seen)
    assert [(line.reason, line.type) for line in lines_of(plan, LaunchNodes)] == [("interruption", "small")]
    assert [line.reason for line in lines_of(plan, CordonNode)] == ["interruption"]
    ends = snapshot(node("n", SMALL, interrupted_at=NOW + 100), pod("p", 4, 8, node="n", expected_seconds=50.0))
    assert orders(plan_of(ends)) == {}


GRAPH = Graph(
    digest="g",
    jobs=(
        GraphJob(key="a"),
        GraphJob(key="b", name="soon", needs=("a", "gone"), size=size(4, 8)),
        GraphJob(key="c", needs=("b",), size=size(4, 8)),
        GraphJob(key="d", needs=("a", "x"), size=size(4, 8)),
        GraphJob(key="x"),
    ),
)


@pytest.mark.parametrize(
    ("expected", "ordered"), [(40.0, {"small": 1}), (20.0, {"small": 1}), (300.0, {}), (None, {})], ids=str
)
def test_a_job_that_becomes_ready_soon_is_looked_ahead_for(expected: float | None, ordered: dict[str, int]) -> None:
    parent = pod("a", 4, 8, node="n", graph="g", graph_job="a", expected_seconds=expected)
    seen = snapshot(node("n", SMALL), parent, graphs=(GRAPH,))
    settled = policy(look_ahead=LookAhead(end_factor=0))
    plan = plan_of(seen, settled)
    assert orders(plan) == ordered
    assert all((line.reason, line.pods) == ("look_ahead", ("soon",)) for line in lines_of(plan, LaunchNodes))


def test_a_job_that_comes_soon_takes_the_room_that_its_parent_leaves() -> None:
    parent = pod("a", 4, 8, node="n", graph="g", graph_job="a", expected_seconds=40.0)
    assert orders(plan_of(snapshot(node("n", SMALL), parent, graphs=(GRAPH,)))) == {}


def test_a_node_is_kept_for_a_job_that_comes_soon() -> None:
    parent = pod("a", 4, 8, node="m", graph="g", graph_job="a", expected_seconds=40.0)
    plan = plan_of(snapshot(node("m", SMALL), node("n", SMALL), parent, graphs=(GRAPH,), ledger=OLD))
    assert lines_of(plan, CordonNode) == []
    unknown = Graph(digest="g", jobs=GRAPH.jobs, unknown=frozenset({"b"}))
    later = plan_of(snapshot(node("m", SMALL), node("n", SMALL), parent, graphs=(unknown,), ledger=OLD))
    assert [line.node for line in lines_of(later, CordonNode)] == ["n"]


def test_a_pod_waits_for_room_that_comes_sooner_than_a_new_node() -> None:
    seen = snapshot(node("n", SMALL), pod("b", 4, 8, node="n", expected_seconds=60.0), pod("p", 4, 8))
    plan = plan_of(seen)
    assert (orders(plan), waits(plan)) == ({}, {"p": "unknown"})
    assert plan.waiting[0].expected_start == NOW - 20 + 60
    assert orders(plan_of(seen, policy(name="pack"))) == {"small": 1}
    overdue = snapshot(node("n", SMALL), pod("b", 4, 8, node="n", expected_seconds=10.0), pod("p", 4, 8))
    assert orders(plan_of(overdue)) == {"small": 1}


def test_jobs_that_wait_in_gitlab_are_demand() -> None:
    jobs = (QueuedJob(id="1"), QueuedJob(id="2", size=size(8, 8), name="x"))
    assert sum(orders(plan_of(snapshot(pods=(), queued=jobs))).values()) >= 1


@pytest.mark.parametrize(
    ("warm", "ordered"),
    [
        ((WarmPeriod(pool="linux", idle_count=2),), True),
        ((WarmPeriod(pool="linux", idle_count=2, cron="* 3 * * *"),), False),
        ((WarmPeriod(pool="linux", scale_factor=1.0),), False),
        ((), False),
    ],
)
def test_a_warm_floor_is_kept_free(warm: tuple[WarmPeriod, ...], ordered: bool) -> None:  # noqa: FBT001
    plan = plan_of(snapshot(pods=()), policy(warm=warm))
    assert bool(orders(plan)) is ordered
    kept = plan_of(snapshot(node("n", LARGE), ledger=OLD), policy(warm=warm))
    assert bool(lines_of(kept, CordonNode)) is not ordered


def test_counts_orders_by_three_numbers_and_waits_between_two_orders() -> None:
    settled = policy(name="counts")
    pods = [pod(f"p{number}", 2, 4) for number in range(7)]
    first = plan_of(snapshot(*pods), settled)
    assert orders(first) == {"small": 3}
    assert [line.reason for line in lines_of(first, LaunchNodes)] == ["policy"]
    assert first.ledger.ordered_at == NOW
    soon = NOW + 30
    assert orders(plan_of(snapshot(*pods, ledger=first.ledger, now=soon), settled, now=soon)) == {}
    assert orders(plan_of(snapshot(*pods, node("n", SMALL), node("m", SMALL)), settled)) == {"small": 1}


TAINT = Taint(key="jobs", value="true")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, "taint"),
        ({"tolerations": (Toleration(key="jobs", operator="Exists"),)}, "node_booting"),
        ({"tolerations": (Toleration(operator="Exists"),), "node_selector": {"arch": "arm64"}}, "unknown"),
        ({"tolerations": (Toleration(operator="Exists"),), "node_selector": {"arch": "amd64"}}, "node_booting"),
        (
            {
                "tolerations": (Toleration(operator="Exists"),),
                "affinity": ((Requirement(key="arch", operator="In", values=("amd64",)),),),
            },
            "node_booting",
        ),
        ({"blocked": "quota"}, "quota"),
        ({"blocked": "image"}, "image"),
    ],
)
def test_taints_labels_and_other_blocks_are_named(more: dict[str, Any], reason: str) -> None:
    settled = policy(pool(taints=(TAINT,), labels={"arch": "amd64"}))
    assert waits(plan_of(snapshot(pod("p", 4, 8, **more)), settled)) == {"p": reason}


def test_other_resources_count() -> None:
    gpu = InstanceType(
        name="gpu", price_per_hour=3, allocatable=Size(cpu_millicores=8000, memory_bytes=64 * GIB, extended={"gpu": 1})
    )
    asks = Size(cpu_millicores=1000, memory_bytes=GIB, extended={"gpu": 1})
    pods = (pod("p", size=asks), pod("q", size=asks))
    assert orders(plan_of(snapshot(*pods), policy(pool(types=(SMALL, gpu))))) == {"gpu": 2}
    assert waits(plan_of(snapshot(*pods))) == {"p": "fits_no_type", "q": "fits_no_type"}


def test_zones_are_filled_evenly_and_one_without_capacity_is_left_out() -> None:
    settled = policy(pool(types=(SMALL,), zones=("a", "b", "c")))
    pods = [pod(f"p{number}", 4, 8) for number in range(6)]
    plan = plan_of(snapshot(*pods), settled)
    assert {line.zone: line.count for line in lines_of(plan, LaunchNodes)} == {"a": 2, "b": 2, "c": 2}
    faults = (LaunchFault(at=NOW - 5, type="small", zone="b"),)
    plan = plan_of(snapshot(*pods, pools=(state(faults=faults),)), settled)
    assert {line.zone: line.count for line in lines_of(plan, LaunchNodes)} == {"a": 3, "c": 3}


def late(name: str, instance: str = "") -> Launch:
    return Launch(id=name, pool="linux", type="small", ordered_at=NOW - 1000, instance=instance)


def test_machines_without_a_node_are_ended_and_orders_without_a_machine_given_up() -> None:
    plan = plan_of(snapshot(late("a", "i-a"), pods=()))
    assert [line.instance for line in lines_of(plan, TerminateInstance)] == ["i-a"]
    plan = plan_of(snapshot(late("a"), late("b"), node("n"), pods=()))
    assert [line.desired for line in lines_of(plan, LowerDesired)] == [1]
    many = [late(f"l{number}", f"i-{number}") for number in range(5)]
    plan = plan_of(snapshot(*many, pods=()))
    assert (lines_of(plan, TerminateInstance), "many_without_node" in reasons(plan)) == ([], True)


def test_a_node_whose_machine_is_gone_is_deleted_and_an_orphaned_job_too() -> None:
    gone = node("n", is_ready=False, is_usable=False, unready_since=NOW - 60)
    plan = plan_of(snapshot(gone, pod("p", orphaned_since=NOW - 1000, node="n"), pools=(state(instances=()),)))
    assert [line.node for line in lines_of(plan, DeleteNodeObject)] == ["n"]
    assert [line.uid for line in lines_of(plan, DeletePod)] == ["uid-p"]
    young = node("n", is_ready=False, is_usable=False, created_at=NOW + 1)
    assert lines_of(plan_of(snapshot(young, pools=(state(instances=()),))), DeleteNodeObject) == []


def test_hints_order_and_never_remove() -> None:
    plan = plan_of(snapshot(pod("p", 16, 60), node("n", SMALL), cordoned("m"), ledger=OLD), policy(mode="hints"))
    assert [type(line) for line in plan.lines] == [LaunchNodes]


def test_a_dry_run_is_named_by_pool() -> None:
    assert plan_of(snapshot(pods=()), policy(pool(dry_run=True))).dry_run_pools == ("linux",)
    assert plan_of(snapshot(pods=()), policy(dry_run=True)).dry_run_pools == ("linux",)


def test_an_order_that_is_late_counts_no_more_and_is_a_fault() -> None:
    settled = policy(pool(types=(SMALL, MEDIUM)), breaker=BreakerSettings(boot_timeout_seconds=300))
    plan = plan_of(snapshot(pod("p", 4, 8), late("a", "i-a")), settled)
    assert sum(orders(plan).values()) == 1
    assert [one.failures for one in plan.ledger.breakers] == [1]


def test_an_empty_cluster_without_pools_gives_an_empty_plan() -> None:
    assert decide(Snapshot(taken_at=NOW), Policy(), NOW).lines[-1:] != ()
    quiet = decide(snapshot(pods=(), pools=()), Policy(), NOW)
    assert quiet.lines == ()
    assert waits(decide(snapshot(pod("p"), pools=()), Policy(), NOW)) == {"p": "unknown"}


def test_pause_pods_yield_and_pods_on_foreign_nodes_are_left_alone() -> None:
    seen = snapshot(node("n", SMALL), pod("pause", 4, 8, node="n", kind="pause"), pod("p", 4, 8))
    assert orders(plan_of(seen)) == {}
    foreign = Node(name="f", allocatable=size(64, 256), created_at=NOW - 999)
    assert [one.state for one in plan_of(snapshot(foreign, pod("p", 4, 8))).nodes] == ["foreign"]
