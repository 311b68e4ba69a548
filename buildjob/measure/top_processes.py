"""The processes that used the most memory or CPU time: a table that stays small, however many processes a build starts.

Reads command lines, and nothing else.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping

import msgspec

from buildjob.measure.process_names import short_command
from buildjob.measure.processes import Key, ProcessUse, read_command_line
from buildjob.telemetry import TopProcess

LENGTH = 10


class _Row(msgspec.Struct):
    """One process, alive or ended."""

    key: Key
    pid: int
    name: str
    peak_bytes: int = 0
    cpu_seconds: float = 0.0
    command: str = ""
    command_of: str = ""
    """The kernel's name when the command line was read. If it differs now, the process has become another program."""


class TopTable:
    """Every live process, and of the ended ones the `LENGTH` greatest by memory and by CPU time."""

    def __init__(self, *, read: Callable[[int], list[str]] = read_command_line) -> None:
        self._read = read
        self._alive: dict[Key, _Row] = {}
        self._ended: list[_Row] = []

    def update(self, processes: Mapping[Key, ProcessUse]) -> None:
        """Add what a walk saw."""
        for key, use in processes.items():
            row = self._alive.get(key)
            if row is None:
                row = self._alive[key] = _Row(key, use.pid, use.name)
            row.name = use.name
            row.peak_bytes = max(row.peak_bytes, use.memory_bytes)
            row.cpu_seconds = use.cpu_seconds
        vanished = [key for key in self._alive if key not in processes]
        if vanished:
            self._ended = _greatest([*self._ended, *(self._alive.pop(key) for key in vanished)])
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
        row = self._alive.get(use.key) or next((row for row in self._ended if row.key == use.key), None)
        return (row.command if row else "") or short_command([], name=use.name)

    def top(self) -> list[TopProcess]:
        """Return at most `LENGTH` processes, chosen by memory and by CPU time in turns; in order of memory."""
        rows = [*self._alive.values(), *self._ended]
        chosen: dict[Key, _Row] = {}
        for pair in zip(_by_memory(rows), _by_cpu(rows), strict=True):
            for row in pair:
                if len(chosen) < LENGTH and (row.peak_bytes or row.cpu_seconds):
                    chosen.setdefault(row.key, row)
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
