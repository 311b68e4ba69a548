"""Promise: of several controllers one acts, and one that was overtaken changes nothing, whatever clocks say."""

import json
from typing import Any

import pytest

from autoscaler.cluster.api import connect
from autoscaler.cluster.election import LEASE_SECONDS, RENEW_SECONDS, Election
from autoscaler.errors import NotLeader
from tests.labs.nodes.plugin import NodesLab


class Candidates:
    """Candidates for one lease, with clocks that a test turns."""

    def __init__(self, farm: NodesLab) -> None:
        self.farm = farm
        self.passed = 0.0
        self.api = connect(str(farm.kubeconfig()), namespace=farm.name)
        self.api.sleep = lambda _seconds: None

    def one(self, identity: str, *, wall_seconds: float = 1.8e9) -> Election:
        return Election(
            self.api, name="lease", identity=identity, monotonic=lambda: self.passed, now=lambda: wall_seconds + self.passed
        )  # fmt: skip

    def lease(self) -> dict[str, Any]:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.farm.name}/leases/lease"
        found: dict[str, Any] = self.farm.plane.call("GET", path)["spec"]
        return found


@pytest.fixture
def candidates(farm: NodesLab) -> Candidates:
    return Candidates(farm)


def leads(one: Election) -> bool:
    try:
        one.check()
    except NotLeader:
        return False
    return True


def test_one_of_two_leads_and_the_other_takes_over_when_the_lease_no_longer_changes(candidates: Candidates) -> None:
    first, second = candidates.one("a"), candidates.one("b")
    assert (first.try_once(), second.try_once()) == (True, False)
    assert (leads(first), leads(second)) == (True, False)
    for _ in range(5):
        candidates.passed += LEASE_SECONDS - 1
        assert (first.try_once(), second.try_once()) == (True, False)
    candidates.passed += LEASE_SECONDS - 1
    assert not second.try_once()
    candidates.passed += 2
    assert second.try_once()
    assert (leads(first), leads(second)) == (False, True)
    assert not first.try_once(), "the new holder is given its time"
    assert candidates.lease()["leaseTransitions"] == 1


@pytest.mark.parametrize("wall_seconds", [0.0, 1.8e9 - 86_400, 1.8e9 + 86_400])
def test_a_clock_that_is_wrong_takes_no_lease_away(candidates: Candidates, wall_seconds: float) -> None:
    first, second = candidates.one("a", wall_seconds=wall_seconds), candidates.one("b")
    assert first.try_once()
    assert not second.try_once()
    candidates.passed += LEASE_SECONDS + 1
    assert first.try_once()
    assert not second.try_once()
    assert leads(first)


def test_a_controller_that_slept_finds_out_before_it_changes_anything(candidates: Candidates) -> None:
    first, second = candidates.one("a"), candidates.one("b")
    first.try_once()
    second.try_once()
    candidates.passed += LEASE_SECONDS
    second.try_once()
    assert leads(second)
    # The clock of the one that slept stood still with it, as on a machine that was suspended.
    first._monotonic = lambda: 1.0  # noqa: SLF001 (a clock of its own)
    assert first.is_leader
    assert not leads(first)
    assert not first.is_leader


def test_a_controller_that_got_its_lease_back_does_not_finish_its_old_plan(candidates: Candidates) -> None:
    """The token is another one: what was decided under the earlier one is not carried out."""
    first, second = candidates.one("a"), candidates.one("b")
    first.try_once()
    second.try_once()
    candidates.passed += LEASE_SECONDS
    second.try_once()
    second.stop()
    third = candidates.one("a")
    assert third.try_once()
    first._renewed_at = candidates.passed  # noqa: SLF001 (it believes that it leads)
    assert not leads(first)
    assert leads(third)


def test_a_leader_that_cannot_renew_stops_before_another_may_begin(candidates: Candidates, farm: NodesLab) -> None:
    first = candidates.one("a")
    first.try_once()
    for status in (500, 503, 429, 0):
        farm.api.add("PUT .*/leases/", status=status, cut=not status)
        assert first.try_once(), "it still has its time"
    farm.api.add("/leases", status=500, times=99)
    candidates.passed += RENEW_SECONDS
    assert not first.try_once()
    assert not leads(first)
    assert RENEW_SECONDS < LEASE_SECONDS


def test_a_renewal_whose_answer_is_lost_is_made_again(candidates: Candidates, farm: NodesLab) -> None:
    first = candidates.one("a")
    farm.api.add("POST .*/leases", cut=True, after=True)
    first.try_once()
    assert first.try_once()
    farm.api.add("PUT .*/leases", cut=True, after=True)
    first.try_once()
    assert first.try_once()
    assert leads(first)


def test_two_that_try_at_the_same_moment_do_not_both_win(candidates: Candidates, farm: NodesLab) -> None:
    first, second = candidates.one("a"), candidates.one("b")
    farm.api.add("POST .*/leases", action=second.try_once)
    won = first.try_once()
    assert (won, leads(first), leads(second)) == (False, False, True)
    third = candidates.one("c")
    assert (first.try_once(), third.try_once()) == (False, False)
    candidates.passed += LEASE_SECONDS + 1
    farm.api.add("PUT .*/leases", action=third.try_once)
    assert not first.try_once()
    assert (leads(first), leads(second), leads(third)) == (False, False, True)


def test_a_lease_that_is_given_back_is_taken_at_once(candidates: Candidates) -> None:
    first, second = candidates.one("a"), candidates.one("b")
    first.try_once()
    second.try_once()
    first.stop()
    assert candidates.lease().get("holderIdentity", "") == ""
    assert second.try_once()
    assert candidates.lease()["leaseTransitions"] == 1


def test_a_lease_of_the_clients_elector_is_respected(candidates: Candidates, farm: NodesLab) -> None:
    """Another program's, without transitions, with a holder and a time in words of its own."""
    spec = {"holderIdentity": "stranger", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "lease"}, "spec": spec}
    farm.plane.call("POST", f"/apis/coordination.k8s.io/v1/namespaces/{farm.name}/leases", json.loads(json.dumps(body)))
    first = candidates.one("a")
    assert not first.try_once()
    candidates.passed += LEASE_SECONDS + 1
    assert first.try_once()
    assert leads(first)
