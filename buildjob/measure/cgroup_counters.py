"""The kernel's counters of one cgroup: text becomes a `Reading`. Files stay open: opening costs ten times the reading.

Source: kernel Documentation/admin-guide/cgroup-v1/{memory,cpuacct}.rst, cgroup-v2.rst, accounting/psi.rst.
Knows neither intervals nor peaks. A file that vanishes or makes no sense ends its figure, never the build.
"""

import contextlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from buildjob.measure.cgroup import Cgroup, Kind

_ENOUGH = 65536


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What the cgroup used at one instant; None: cannot be measured here. Counts are since the cgroup was made."""

    usage_bytes: int | None = None
    """Everything that is charged to it, page cache included."""
    working_set_bytes: int | None = None
    """Usage − inactive file."""
    anonymous_bytes: int | None = None
    """Anonymous + shared memory."""
    swap_bytes: int | None = None
    """What was moved to swap space; it is in no other figure."""
    high_water_mark_bytes: int | None = None
    """The highest usage since it was last reset."""
    cpu_seconds: float | None = None
    throttled_seconds: float | None = None
    pressure_seconds: float | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    kills: int | None = None
    """Processes killed for memory."""
    processes: int | None = None


# Counter to controller and file. Without blkio, which on v1 counts writes through the page cache for the root cgroup.
_FILES_V1 = {
    "usage": ("memory", "memory.usage_in_bytes"),
    "stat": ("memory", "memory.stat"),
    "high-water mark": ("memory", "memory.max_usage_in_bytes"),
    "kills": ("memory", "memory.oom_control"),
    "procs": ("memory", "cgroup.procs"),
    "cpu": ("cpuacct", "cpuacct.usage"),
    "throttled": ("cpu", "cpu.stat"),
}
_FILES_V2 = {
    "usage": ("memory", "memory.current"),
    "stat": ("memory", "memory.stat"),
    "swap": ("memory", "memory.swap.current"),
    "high-water mark": ("memory", "memory.peak"),
    "kills": ("memory", "memory.events"),
    "procs": ("memory", "cgroup.procs"),
    "pressure": ("memory", "memory.pressure"),
    "cpu": ("cpu", "cpu.stat"),
    "io": ("memory", "io.stat"),
}


def parse_v1(texts: Mapping[str, bytes]) -> Reading:
    """Return the figures of v1's files; those whose text is missing or makes no sense are None."""
    usage = _number(texts.get("usage"))
    stat = texts.get("stat")
    throttled, cpu = _field(texts.get("throttled"), "throttled_time"), _number(texts.get("cpu"))
    return Reading(
        usage_bytes=usage,
        working_set_bytes=_less(usage, _field(stat, "total_inactive_file")),
        anonymous_bytes=_sum(_field(stat, "total_rss"), _field(stat, "total_shmem")),
        swap_bytes=_field(stat, "total_swap"),
        high_water_mark_bytes=_number(texts.get("high-water mark")),
        cpu_seconds=None if cpu is None else cpu / 1e9,
        throttled_seconds=None if throttled is None else throttled / 1e9,
        kills=_field(texts.get("kills"), "oom_kill"),
        processes=_lines(texts.get("procs")),
    )


def parse_v2(texts: Mapping[str, bytes]) -> Reading:
    """Return the figures of v2's files; those whose text is missing or makes no sense are None."""
    usage = _number(texts.get("usage"))
    stat, io = texts.get("stat"), texts.get("io")
    throttled, cpu = _field(texts.get("cpu"), "throttled_usec"), _field(texts.get("cpu"), "usage_usec")
    return Reading(
        usage_bytes=usage,
        working_set_bytes=_less(usage, _field(stat, "inactive_file")),
        anonymous_bytes=_sum(_field(stat, "anon"), _field(stat, "shmem")),
        swap_bytes=_number(texts.get("swap")),
        high_water_mark_bytes=_number(texts.get("high-water mark")),
        cpu_seconds=None if cpu is None else cpu / 1e6,
        throttled_seconds=None if throttled is None else throttled / 1e6,
        pressure_seconds=_pressure(texts.get("pressure")),
        read_bytes=_devices(io, "rbytes"),
        written_bytes=_devices(io, "wbytes"),
        kills=_field(texts.get("kills"), "oom_kill"),
        processes=_lines(texts.get("procs")),
    )


class Counters:
    """A cgroup's open files."""

    def __init__(self, cgroup: Cgroup, *, note: Callable[[str], None]) -> None:
        """Open what is there; `note` receives one message for each counter that can no longer be read."""
        self._note = note
        self._parse = parse_v1 if cgroup.version == "v1" else parse_v2
        self._kind = cgroup.kind
        self._files: dict[str, int] = {}
        position = cgroup.position
        for name, (controller, file) in (_FILES_V1 if cgroup.version == "v1" else _FILES_V2).items():
            folder = position.folders.get(controller)
            if name == "throttled":  # the quota is set further up than the cgroup that was made for the build
                folder = position.limit_folders.get(controller)
            if folder is not None:
                with contextlib.suppress(OSError):
                    self._files[name] = _open(folder / file, writable=name == "high-water mark" and cgroup.version == "v2")
        self._v1_high_water_mark = position.memory_folder / "memory.max_usage_in_bytes" if cgroup.version == "v1" else None

    def read(self) -> Reading:
        """Return the figures now. Raises nothing."""
        return self._read(tuple(self._files))

    def read_memory(self) -> Reading:
        """Return usage, working set, anonymous memory and swap only, for a fraction of the cost. Raises nothing."""
        return self._read(("usage", "stat", "swap"))

    def reset_high_water_mark(self) -> bool:
        """Reset it to what is used now; return whether that worked. On v2 (Linux 6.12), for our descriptor alone."""
        if self._kind is Kind.MADE:
            return True  # it is as old as the cgroup, which is ours
        try:
            if self._v1_high_water_mark is not None:
                self._v1_high_water_mark.write_bytes(b"0")
                return True
            os.write(self._files["high-water mark"], b"reset")
        except (OSError, KeyError):
            return False
        return True

    def close(self) -> None:
        """Close the files; idempotent. Every figure is None from then on."""
        while self._files:
            os.close(self._files.popitem()[1])

    def _read(self, names: tuple[str, ...]) -> Reading:
        texts = {}
        for name in names:
            descriptor = self._files.get(name)
            if descriptor is None:
                continue
            try:
                texts[name] = _whole(descriptor) if name == "procs" else os.pread(descriptor, _ENOUGH, 0)
            except OSError as error:
                os.close(self._files.pop(name))
                self._note(f"the counter '{name}' can no longer be read: {error.strerror}")
        return self._parse(texts)


def _open(path: Path, *, writable: bool) -> int:
    if writable:
        with contextlib.suppress(OSError):
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _whole(descriptor: int) -> bytes:
    """Return all of a file that the kernel hands out in parts."""
    parts: list[bytes] = []
    offset = 0
    while part := os.pread(descriptor, _ENOUGH, offset):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def _number(text: bytes | None) -> int | None:
    return int(text) if text and text.strip().isdigit() else None


def _field(text: bytes | None, name: str) -> int | None:
    """Return the number after `name` at the start of a line."""
    if not text:
        return None
    key = name.encode() + b" "
    start = 0 if text.startswith(key) else text.find(b"\n" + key) + 1
    if start == 0 and not text.startswith(key):
        return None
    return _number(text[start + len(key) :].partition(b"\n")[0])


def _lines(text: bytes | None) -> int | None:
    return None if text is None else text.count(b"\n")


def _less(whole: int | None, part: int | None) -> int | None:
    return None if whole is None or part is None else max(whole - part, 0)


def _sum(first: int | None, second: int | None) -> int | None:
    """Return the sum; an old kernel may lack the second row, which then counts 0."""
    return None if first is None else first + (second or 0)


def _devices(text: bytes | None, key: str) -> int | None:
    """Return the sum of `key=N` over the lines, one a device; an empty file means that nothing was read or written yet."""
    if text is None:
        return None
    return sum(int(found) for found in re.findall(rb"\b" + key.encode() + rb"=(\d+)", text))


def _pressure(text: bytes | None) -> float | None:
    found = re.search(rb"^some .*total=(\d+)", text, re.MULTILINE) if text else None
    return int(found[1]) / 1e6 if found else None
