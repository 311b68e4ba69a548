"""Promise: the whole service on a real API server: killed at each step, twice at once, beside people, on odd nodes."""

import json
import signal
import time
from collections.abc import Callable

import pytest

from tests.labs.nodes.plugin import NodesLab
from tests.labs.nodes.service import TICK_SECONDS, Service
from tests.labs.waiting import is_alive, wait_until

Start = Callable[..., Service]


def all_run(farm: NodesLab, *names: str) -> bool:
    return all(farm.phase(name) == "Running" for name in names)


def test_nodes_come_for_jobs_and_go_after_them_and_everything_is_said(farm: NodesLab, start: Start) -> None:
    service = start()
    for number in range(4):
        farm.add_job(f"j{number}", cpu="3", seconds=4)
    wait_until(lambda: farm.pods() and not any(farm.phase(f"j{number}") == "Pending" for number in range(4)))
    assert len(farm.nodes()) == 2
    assert service.get("/healthz") == "ok\n"
    wait_until(lambda: not farm.nodes())
    wait_until(lambda: len(service.did("remove")) == 2)  # a node is gone a moment before its line is there
    wait_until(lambda: "spack_farm_node_lifetime_seconds_count 2.0" in service.get("/metrics"))
    metrics = service.get("/metrics")
    for line in (
        "spack_farm_leader 1.0",
        "spack_farm_wait_seconds_count 4.0",
        'spack_farm_scale_actions_total{dir="in",reason="idle",result="done"} 4.0',
        "spack_farm_scalein_aborted_total 0.0",
    ):
        assert line in metrics, metrics

    def told(reason: str) -> int:
        events = farm.plane.call("GET", "/api/v1/namespaces/default/events")["items"]
        return sum(one["reason"] == reason and one["involvedObject"]["name"].startswith(farm.name) for one in events)

    wait_until(lambda: told("ScaleInDone") == 2)
    assert told("ScaleInBegun") == 2


STEPS = [
    ("POST /api/v1/nodes", True),
    ("PATCH /api/v1/nodes/", True),
    ("GET /api/v1/pods.*fieldSelector", False),
    ("DELETE /api/v1/nodes/", False),
    ("DELETE /api/v1/nodes/", True),
]
"""A request, and whether the controller is killed after it was carried out: before one is after the one before it."""


@pytest.mark.timeout(900)  # it waits for leases and cordons, 15 s each: begun early, beside what computes
@pytest.mark.parametrize(("step", "after"), STEPS)
def test_a_controller_that_is_killed_at_any_step_is_followed_by_one_that_goes_on(
    farm: NodesLab,
    start: Start,
    step: str,
    after: bool,  # noqa: FBT001 (a column)
) -> None:
    """Before the request and after it was carried out: nothing is ordered twice, and no node stays behind."""
    farm.add_job("first", cpu="3", seconds=3)
    first = start()
    fault = farm.api.add(step, action=first.kill, after=after, cut=not after)
    wait_until(lambda: fault.seen)
    wait_until(lambda: not is_alive(first.process.pid))
    farm.add_job("second", cpu="3", seconds=3)
    start()
    wait_until(lambda: farm.phase("first") == farm.phase("second") == "Succeeded")
    wait_until(lambda: not farm.nodes())
    assert farm.api.count("POST /api/v1/nodes .*201") <= 2


def test_of_two_controllers_one_acts_and_the_other_takes_over(farm: NodesLab, start: Start) -> None:
    services = [start(), start()]
    wait_until(lambda: any(one.leads() for one in services))
    leader, follower = sorted(services, key=lambda one: not one.leads())
    farm.add_job("first", cpu="3")
    wait_until(lambda: all_run(farm, "first"))
    assert not follower.leads()
    assert not follower.did("launch")
    leader.process.send_signal(signal.SIGTERM)
    assert leader.process.wait(20) == 0, "TERM is an orderly end"
    began = time.monotonic()
    wait_until(follower.leads)
    assert time.monotonic() - began < 10, "the lease was given back"
    farm.add_job("second", cpu="7")
    wait_until(lambda: all_run(farm, "second"))
    assert farm.phase("first") == "Running"


def test_a_leader_that_was_stopped_for_longer_than_its_lease_changes_nothing_when_it_wakes(
    farm: NodesLab, start: Start
) -> None:
    """It goes on in the middle of a plan that is another controller's by now."""
    first = start()
    wait_until(first.leads)
    fault = farm.api.add("GET .*/leases/", action=lambda: first.process.send_signal(signal.SIGSTOP), times=1)
    wait_until(lambda: fault.seen)
    second = start()
    wait_until(second.leads)
    farm.add_job("one", cpu="3")
    wait_until(lambda: all_run(farm, "one"))
    first.process.send_signal(signal.SIGCONT)
    time.sleep(4 * TICK_SECONDS)
    assert len(farm.nodes()) == 1
    assert not first.did("launch")
    assert second.did("launch")


def test_a_node_that_is_ready_and_not_yet_usable_counts_as_booting_and_is_not_idle(farm: NodesLab, start: Start) -> None:
    """Nodes of EKS are Ready before their serving certificate is there: jobs fail then within a second or two."""
    taint = {"key": "node.spack.io/certificate-pending", "effect": "NoSchedule"}
    name = farm.add_node("new", taints=[taint], cpu="8", labels={"node.kubernetes.io/instance-type": "large"})
    farm.add_job("j", cpu="3")
    service = start(boot_seconds=120.0)
    wait_until(service.leads)
    wait_until(lambda: "spack-farm.io/waiting" in farm.pods()["j"]["metadata"].get("annotations", {}))
    time.sleep(6 * TICK_SECONDS)
    assert list(farm.nodes()) == [name], "it is about to be usable: no further node is ordered"
    assert not farm.is_cordoned(name)
    waiting = farm.pods()["j"]["metadata"]["annotations"]["spack-farm.io/waiting"]
    assert json.loads(waiting)["reason"] == "node_booting", waiting
    farm.plane.call("PATCH", f"/api/v1/nodes/{name}", {"spec": {"taints": []}})
    wait_until(lambda: all_run(farm, "j"))
    assert list(farm.nodes()) == [name]


def test_a_job_that_fits_no_machine_is_told_so_and_nothing_is_ordered(farm: NodesLab, start: Start) -> None:
    farm.add_job("giant", cpu="64")
    service = start()
    wait_until(lambda: "spack-farm.io/waiting" in farm.pods()["giant"]["metadata"].get("annotations", {}))
    document = json.loads(farm.pods()["giant"]["metadata"]["annotations"]["spack-farm.io/waiting"])
    assert (document["version"], document["reason"]) == (1, "fits_no_type")
    time.sleep(4 * TICK_SECONDS)
    assert not farm.nodes()
    assert not service.did("launch")


def test_a_dry_run_says_what_it_would_do_and_changes_nothing(farm: NodesLab, start: Start) -> None:
    farm.add_job("j", cpu="3")
    idle = farm.add_node("idle", cpu="2", memory="4Gi")
    service = start(top="dry_run = true")
    wait_until(lambda: service.did("launch", "dry_run") and service.did("cordon", "dry_run"))
    assert list(farm.nodes()) == [idle]
    assert not farm.is_cordoned(idle)
    assert farm.api.changes() == []


def test_an_api_server_that_refuses_for_a_while_costs_time_and_nothing_else(farm: NodesLab, start: Start) -> None:
    """409, 429 and 5xx for changes, cut watches, and a lease that cannot be renewed for a moment."""
    for status in (409, 429, 500, 503, 504):
        farm.api.add("(POST|PATCH|DELETE) /api/v1/nodes", status=status)
        farm.api.add("GET /api/v1/(nodes|pods)\\?", status=status)
    farm.api.add("/leases/", status=503, times=2)
    service = start()
    for number in range(3):
        farm.add_job(f"j{number}", cpu="7", seconds=5)
        farm.api.cut_all()
    wait_until(lambda: all(farm.phase(f"j{number}") == "Succeeded" for number in range(3)))
    wait_until(lambda: not farm.nodes())
    assert farm.api.count("POST /api/v1/nodes .*201") <= 4, "what failed is ordered again, what was made is not"
    assert service.process.poll() is None


def test_an_outage_is_a_line_when_it_begins_and_one_when_it_ends(farm: NodesLab, start: Start) -> None:
    service = start(settled_seconds=1.0)
    farm.add_job("j", schedulingGates=[{"name": "test/wait"}])
    wait_until(service.leads)
    away = farm.api.add(".", cut=True, times=10**9)
    wait_until(farm.api.cut_all)

    def said(message: str) -> int:
        return sum(line["message"] == message for line in service.lines())

    failing = "the cluster cannot be read", "the lease cannot be renewed"
    working = "the cluster can be read again", "the lease can be renewed again"
    wait_until(lambda: away.seen > 15 and all(said(message) for message in failing))
    wait_until(lambda: [said(message) for message in failing] == [2, 1])  # of pods and of nodes; of the lease
    assert [said(message) for message in working] == [0, 0]
    farm.api.clear()
    wait_until(lambda: said(working[1]) == 1)
    farm.add_node("new")  # an event of each watch: a quiet one is begun anew after 30 s
    farm.add_job("other", schedulingGates=[{"name": "test/wait"}])
    wait_until(lambda: [said(message) for message in working] == [2, 1])
    assert [said(message) for message in failing] == [2, 1]


def test_our_old_cordon_is_taken_back_by_the_controller_that_finds_it(farm: NodesLab, start: Start) -> None:
    name = farm.add_node("left", cpu="8")
    mark = json.dumps({"at": time.time() - 4000, "by": "a controller of old"})
    taint = {"key": "spack-farm.io/scale-in", "value": "idle", "effect": "NoSchedule"}
    patch = {
        "metadata": {"annotations": {"spack-farm.io/scale-in": mark}},
        "spec": {"unschedulable": True, "taints": [taint]},
    }
    farm.plane.call("PATCH", f"/api/v1/nodes/{name}", patch)
    service = start(top="[look_ahead]\nend_factor = 0.0")
    wait_until(lambda: service.did("uncordon"))
    assert service.did("uncordon")[0]["reason"] == "cordon_too_old"
