"""What the agent and its standby processes use themselves: in a cgroup that they share with the build it is subtracted.

The kernel's high-water mark cannot be corrected like this: what the agent used at that instant is not known.
"""

import os
import time

from buildjob.measure.processes import private_bytes, read_process


class AgentUse:
    """Zero in every figure unless `shares_cgroup`."""

    def __init__(self, *, shares_cgroup: bool) -> None:
        self._shares_cgroup = shares_cgroup
        self._cpu_base_seconds = 0.0
        self.standby: frozenset[int] = frozenset()
        """Ids of children that were started for what comes after the build. Replaced whole: threads share it."""

    def begin(self) -> None:
        """Count CPU time from now on."""
        self._cpu_base_seconds = time.process_time()

    def cpu_seconds(self) -> float:
        """Return the CPU time since `begin`; none of the standby processes has been reaped yet."""
        if not self._shares_cgroup:
            return 0.0
        standby = (read_process(pid) for pid in self.standby)
        return time.process_time() - self._cpu_base_seconds + sum(use.tree_cpu_seconds for use in standby if use)

    def memory_bytes(self) -> int:
        """Return the memory that no file backs: pages of files may be the build's as well."""
        if not self._shares_cgroup:
            return 0
        return sum(private_bytes(pid) for pid in (os.getpid(), *self.standby))

    def processes(self) -> int:
        """Return how many processes they are."""
        return 1 + len(self.standby) if self._shares_cgroup else 0
