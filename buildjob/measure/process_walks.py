"""Walks over the processes of the build: what one of them saw, who makes them, and how often they may be made.

Without a cgroup they measure everything; with one they only find the largest processes. Raises nothing.
"""

import contextlib
import os
import resource
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from buildjob.measure.agent_use import AgentUse
from buildjob.measure.cgroup import Cgroup
from buildjob.measure.process_tree import Key, live_cpu_seconds, walk_descendants, walk_members, walk_with_psutil
from buildjob.measure.procfs import ProcessStat


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """The processes of the build at one instant."""

    processes: Mapping[Key, ProcessStat] = {}
    """Zombies included: their CPU time is theirs until they are reaped."""
    alive: Mapping[Key, ProcessStat] = {}
    """Those that have not ended."""
    reaped_cpu_seconds: float = 0.0
    """CPU time of the children that this process has waited for, just before the walk."""

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all processes, reaped ones included."""
        return self.reaped_cpu_seconds + live_cpu_seconds(self.processes)


class Walker:
    """Finds the build's processes: the members of its cgroup, or else the descendants of this process and of the roots."""

    def __init__(self, agent: AgentUse, *, note: Callable[[str], None], proc: str) -> None:
        self._agent = agent
        self._note = note
        self._proc = proc
        self._strangers: frozenset[Key] = frozenset()
        """Descendants from before the build."""
        self.roots: frozenset[int] = frozenset()
        """Processes that count with their descendants, besides our own descendants. Replaced whole: threads share it."""

    def begin(self) -> None:
        """Skip, from now on, the descendants that this process has already: they are not the build's."""
        with contextlib.suppress(OSError, ValueError):  # the first walk notes the reason
            self._strangers = frozenset(key for key in self._descendants() if key[0] not in self.roots)

    def walk(self, cgroup: Cgroup | None, *, before: Walk) -> Walk:
        """Return what a walk sees now; if it fails, the processes of the one `before`."""
        # Before the walk: a process that is reaped in between is then missed once, not counted twice.
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        reaped_cpu_seconds = usage.ru_utime + usage.ru_stime
        try:
            found = walk_members(cgroup.members(), own_pid=os.getpid(), proc=self._proc) if cgroup else self._descendants()
        except (OSError, ValueError) as error:
            self._note(f"a walk over the processes failed: {error}")
            return msgspec.structs.replace(before, reaped_cpu_seconds=reaped_cpu_seconds)
        processes = {key: stat for key, stat in found.items() if key[0] not in self._agent.standby}
        return Walk(
            processes=processes,
            alive={key: stat for key, stat in processes.items() if not stat.is_zombie and stat.memory_bytes},
            reaped_cpu_seconds=reaped_cpu_seconds,
        )

    def _descendants(self) -> Mapping[Key, ProcessStat]:
        if Path(self._proc, "stat").exists():
            return walk_descendants(self.roots, own_pid=os.getpid(), strangers=self._strangers, proc=self._proc)
        return walk_with_psutil(self.roots, own_pid=os.getpid(), strangers=self._strangers)


class WalkPace:
    """When the next walk may be, so that all of them take at most `share` of the time."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._saved_seconds = 0.0
        self._earned_at = 0.0

    def is_due(self, now: float) -> bool:
        """Return whether the cost of earlier walks has been earned by the time since."""
        earned = (now - self._earned_at) * self._share
        # At most a second's earnings are saved: after a quiet hour walks must not become dense.
        self._saved_seconds, self._earned_at = min(self._saved_seconds + earned, self._share), now
        return self._saved_seconds >= 0

    def spend(self, cost_seconds: float) -> None:
        """Book what a reading cost, in CPU time."""
        self._saved_seconds -= cost_seconds
