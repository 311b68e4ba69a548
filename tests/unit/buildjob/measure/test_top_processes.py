"""The greatest processes are kept, the rest is forgotten."""

import pytest

from buildjob.measure.processes import Key, ProcessUse
from buildjob.measure.top_processes import LENGTH, TopTable
from tests.labs.process_uses import process_use, walked

_MIB = 1 << 20


def _seen(*rows: tuple[int, str, int, int]) -> dict[Key, ProcessUse]:
    """Rows of pid, name, MiB and seconds of CPU."""
    return walked(*(process_use(pid, name=name, mib=mib, cpu_seconds=seconds) for pid, name, mib, seconds in rows))


def test_the_greatest_by_memory_and_by_cpu_time_are_listed() -> None:
    table = TopTable(read=lambda _pid: [])
    table.update(_seen(*((pid, f"big{pid}", 100 + pid, 0) for pid in range(20)), (99, "busy", 1, 500)))
    table.update({})
    top = table.top()
    assert len(top) == LENGTH
    assert top[0].command == "big19"
    assert [(process.command, process.cpu_seconds) for process in top if process.cpu_seconds] == [("busy", 500.0)]
    assert [process.memory_peak_bytes for process in top] == sorted((p.memory_peak_bytes for p in top), reverse=True)


def test_a_build_of_many_short_processes_stays_small() -> None:
    table = TopTable(read=lambda pid: ["/usr/bin/cc1", f"{pid}.c"])
    for turn in range(300):
        table.update(_seen(*((turn * 100 + number, "cc1", number, number % 7) for number in range(100))))
    table.update({})
    assert len(table._ended) <= 2 * LENGTH  # noqa: SLF001 - the bound is the point
    assert not table._alive  # noqa: SLF001
    assert {process.memory_peak_bytes for process in table.top()} >= {99 * _MIB}


def test_the_peak_of_a_process_is_the_highest_seen() -> None:
    table = TopTable(read=lambda _pid: ["ld"])
    for mib in (10, 300, 20):
        table.update(_seen((1, "ld", mib, 0)))
    assert [(process.command, process.memory_peak_bytes) for process in table.top()] == [("ld", 300 * _MIB)]


def test_after_exec_a_process_is_called_by_its_new_program() -> None:
    lines = {"sh": ["/bin/sh", "./configure"], "cc1plus": ["/usr/lib/cc1plus", "-quiet", "a.cpp"]}
    name = "sh"
    table = TopTable(read=lambda _pid: lines[name])
    table.update(_seen((1, "sh", 1, 0)))
    assert [process.command for process in table.top()] == ["sh configure"]
    name = "cc1plus"
    seen = _seen((1, "cc1plus", 400, 0))
    table.update(seen)
    table.update({})
    assert [process.command for process in table.top()] == ["cc1plus a.cpp"]
    assert table.command(next(iter(seen.values()))) == "cc1plus a.cpp"


def test_a_program_is_not_charged_with_what_the_one_before_it_used() -> None:
    name = "python3"
    table = TopTable(read=lambda _pid: [f"/usr/bin/{name}"], program=lambda _pid: f"/usr/bin/{name}")
    table.update(_seen((1, "python3", 200, 3)))
    name = "sleep"
    seen = _seen((1, "sleep", 1, 5))
    table.update(seen)
    table.update({})
    rows = [(process.command, process.memory_peak_bytes, process.cpu_seconds) for process in table.top()]
    assert rows == [("python3", 200 * _MIB, 3.0), ("sleep", 1 * _MIB, 2.0)]
    assert table.command(next(iter(seen.values()))) == "sleep"


@pytest.mark.parametrize("program", ["/usr/bin/python3", ""])
def test_a_process_that_only_takes_another_name_stays_one(program: str) -> None:
    """As `setproctitle` does it; and a process whose program may not be looked at counts as one, too."""
    table = TopTable(read=lambda _pid: [], program=lambda _pid: program)
    for turn in range(5):
        table.update(_seen((1, f"worker{turn}", 10, turn)))
    assert [(process.command, process.cpu_seconds) for process in table.top()] == [("worker4", 4.0)]


def test_command_lines_are_read_of_the_greatest_only() -> None:
    read: list[int] = []

    def line(pid: int) -> list[str]:
        read.append(pid)
        return ["cc1"]

    table = TopTable(read=line)
    seen = _seen(*((pid, "cc1", pid, pid) for pid in range(1, 1001)))
    for _ in range(5):
        table.update(seen)
    assert len(read) <= 2 * LENGTH + 3
    assert 1000 in read
