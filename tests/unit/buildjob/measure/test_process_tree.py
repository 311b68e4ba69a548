"""Which processes are the build's, and what they used."""

import os

import pytest

from buildjob.measure.process_tree import live_cpu_seconds
from buildjob.measure.procfs import ProcessStat

_MIB = 1 << 20


def _stat(pid: int, *, mib: int, name: str = "cc1", ticks: int = 0) -> ProcessStat:
    return ProcessStat(pid, 1, pid, name, mib * _MIB, ticks, ticks, False)


def _tree(*stats: ProcessStat) -> dict[tuple[int, int], ProcessStat]:
    return {stat.key: stat for stat in stats}


def test_cpu_time_of_reaped_children_counts_with_their_parent() -> None:
    stats = (_stat(1, mib=1, ticks=50), ProcessStat(2, 1, 2, "sh", 0, 10, 150, True))
    assert live_cpu_seconds(_tree(*stats)) == pytest.approx(200 / os.sysconf("SC_CLK_TCK"))
