"""The memory of processes that share pages: learned within a budget, never more than the plain sum."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.measure.procfs import ProcessStat, Shares
from buildjob.measure.shared_memory import SharedMemory

_MIB = 1 << 20


def _stat(pid: int, *, mib: int, name: str = "cc1", ticks: int = 0) -> ProcessStat:
    return ProcessStat(pid, 1, pid, name, mib * _MIB, ticks, ticks, False)


def _tree(*stats: ProcessStat) -> dict[tuple[int, int], ProcessStat]:
    return {stat.key: stat for stat in stats}


def test_shared_pages_are_divided_among_those_who_share_them() -> None:
    memory = SharedMemory(read=lambda _pid: Shares(25 * _MIB, 20 * _MIB))
    assert memory.estimate(_tree(_stat(1, mib=100), _stat(2, mib=100))) == Shares(50 * _MIB, 40 * _MIB)


def test_a_process_that_grows_between_the_walk_and_its_shares_is_not_counted_above_its_memory() -> None:
    memory = SharedMemory(read=lambda _pid: Shares(50 * _MIB, 50 * _MIB, 50 * _MIB))
    memory.estimate(_tree(_stat(1, mib=40)))
    assert memory.estimate(_tree(_stat(1, mib=50))) == Shares(50 * _MIB, 50 * _MIB)


def test_a_process_that_the_budget_did_not_reach_counts_like_its_namesakes_or_the_mean() -> None:
    clock = iter(range(1000))
    memory = SharedMemory(
        read=lambda pid: Shares(10 * _MIB * pid, 5 * _MIB * pid), thread_time=lambda: float(next(clock)), budget_seconds=2.5
    )
    # two are read; the third, for lack of another sh, takes the mean
    total = memory.estimate(_tree(_stat(1, mib=100), _stat(2, mib=100), _stat(3, mib=100, name="sh"))).total_bytes
    assert total == pytest.approx((10 + 20 + 15) * _MIB)


def test_a_kernel_that_refuses_leaves_the_plain_sum() -> None:
    memory = SharedMemory(read=lambda _pid: None)
    assert memory.estimate(_tree(_stat(1, mib=100), _stat(2, mib=50))) == Shares(150 * _MIB, 150 * _MIB)


def test_nothing_runs_nothing_is_used() -> None:
    assert SharedMemory(read=lambda _pid: None).estimate({}) == Shares(0, 0)


def test_a_process_that_did_not_change_is_read_seldom() -> None:
    read: list[int] = []

    def shares(pid: int) -> Shares:
        read.append(pid)
        return Shares(_MIB, _MIB)

    clock = [0.0]

    def thread_time() -> float:
        clock[0] += 1.0
        return clock[0]

    memory = SharedMemory(read=shares, thread_time=thread_time, budget_seconds=3.5)  # three reads a walk
    for _ in range(4):
        memory.estimate(_tree(*(_stat(pid, mib=100) for pid in range(1, 7))))
    assert sorted(read[:6]) == [1, 2, 3, 4, 5, 6]


@given(st.dictionaries(st.integers(1, 50), st.tuples(st.integers(0, 1000), st.integers(0, 100)), max_size=30))
def test_an_estimate_is_never_more_than_the_plain_sum(processes: dict[int, tuple[int, int]]) -> None:
    tree = _tree(*(_stat(pid, mib=mib) for pid, (mib, _) in processes.items()))
    memory = SharedMemory(read=lambda pid: Shares(*[processes[pid][0] * _MIB * processes[pid][1] // 100] * 2))
    assert 0 <= memory.estimate(tree).total_bytes <= sum(stat.memory_bytes for stat in tree.values()) + 1
