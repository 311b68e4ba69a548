"""The readings of one cgroup over a run: the first, the latest, and the last known value of each counter.

Without a cgroup every reading is empty, so that no other module needs to ask whether there is one.
"""

from collections.abc import Callable

import msgspec

from buildjob.measure.cgroup import Cgroup, Kind
from buildjob.measure.cgroup_counters import Counters, Reading


class CgroupReadings:
    """The readings of a run, in order of time: `begin`, then `read` and `read_memory`, `close`."""

    def __init__(self, cgroup: Cgroup | None, *, note: Callable[[str], None]) -> None:
        """`note` receives a message for each counter that can no longer be read."""
        self.cgroup = cgroup
        """None if there is none, or if it was given up."""
        self._counters = Counters(cgroup, note=note) if cgroup else None
        self._high_water_mark_was_reset = False
        self._was_joined = False
        self.first = Reading()
        self.latest = Reading()
        self.known = Reading()
        """The latest reading; a counter that can no longer be read keeps its last value."""

    def begin(self) -> None:
        """Take the reading that later ones are compared with."""
        if self._counters:
            self._high_water_mark_was_reset = self._counters.reset_high_water_mark()
            self.first = self.known = self._counters.read()

    def read(self) -> Reading:
        """Read all counters; return the latest reading."""
        self.latest = self._counters.read() if self._counters else Reading()
        self.known = _filled(self.latest, self.known)
        self._was_joined = self._was_joined or bool(self.latest.processes) or _has_risen(self.latest, self.first)
        return self.latest

    def read_memory(self) -> Reading:
        """Return usage, working set, anonymous memory and swap only, for a fraction of the cost; keep nothing."""
        return self._counters.read_memory() if self._counters else Reading()

    def give_up(self) -> None:
        """Forget the cgroup and all that was read from it."""
        self.close()
        self.cgroup = self._counters = None
        self.first = self.latest = self.known = Reading()

    def lose(self) -> None:
        """Forget the cgroup, and keep what was read from it: it was the build's, and no longer exists.

        Not its high-water mark, which is not updated from now on.
        """
        self.close()
        self.cgroup = self._counters = None
        self.latest = Reading()
        self.known = msgspec.structs.replace(self.known, high_water_mark_bytes=None)

    def close(self) -> None:
        """Close the files; idempotent."""
        if self._counters:
            self._counters.close()

    @property
    def needs_walk(self) -> bool:
        """Whether only a walk over the processes can measure memory or CPU."""
        return self.latest.working_set_bytes is None or self.latest.cpu_seconds is None

    @property
    def is_lost(self) -> bool:
        """Whether the cgroup no longer exists: somebody moved the build out of it and removed it."""
        has_memory = self.latest.usage_bytes is not None
        return self.cgroup is not None and not has_memory and not self.cgroup.position.memory_folder.exists()

    @property
    def is_made_and_empty(self) -> bool:
        """Whether it was made for the build, and no process was ever seen in it."""
        return self.cgroup is not None and self.cgroup.kind is Kind.MADE and not self._was_joined

    @property
    def kills(self) -> int:
        """How many processes the kernel has killed for memory since the start."""
        return (self.known.kills or 0) - (self.first.kills or 0)

    @property
    def memory_limit_bytes(self) -> int | None:
        """The lowest limit that holds, read now; None if there is none."""
        return self.cgroup.memory_limit_bytes if self.cgroup else None

    @property
    def high_water_mark_is_upper_bound(self) -> bool:
        """Whether the high-water mark may be older than the build."""
        return is_upper_bound(
            before=self.first.high_water_mark_bytes,
            after=self.known.high_water_mark_bytes,
            was_reset=self._high_water_mark_was_reset,
        )

    @property
    def throttled_seconds(self) -> float | None:
        """How long the CPU quota held the build back."""
        return _since(self.known.throttled_seconds, self.first.throttled_seconds)

    @property
    def pressure_seconds(self) -> float | None:
        """How long some process waited for memory."""
        return _since(self.known.pressure_seconds, self.first.pressure_seconds)


def is_upper_bound(*, before: int | None, after: int | None, was_reset: bool) -> bool:
    """Return whether a high-water mark may be older than the build: it could not be reset, and has not risen since."""
    return after is not None and not was_reset and after <= (before or 0)


def _filled(latest: Reading, known: Reading) -> Reading:
    """Return the latest reading, its gaps filled with what was known before."""
    gaps = {name: getattr(known, name) for name in latest.__struct_fields__ if getattr(latest, name) is None}
    return msgspec.structs.replace(latest, **gaps) if any(gap is not None for gap in gaps.values()) else latest


def _has_risen(latest: Reading, first: Reading) -> bool:
    return latest.cpu_seconds is not None and first.cpu_seconds is not None and latest.cpu_seconds > first.cpu_seconds


def _since(latest: float | None, first: float | None) -> float | None:
    return None if latest is None or first is None else round(max(latest - first, 0.0), 3)
