"""Walks: who counts, what a failed one leaves, and how often they may be."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.measure.agent_use import AgentUse
from buildjob.measure.process_walks import Walk, Walker, WalkPace
from tests.labs.made_up_machine import MadeUpMachine, Process


@pytest.fixture
def machine(tmp_path: Path) -> MadeUpMachine:
    return MadeUpMachine(tmp_path)


class _Walks:
    """Walks on a made-up machine; the notes that they left."""

    def __init__(self, machine: MadeUpMachine) -> None:
        self.notes: list[str] = []
        self.agent = AgentUse(shares_cgroup=False)
        self.walker = Walker(self.agent, note=self.notes.append)
        self._machine = machine

    def walk(self, *, before: Walk | None = None, with_cgroup: bool = False) -> Walk:
        cgroup = self._machine.cgroup() if with_cgroup else None
        return self.walker.walk(cgroup, before=before or Walk())


def _names(walk: Walk) -> set[str]:
    return {use.name for use in walk.processes.values()}


def test_our_descendants_count_but_those_from_before_the_build(machine: MadeUpMachine) -> None:
    walks = _Walks(machine)
    machine.run(daemon=5)
    walks.walker.begin()
    machine.run(daemon=5, make=2, cc1=100)
    assert _names(walks.walk()) == {"make", "cc1"}
    walks.walker.roots |= {machine.pid("daemon")}
    assert _names(walks.walk()) == {"daemon", "make", "cc1"}


def test_a_clock_that_is_set_makes_no_process_another_one(machine: MadeUpMachine) -> None:
    walks = _Walks(machine)
    machine.run(daemon=5)
    walks.walker.begin()
    machine.run(daemon=5, make=2)
    before = walks.walk()
    machine.set_clock(3600)
    assert walks.walk().processes.keys() == before.processes.keys()


def test_a_pid_that_is_used_again_is_another_process(machine: MadeUpMachine) -> None:
    walks = _Walks(machine)
    machine.run(cc1=5)
    before = walks.walk()
    machine.run(cc1=Process(mib=5, started=99))
    after = walks.walk()
    assert [use.pid for use in before.processes.values()] == [use.pid for use in after.processes.values()]
    assert not before.processes.keys() & after.processes.keys()


def test_in_a_cgroup_all_its_members_count(machine: MadeUpMachine) -> None:
    walks = _Walks(machine)
    machine.run(daemon=5, make=2)
    walks.walker.begin()
    assert _names(walks.walk(with_cgroup=True)) == {"daemon", "make"}


def test_a_kernel_that_lists_no_children_is_asked_for_all_parents(machine: MadeUpMachine) -> None:
    walks = _Walks(machine)
    machine.run(make=2, cc1=100)
    (machine.proc / str(os.getpid()) / "task" / str(os.getpid()) / "children").unlink()
    assert _names(walks.walk()) == {"make", "cc1"}


@pytest.mark.parametrize("with_cgroup", [True, False])
def test_standby_processes_are_not_walked(machine: MadeUpMachine, *, with_cgroup: bool) -> None:
    walks = _Walks(machine)
    machine.run(make=2, python=60)
    walks.agent.standby |= {machine.pid("python")}
    assert _names(walks.walk(with_cgroup=with_cgroup)) == {"make"}


def test_a_process_that_has_ended_still_has_its_cpu_time(machine: MadeUpMachine) -> None:
    walks = _Walks(machine)
    machine.run(make=Process(mib=2, cpu=0.5, reaped_cpu=1.0), cc1=Process(mib=0, cpu=2.0, is_zombie=True))
    walk = walks.walk()
    assert {use.name for use in walk.alive.values()} == {"make"}
    assert walk.cpu_seconds == pytest.approx(walk.reaped_cpu_seconds + 3.5)


def test_a_walk_that_fails_leaves_the_processes_of_the_one_before_and_a_note(machine: MadeUpMachine) -> None:
    walks = _Walks(machine)
    machine.run(make=2)
    before = walks.walk()
    (machine.proc / str(machine.pid("make")) / "stat").write_text("7 (make) S 1")
    walks.walker.begin()  # fails silently: the walk tells the reason
    assert walks.walk(before=before).processes == before.processes
    assert len(walks.notes) == 1
    assert walks.notes[0].startswith("a walk over the processes failed: IndexError")


def test_a_walk_is_due_at_once_and_again_when_its_cost_is_earned() -> None:
    pace = WalkPace(0.01)
    assert pace.is_due(1000.0)
    pace.spend(0.05)  # a second's earnings are saved: 0.04 are missing
    assert not pace.is_due(1003.9)
    assert pace.is_due(1004.1)


@given(
    st.floats(0.001, 0.1),
    st.lists(st.tuples(st.floats(0.01, 100.0), st.floats(0.0, 0.5)), min_size=1, max_size=60),
)
def test_walks_take_at_most_their_share_and_one_walk_more(share: float, steps: list[tuple[float, float]]) -> None:
    pace, now, spent = WalkPace(share), 0.0, 0.0
    for seconds, cost in steps:
        now += seconds
        if pace.is_due(now):
            pace.spend(cost)
            spent += cost
    assert spent <= share * (now + 1) + 0.5 + 1e-9
