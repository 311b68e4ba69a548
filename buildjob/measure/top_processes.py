"""The processes that used the most memory or CPU time: a table that stays small, however many processes a build starts.

A process that replaces its program has a row for each: what the first one used is not what the second one needs.
Reads command lines and programs' paths, and nothing else.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping

import msgspec

from buildjob.measure.process_names import short_command
from buildjob.measure.processes import Key, ProcessUse, read_command_line, read_program
from buildjob.telemetry import TopProcess

LENGTH = 10


class _Row(msgspec.Struct):
    """One program in one process, alive or ended."""

    key: Key
    pid: int
    name: str
    program: str
    """The path of what it runs: a process that only takes another name keeps it."""
    cpu_before_seconds: float = 0.0
    """What the programs used that this process ran before."""
    peak_bytes: int = 0
    cpu_seconds: float = 0.0
    command: str = ""
    command_of: str = ""
    """The kernel's name when the command line was read; both change if a program is replaced, or takes another name."""


class TopTable:
    """Every live process, and of the ended ones the `LENGTH` greatest by memory and by CPU time."""

    def __init__(
        self, *, read: Callable[[int], list[str]] = read_command_line, program: Callable[[int], str] = read_program
    ) -> None:
        self._read = read
        self._program = program
        self._alive: dict[Key, _Row] = {}
        self._ended: list[_Row] = []

    def update(self, processes: Mapping[Key, ProcessUse]) -> None:
        """Add what a walk saw."""
        ended = [self._alive.pop(key) for key in [*self._alive] if key not in processes]
        for key, use in processes.items():
            row = self._alive.get(key)
            if row is None:
                row = self._alive[key] = _Row(key, use.pid, use.name, self._program(use.pid))
            elif row.name != use.name and (program := self._program(use.pid)) and program != row.program:
                ended.append(row)
                row = self._alive[key] = _Row(key, use.pid, use.name, program, row.cpu_before_seconds + row.cpu_seconds)
            row.name = use.name
            row.peak_bytes = max(row.peak_bytes, use.memory_bytes)
            row.cpu_seconds = use.cpu_seconds - row.cpu_before_seconds
        if ended:
            self._ended = _greatest([*self._ended, *ended])
        # A command line can be read only while the process lives: of the greatest of all, and of the three largest alive,
        # which the kernel may kill next.
        candidates = {id(row): row for row in _greatest([*self._alive.values(), *self._ended])}
        now_greatest = heapq.nlargest(3, processes.values(), key=lambda use: use.resident_bytes)
        candidates |= {id(self._alive[use.key]): self._alive[use.key] for use in now_greatest}
        for row in candidates.values():
            seen = processes.get(row.key)
            if seen is not None and not seen.is_zombie and row.command_of != row.name:
                row.command = short_command(self._read(seen.pid), name=row.name)
                row.command_of = row.name

    def command(self, use: ProcessUse) -> str:
        """Return the name of a process that a walk saw."""
        rows = [row for row in (self._alive.get(use.key), *self._ended) if row and row.key == use.key]
        command = next((row.command for row in rows if row.name == use.name), rows[0].command if rows else "")
        return command or short_command([], name=use.name)

    def top(self) -> list[TopProcess]:
        """Return at most `LENGTH` processes, chosen by memory and by CPU time in turns; in order of memory."""
        rows = [*self._alive.values(), *self._ended]
        chosen: dict[tuple[Key, str], _Row] = {}
        for pair in zip(_by_memory(rows), _by_cpu(rows), strict=True):
            for row in pair:
                if len(chosen) < LENGTH and (row.peak_bytes or row.cpu_seconds):
                    chosen.setdefault((row.key, row.program), row)  # a walk may have missed it: then it has two
        return [
            TopProcess(
                command=row.command or short_command([], name=row.name),
                memory_peak_bytes=row.peak_bytes,
                cpu_seconds=round(row.cpu_seconds, 3),
            )
            for row in sorted(chosen.values(), key=lambda row: (-row.peak_bytes, row.pid))
        ]


def _greatest(rows: list[_Row]) -> list[_Row]:
    kept = {id(row): row for row in [*_by_memory(rows), *_by_cpu(rows)]}
    return list(kept.values())


def _by_memory(rows: Iterable[_Row]) -> list[_Row]:
    return heapq.nlargest(LENGTH, rows, key=lambda row: row.peak_bytes)


def _by_cpu(rows: Iterable[_Row]) -> list[_Row]:
    return heapq.nlargest(LENGTH, rows, key=lambda row: row.cpu_seconds)
