"""Which processes are the build's, and what they used."""

import os
import subprocess
import sys
import time

import pytest

from buildjob.measure.process_tree import live_cpu_seconds, walk_descendants, walk_members, walk_with_psutil
from buildjob.measure.procfs import ProcessStat

_MIB = 1 << 20


def _stat(pid: int, *, mib: int, name: str = "cc1", ticks: int = 0) -> ProcessStat:
    return ProcessStat(pid, 1, pid, name, mib * _MIB, ticks, ticks, False)


def _tree(*stats: ProcessStat) -> dict[tuple[int, int], ProcessStat]:
    return {stat.key: stat for stat in stats}


def test_descendants_are_found_and_psutil_finds_the_same() -> None:
    script = (
        "import subprocess, sys; child = subprocess.Popen(['sleep', '600']); print(child.pid, flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout
    grandchild = int(child.stdout.readline())
    try:
        assert {child.pid, grandchild} <= {pid for pid, _ in walk_descendants((), own_pid=os.getpid())}
        # Of the child alone: this process may have other children that come and go.
        ours = walk_descendants((), own_pid=child.pid)
        theirs = walk_with_psutil((), own_pid=child.pid)
        assert {pid for pid, _ in ours} == {pid for pid, _ in theirs} == {grandchild}
        strangers = frozenset(ours)
        assert not walk_descendants((), own_pid=child.pid, strangers=strangers)
        assert not walk_with_psutil((), own_pid=child.pid, strangers=frozenset(theirs))
        strangers |= {key for key in walk_descendants((), own_pid=os.getpid()) if key[0] == child.pid}
        found = walk_descendants((child.pid,), own_pid=1 << 22, strangers=strangers)
        assert {pid for pid, _ in found} == {child.pid, grandchild}
        assert {pid for pid, _ in walk_descendants((grandchild,), own_pid=1 << 22)} == {grandchild}
        members = walk_members([child.pid, os.getpid(), 1 << 22], own_pid=os.getpid())
        assert [stat.pid for stat in members.values()] == [child.pid]
        assert live_cpu_seconds(ours) >= 0.0
    finally:
        os.kill(grandchild, 9)
        child.communicate("")
    deadline = time.monotonic() + 30
    while any(pid == child.pid for pid, _ in walk_descendants((), own_pid=os.getpid())):
        assert time.monotonic() < deadline


def test_cpu_time_of_reaped_children_counts_with_their_parent() -> None:
    stats = (_stat(1, mib=1, ticks=50), ProcessStat(2, 1, 2, "sh", 0, 10, 150, True))
    assert live_cpu_seconds(_tree(*stats)) == pytest.approx(200 / os.sysconf("SC_CLK_TCK"))
