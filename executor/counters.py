"""The kernel's counters of a container, which the pod agent writes as `NAME VALUE` lines. Pure; cgroup v1 and v2."""

import msgspec

_MOST_DIGITS = 20
_UNLIMITED = 1 << 50  # 1 PiB; v1 writes "no limit" as 2^63, rounded down to a page


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """One reading. 0 or None means unknown."""

    memory_kills: int = 0
    """Processes of the container that the memory limit has killed since its start."""
    memory_bytes: int = 0
    """Usage: page cache included."""
    inactive_file_bytes: int = 0
    """The part of it that the kernel can drop."""
    peak_bytes: int = 0
    """The kernel's high-water mark of usage."""
    limit_bytes: int | None = None
    cpu_seconds: float = 0.0

    @property
    def working_set_bytes(self) -> int:
        """What Kubernetes evicts by."""
        return max(self.memory_bytes - self.inactive_file_bytes, 0)


def parse_counters(lines: list[str]) -> Counters:
    """Return one reading; other lines are skipped."""
    values = {key: parse_count(text) for key, _, text in (line.partition(" ") for line in lines)}
    for key in [key for key in values if key.startswith("memory.") and values[key] >= _UNLIMITED]:
        del values[key]  # more than any node has
    return Counters(
        # A kill of the whole group counts each of its processes in `oom_kill`, too.
        memory_kills=max(values.get("events.oom_kill", 0), values.get("events.oom_group_kill", 0)),
        memory_bytes=values.get("memory.current", 0),
        inactive_file_bytes=values.get("memory.inactive_file", 0),
        peak_bytes=values.get("memory.peak", 0),
        limit_bytes=values.get("memory.max") or None,
        cpu_seconds=values.get("cpu.usage_usec", 0) / 1e6 + values.get("cpu.usage_nsec", 0) / 1e9,
    )


def parse_count(text: str) -> int:
    """Return a counter's value, of 64 bits; 0 for any other text: the lines come from the job's container."""
    value = int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else 0
    return value if value < 1 << 64 else 0
