"""Which processes the kernel killed for memory: it counts them, their names are inferred. Pure.

The kernel kills the largest process first. So the largest of the processes last seen that no longer exist are the victims.
"""

from collections.abc import Callable, Mapping

import msgspec

from buildjob.measure.processes import Key, ProcessUse
from buildjob.telemetry import MemoryKill

_MOST_KILLS = 100
_RESOLVE_SECONDS = 2.0


class _Unnamed(msgspec.Struct, frozen=True):
    """Kills that were counted, and the processes that were there before."""

    count: int
    at_seconds: float
    limit_bytes: int | None
    before: Mapping[Key, ProcessUse]


class MemoryKills:
    """The kills of one run, at most 100, in order of time."""

    def __init__(self, *, command: Callable[[ProcessUse], str]) -> None:
        self._command = command
        self._named: list[MemoryKill] = []
        self._unnamed: list[_Unnamed] = []
        self._noticed = 0

    @property
    def is_waiting(self) -> bool:
        """Whether the next walk may name a victim."""
        return bool(self._unnamed)

    def has_news(self, count: int) -> bool:
        """Return whether the kernel has counted more kills, since the start, than were noticed."""
        return count > self._noticed

    def notice(self, count: int, *, at_seconds: float, limit_bytes: int | None, before: Mapping[Key, ProcessUse]) -> None:
        """Keep that the kernel has counted this many since the start; do nothing if these are no more than before."""
        if self.has_news(count):
            self._unnamed.append(_Unnamed(count - self._noticed, at_seconds, limit_bytes, before))
            self._noticed = count

    def name(self, alive: Mapping[Key, ProcessUse], *, now_seconds: float, at_last: bool = False) -> None:
        """Name the victims that no longer exist.

        One that was just killed may still be seen for a moment: its name is waited for, up to two seconds.
        """
        for kills in list(self._unnamed):
            named = _named(kills, alive, self._command)
            is_over = at_last or now_seconds - kills.at_seconds >= _RESOLVE_SECONDS
            if is_over or any(kill.process for kill in named):
                self._unnamed.remove(kills)
                self._named.extend(named[: max(_MOST_KILLS - len(self._named), 0)])

    def kills(self) -> list[MemoryKill]:
        """Return all that were noticed, those that have no name yet at the end."""
        waiting = [kill for kills in self._unnamed for kill in _named(kills, kills.before, self._command)]
        return [*self._named, *waiting][:_MOST_KILLS]


def _named(kills: _Unnamed, alive: Mapping[Key, ProcessUse], command: Callable[[ProcessUse], str]) -> list[MemoryKill]:
    """Return one kill for each that was counted; without a name if fewer processes have vanished."""
    vanished = [use for key, use in kills.before.items() if key not in alive and use.resident_bytes]
    vanished.sort(key=lambda use: -use.resident_bytes)
    count = min(kills.count, _MOST_KILLS)
    names = [command(use) for use in vanished[:count]]
    return [
        MemoryKill(process=name, inferred=True, limit_bytes=kills.limit_bytes, at_seconds=kills.at_seconds)
        for name in [*names, *[None] * (count - len(names))]
    ]
