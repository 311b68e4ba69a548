"""An adversary binds a pod at every moment of both phases, ten thousand times: no removal ends a job.

The cluster's model: a scheduler's cache sees a cordon late, so a bind may follow the acknowledged cordon by up to the time
a bind is in flight; the controller lists the node's pods uncached right before the removal. Complaint: karpenter#3185.
"""

import random
from dataclasses import dataclass, field

import msgspec

from autoscaler.deciding.decide import decide
from autoscaler.policy import Policy
from autoscaler.scale_plan import CordonNode, RemoveNode, UncordonNode
from autoscaler.snapshot import Cordon, Ledger, Node, Pod
from tests.labs.autoscaler import MEDIUM, NOW, node, pod, policy, snapshot

IN_FLIGHT_SECONDS = 5.0
"""Longest time from the scheduler's choice of a node to the bind; far below the 15 s of the second look."""
SETTLED = policy(tick_seconds=10.0)


@dataclass
class Cluster:
    """One node, one pod that is bound at a given instant if the node is open as the scheduler saw it a while before."""

    bind_at: float
    chosen_at: float
    controller_sees_late: float
    node: Node | None = field(default_factory=lambda: node("n", MEDIUM))
    pods: list[Pod] = field(default_factory=list)
    cordoned: list[tuple[float, bool]] = field(default_factory=list)
    is_bound: bool = False
    killed: int = 0

    def pass_time(self, until: float) -> None:
        """Let the adversary bind, if its instant has come and the node was open when it chose."""
        if self.is_bound or self.bind_at > until or self.node is None:
            return
        was_closed = False
        for at, closed in self.cordoned:
            if at <= self.chosen_at:
                was_closed = closed
        if not was_closed:
            self.is_bound = True
            self.pods.append(pod("p", 4, 8, node="n", bound_at=self.bind_at))

    def seen(self, now: float) -> tuple[Pod, ...]:
        """Return the pods as the controller's cache has them: late."""
        return tuple(one for one in self.pods if one.bound_at <= now - self.controller_sees_late)


def run(cluster: Cluster, settled: Policy, *, removes_blindly: bool = False) -> Cluster:
    ledger = Ledger(idle_since={"n": NOW - 600})
    now = NOW
    for _ in range(12):
        cluster.pass_time(now)
        if cluster.node is None:
            break
        plan = decide(snapshot(cluster.node, *cluster.seen(now), ledger=ledger, now=now), settled, now)
        ledger = plan.ledger
        for line in plan.lines:
            if isinstance(line, CordonNode):
                cluster.node = msgspec.structs.replace(cluster.node, is_unschedulable=True, cordon=Cordon(at=now))
                cluster.cordoned.append((now, True))
            elif isinstance(line, UncordonNode):
                cluster.node = msgspec.structs.replace(cluster.node, is_unschedulable=False, cordon=None)
                cluster.cordoned.append((now, False))
            elif isinstance(line, RemoveNode):
                cluster.pass_time(now + 0.5)  # while the controller lists
                if cluster.pods and not removes_blindly:
                    cluster.node = msgspec.structs.replace(cluster.node, is_unschedulable=False, cordon=None)
                    cluster.cordoned.append((now, False))
                    continue
                cluster.pass_time(now + 1.0)  # between the list and the end of the machine
                cluster.killed += len(cluster.pods)
                cluster.node = None
                break
        now += 10.0
    return cluster


def tries(count: int, *, in_flight: float, late: float) -> list[Cluster]:
    chance = random.Random("adversary")
    found = []
    for _ in range(count):
        at = NOW + chance.uniform(-1, 70)
        found.append(Cluster(at, at - chance.uniform(0, in_flight), chance.uniform(0, late)))
    return found


def test_no_bind_at_any_moment_of_both_phases_is_ended_in_ten_thousand_tries() -> None:
    done = [run(one, SETTLED) for one in tries(10_000, in_flight=IN_FLIGHT_SECONDS, late=30.0)]
    assert sum(one.killed for one in done) == 0
    assert sum(one.node is None for one in done) > 300  # idle nodes do go
    assert sum(one.is_bound for one in done) > 300
    assert all(one.node is not None for one in done if one.is_bound)


def test_the_adversary_finds_what_is_wrong_without_the_list_before_the_removal() -> None:
    """The test can fail: a late cache alone ends jobs."""
    blind = [run(one, SETTLED, removes_blindly=True) for one in tries(1_000, in_flight=IN_FLIGHT_SECONDS, late=30.0)]
    assert sum(one.killed for one in blind) > 0


def test_the_adversary_finds_a_second_look_that_comes_too_early() -> None:
    """With binds in flight for longer than the second look waits even the list comes too early."""
    slow = [run(one, SETTLED) for one in tries(1_500, in_flight=40.0, late=0.0)]
    assert sum(one.killed for one in slow) > 0
