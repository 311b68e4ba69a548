"""The memory of processes that share pages: learned within a budget, never more than the plain sum."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.measure.shared_memory import SharedMemory, Shares, parse_rollup, read_shares
from tests.labs.process_uses import process_use, walked

_MIB = 1 << 20


def test_shared_pages_are_divided_among_those_who_share_them() -> None:
    memory = SharedMemory(read=lambda _pid: Shares(25 * _MIB, 20 * _MIB))
    assert memory.estimate(walked(process_use(1, mib=100), process_use(2, mib=100))) == Shares(50 * _MIB, 40 * _MIB)


def test_a_process_that_grows_between_the_walk_and_its_shares_is_not_counted_above_its_memory() -> None:
    memory = SharedMemory(read=lambda _pid: Shares(50 * _MIB, 50 * _MIB, 50 * _MIB))
    memory.estimate(walked(process_use(1, mib=40)))
    assert memory.estimate(walked(process_use(1, mib=50))) == Shares(50 * _MIB, 50 * _MIB)


def test_a_process_that_the_budget_did_not_reach_counts_like_its_namesakes_or_the_mean() -> None:
    clock = iter(range(1000))
    memory = SharedMemory(
        read=lambda pid: Shares(10 * _MIB * pid, 5 * _MIB * pid), thread_time=lambda: float(next(clock)), budget_seconds=2.5
    )
    # two are read; the third, for lack of another sh, takes the mean
    total = memory.estimate(
        walked(process_use(1, mib=100), process_use(2, mib=100), process_use(3, mib=100, name="sh"))
    ).total_bytes
    assert total == pytest.approx((10 + 20 + 15) * _MIB)


def test_a_kernel_that_refuses_leaves_the_sum_of_what_no_file_backs() -> None:
    memory = SharedMemory(read=lambda _pid: None)
    uses = walked(process_use(1, mib=100, shared_mib=70), process_use(2, mib=50))
    assert memory.estimate(uses) == Shares(150 * _MIB, 150 * _MIB)


def test_a_copy_of_a_process_makes_both_of_them_doubtful() -> None:
    """After a fork the pages are those of both: the part that was read before is twice too large."""
    shared = {1: 400, 2: 400, 3: 400}
    alive: list[int] = [1]

    def read(_pid: int) -> Shares:
        return Shares(400 * _MIB // len(alive), 400 * _MIB // len(alive), 400 * _MIB)

    memory = SharedMemory(read=read)
    for pids in ([1], [1, 2, 3], [1, 2], [1]):
        alive[:] = pids
        tree = walked(*(process_use(pid, mib=shared[pid]) for pid in pids))
        assert memory.estimate(tree).anonymous_bytes == pytest.approx(400 * _MIB, rel=0.01)


def test_copies_that_cannot_be_read_count_like_the_one_that_was() -> None:
    budgets = iter([0.0, 0.0, 9.0] * 20)  # one of them is read, then the time is over
    memory = SharedMemory(
        read=lambda _pid: Shares(20 * _MIB, 20 * _MIB, 100 * _MIB), thread_time=lambda: next(budgets), budget_seconds=1.0
    )
    memory.estimate(walked(process_use(1, mib=100)))
    assert memory.estimate(walked(*(process_use(pid, mib=100) for pid in range(1, 6)))) == Shares(100 * _MIB, 100 * _MIB)


def test_a_new_peak_is_read_until_little_of_it_is_in_doubt() -> None:
    """The usual budget reads one process; the first walk is a peak, so all that matter are read."""
    clock = [0.0]
    read: list[int] = []

    def thread_time() -> float:
        clock[0] += 0.01
        return clock[0]

    def shares(pid: int) -> Shares:
        read.append(pid)
        return Shares(500 * _MIB, 500 * _MIB, 500 * _MIB)

    memory = SharedMemory(read=shares, thread_time=thread_time, budget_seconds=0.01)
    uses = [process_use(pid, mib=500, name=f"p{pid}") for pid in range(1, 6)]
    memory.estimate(walked(*uses, *(process_use(pid, mib=1, name="idle") for pid in range(10, 12))))
    assert sorted(read) == [1, 2, 3, 4, 5]


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
        memory.estimate(walked(*(process_use(pid, mib=100) for pid in range(1, 7))))
    assert sorted(read[:6]) == [1, 2, 3, 4, 5, 6]


@given(st.dictionaries(st.integers(1, 50), st.tuples(st.integers(0, 1000), st.integers(0, 100)), max_size=30))
def test_an_estimate_is_never_more_than_the_plain_sum(processes: dict[int, tuple[int, int]]) -> None:
    tree = walked(*(process_use(pid, mib=mib) for pid, (mib, _) in processes.items()))
    memory = SharedMemory(read=lambda pid: Shares(*[processes[pid][0] * _MIB * processes[pid][1] // 100] * 2))
    assert 0 <= memory.estimate(tree).total_bytes <= sum(use.memory_bytes for use in tree.values()) + 1


def test_shares_come_from_the_rollup() -> None:
    text = b"0-1 ---p 0 00:00 0 [rollup]\nRss: 100 kB\nPss: 50 kB\nPss_Anon: 20 kB\nPss_File: 20 kB\nPss_Shmem: 10 kB\n"
    shares = parse_rollup(text)
    assert shares is not None
    assert (shares.total_bytes, shares.anonymous_bytes, shares.resident_bytes) == (50 * 1024, 30 * 1024, 100 * 1024)
    assert parse_rollup(b"") is None


def test_an_old_kernel_tells_less_of_the_shares() -> None:
    shares = parse_rollup(b"0-1 ---p 0 00:00 0 [rollup]\nRss: 100 kB\nPss: 50 kB\nAnonymous: 80 kB\n")
    assert shares is not None
    assert (shares.total_bytes, shares.anonymous_bytes) == (50 * 1024, 50 * 1024)


def test_our_own_share_is_not_more_than_our_resident_memory() -> None:
    shares = read_shares(os.getpid())
    assert shares is not None
    assert 0 < shares.anonymous_bytes <= shares.total_bytes <= shares.resident_bytes
    assert read_shares(1 << 23) is None
