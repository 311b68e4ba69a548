"""Walks over the processes of the build: what one of them saw, who makes them, and how often they may be made.

Without a cgroup they measure everything; with one they only find the largest processes. Raises nothing.
"""

import contextlib
import os
import resource
from collections.abc import Callable, Mapping

import msgspec

from buildjob.measure.agent_use import AgentUse
from buildjob.measure.cgroup import Cgroup
from buildjob.measure.processes import Key, ProcessUse, walk_descendants, walk_members

# What psutil raises for a line of /proc that makes no sense.
_SENSELESS = (OSError, ValueError, LookupError)


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """The processes of the build at one instant."""

    processes: Mapping[Key, ProcessUse] = {}
    """Zombies included: their CPU time is theirs until they are reaped."""
    alive: Mapping[Key, ProcessUse] = {}
    """Those that have not ended."""
    reaped_cpu_seconds: float = 0.0
    """CPU time of the children that this process has waited for, just before the walk."""

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all processes, reaped ones included."""
        return self.reaped_cpu_seconds + sum(use.tree_cpu_seconds for use in self.processes.values())


class Walker:
    """Finds the build's processes: the members of its cgroup, or else the descendants of this process and of the roots."""

    def __init__(self, agent: AgentUse, *, note: Callable[[str], None]) -> None:
        self._agent = agent
        self._note = note
        self._strangers: frozenset[Key] = frozenset()
        """Descendants from before the build."""
        self.roots: frozenset[int] = frozenset()
        """Processes that count with their descendants, besides our own descendants. Replaced whole: threads share it."""

    def begin(self) -> None:
        """Skip, from now on, the descendants that this process has already: they are not the build's."""
        with contextlib.suppress(*_SENSELESS):  # the first walk notes the reason
            self._strangers = frozenset(key for key, use in self._descendants().items() if use.pid not in self.roots)

    def walk(self, cgroup: Cgroup | None, *, before: Walk) -> Walk:
        """Return what a walk sees now; if it fails, the processes of the one `before`."""
        # Before the walk: a process that is reaped in between is then missed once, not counted twice.
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        reaped_cpu_seconds = usage.ru_utime + usage.ru_stime
        try:
            found = walk_members(cgroup.members(), own_pid=os.getpid()) if cgroup else self._descendants()
        except _SENSELESS as error:
            self._note(f"a walk over the processes failed: {type(error).__name__}: {error}")
            return msgspec.structs.replace(before, reaped_cpu_seconds=reaped_cpu_seconds)
        processes = {key: use for key, use in found.items() if use.pid not in self._agent.standby}
        return Walk(
            processes=processes,
            alive={key: use for key, use in processes.items() if not use.is_zombie and use.resident_bytes},
            reaped_cpu_seconds=reaped_cpu_seconds,
        )

    def _descendants(self) -> Mapping[Key, ProcessUse]:
        return walk_descendants(self.roots, own_pid=os.getpid(), strangers=self._strangers)


class WalkPace:
    """When the next walk may be, so that those that are not urgent take at most `share` of the time."""

    def __init__(self, share: float) -> None:
        self.share = share
        """Of a core. May be changed at any time."""
        self._saved_seconds = 0.0
        self._earned_at = 0.0

    def is_due(self, now: float) -> bool:
        """Return whether the cost of earlier walks has been earned by the time since."""
        earned = (now - self._earned_at) * self.share
        # At most a second's earnings are saved: after a quiet hour walks must not become dense.
        self._saved_seconds, self._earned_at = min(self._saved_seconds + earned, self.share), now
        return self._saved_seconds >= 0

    def spend(self, cost_seconds: float) -> None:
        """Book what a walk cost, in CPU time.

        The debt is never more than that: walks that could not wait must not put off what only walks can measure for long.
        """
        self._saved_seconds = max(self._saved_seconds - cost_seconds, -cost_seconds)
