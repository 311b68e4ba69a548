"""The processes that used most: a table that stays small however many processes a build starts. Reads only command lines."""

import heapq
from collections.abc import Callable, Iterable, Mapping

import msgspec

from buildjob.measure.process_names import short_command
from buildjob.measure.process_tree import Key
from buildjob.measure.procfs import TICKS_PER_SECOND, ProcessStat, read_command_line
from buildjob.telemetry import TopProcess

LENGTH = 10


class _Entry(msgspec.Struct):
    """One process, alive or gone."""

    key: Key
    name: str
    peak_bytes: int = 0
    ticks: int = 0
    command: str = ""
    command_of: str = ""
    """The kernel's name when the command line was read: another one since means another program."""


class TopTable:
    """Every live process, and of those that have gone the `LENGTH` greatest by memory and by CPU."""

    def __init__(self, *, read: Callable[[int], list[str]] = read_command_line) -> None:
        self._read = read
        self._alive: dict[Key, _Entry] = {}
        self._gone: list[_Entry] = []

    def update(self, processes: Mapping[Key, ProcessStat]) -> None:
        """Take in what a walk saw."""
        for key, stat in processes.items():
            entry = self._alive.get(key)
            if entry is None:
                entry = self._alive[key] = _Entry(key, stat.name)
            entry.name = stat.name
            entry.peak_bytes = max(entry.peak_bytes, stat.memory_bytes)
            entry.ticks = stat.ticks
        vanished = [key for key in self._alive if key not in processes]
        if vanished:
            self._gone = _greatest([*self._gone, *(self._alive.pop(key) for key in vanished)])
        # Command lines are read while the processes live: those of the greatest of all, and of the greatest alive.
        candidates = {id(entry): entry for entry in _greatest([*self._alive.values(), *self._gone])}
        now_greatest = heapq.nlargest(3, processes.values(), key=lambda stat: stat.memory_bytes)
        candidates |= {id(self._alive[stat.key]): self._alive[stat.key] for stat in now_greatest}
        for entry in candidates.values():
            seen = processes.get(entry.key)
            if seen is not None and not seen.is_zombie and entry.command_of != entry.name:
                entry.command = short_command(self._read(seen.pid), name=entry.name)
                entry.command_of = entry.name

    def command(self, stat: ProcessStat) -> str:
        """Return what a process that a walk saw is called."""
        entry = self._alive.get(stat.key) or next((entry for entry in self._gone if entry.key == stat.key), None)
        return (entry.command if entry else "") or short_command([], name=stat.name)

    def top(self) -> list[TopProcess]:
        """Return at most `LENGTH` processes, the greatest by memory and by CPU by turns; in order of memory."""
        entries = [*self._alive.values(), *self._gone]
        chosen: dict[Key, _Entry] = {}
        for pair in zip(_by_memory(entries), _by_cpu(entries), strict=True):
            for entry in pair:
                if len(chosen) < LENGTH and (entry.peak_bytes or entry.ticks):
                    chosen.setdefault(entry.key, entry)
        return [
            TopProcess(
                command=entry.command or short_command([], name=entry.name),
                memory_peak_bytes=entry.peak_bytes,
                cpu_seconds=entry.ticks / TICKS_PER_SECOND,
            )
            for entry in sorted(chosen.values(), key=lambda entry: (-entry.peak_bytes, entry.key))
        ]


def _greatest(entries: list[_Entry]) -> list[_Entry]:
    kept = {id(entry): entry for entry in [*_by_memory(entries), *_by_cpu(entries)]}
    return list(kept.values())


def _by_memory(entries: Iterable[_Entry]) -> list[_Entry]:
    return heapq.nlargest(LENGTH, entries, key=lambda entry: entry.peak_bytes)


def _by_cpu(entries: Iterable[_Entry]) -> list[_Entry]:
    return heapq.nlargest(LENGTH, entries, key=lambda entry: entry.ticks)
