"""One process as `/proc` shows it: text becomes a frozen value.

Linux only; the text is that of proc(5), man-pages 6. Knows nothing of trees, budgets or cgroups. We read the files
ourselves: psutil takes several times the CPU for the same figures (`scripts/bench sampling`).
"""

import os
from pathlib import Path

import msgspec

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_ENOUGH = 65536


class ProcessStat(msgspec.Struct, frozen=True):
    """The fields of `/proc/PID/stat` that we read."""

    pid: int
    parent: int
    started: int
    """Clock ticks since boot. Pids are used again: pid and start together name a process."""
    name: str
    """The kernel's name of it, at most 15 bytes."""
    memory_bytes: int
    """Resident memory, shared pages included."""
    ticks: int
    """User + system time of its own, in clock ticks."""
    tree_ticks: int
    """The same and that of the children it has waited for."""
    is_zombie: bool

    @property
    def key(self) -> tuple[int, int]:
        """What distinguishes this process from a later one with the same pid."""
        return self.pid, self.started


def parse_stat(text: bytes) -> ProcessStat:
    """Return the fields of a `/proc/PID/stat`; the name may hold any byte, also `)`. Raises ValueError if it is cut off."""
    opening, closing = text.index(b"("), text.rindex(b")")
    fields = text[closing + 2 :].split(b" ", 22)
    if len(fields) < 22:
        raise ValueError(f"/proc/PID/stat is cut off: {text!r}")
    own = int(fields[11]) + int(fields[12])
    return ProcessStat(
        int(text[: opening - 1]),
        int(fields[1]),
        int(fields[19]),
        text[opening + 1 : closing].decode(errors="replace"),
        int(fields[21]) * PAGE_BYTES,
        own,
        own + int(fields[13]) + int(fields[14]),
        fields[0] == b"Z",
    )


def read_stat(pid: int | str, *, proc: str = "/proc") -> ProcessStat | None:
    """Return a process's figures; None if it no longer exists."""
    text = _read(f"{proc}/{pid}/stat")
    return parse_stat(text) if text else None


def read_command_line(pid: int, *, proc: str = "/proc") -> list[str]:
    """Return its arguments, up to 64 KiB; none if it no longer exists, or is a zombie or a kernel thread."""
    text = _read(f"{proc}/{pid}/cmdline")
    return [part.decode(errors="replace") for part in text.rstrip(b"\0").split(b"\0")] if text else []


def read_pids(*, proc: str = "/proc") -> list[str]:
    """Return the pids of all processes, as text."""
    return [name for name in os.listdir(proc) if name.isdigit()]  # noqa: PTH208 - a thousand Path objects cost more


def private_bytes(pid: int | str, *, proc: str = "/proc") -> int:
    """Return the resident memory of a process (`self` is this one) that no file backs; 0 if there is no such process."""
    fields = _read(f"{proc}/{pid}/statm").split()
    return (int(fields[1]) - int(fields[2])) * PAGE_BYTES if len(fields) > 2 else 0


def parse_io(text: bytes) -> tuple[int, int]:
    """Return bytes read from and written to storage out of a `/proc/PID/io`; writes count when the page cache gets them."""
    values = dict(line.split(b": ", 1) for line in text.splitlines() if b": " in line)
    return int(values.get(b"read_bytes", 0)), int(values.get(b"write_bytes", 0))


def read_io(pid: int | str, *, proc: str = "/proc") -> tuple[int, int]:
    """Return a process's bytes read and written, with those of children it has waited for; 0 if the kernel denies it."""
    return parse_io(_read(f"{proc}/{pid}/io"))


def reaped_io(*, proc: str = "/proc") -> tuple[int, int]:
    """Return what the children that this process has waited for read and wrote, and theirs.

    The kernel adds it to our own figure, but not to our threads' figures: the difference is theirs (kernel/exit.c).
    """
    read, written = read_io("self", proc=proc)
    for task in Path(proc, "self", "task").glob("*"):
        task_read, task_written = parse_io(_read(f"{task}/io"))
        read, written = read - task_read, written - task_written
    return max(read, 0), max(written, 0)


class Shares(msgspec.Struct, frozen=True):
    """What of a process's memory is its own, shared pages divided among those who share them."""

    total_bytes: int
    anonymous_bytes: int
    """Anonymous + shared memory."""
    resident_bytes: int = 0
    """All of its memory at the same instant; 0: not known."""


def parse_rollup(text: bytes) -> Shares | None:
    """Return the shares out of one `/proc/PID/smaps_rollup`; None if it is empty. Kernels before 5.8 lack the parts."""
    values = {}
    for line in text.splitlines()[1:]:
        name, _, rest = line.partition(b":")
        values[name] = int(rest.split()[0]) * 1024
    if b"Pss" not in values:
        return None
    if b"Pss_Anon" not in values:
        return Shares(values[b"Pss"], min(values[b"Pss"], values.get(b"Anonymous", 0)), values.get(b"Rss", 0))
    return Shares(values[b"Pss"], values[b"Pss_Anon"] + values.get(b"Pss_Shmem", 0), values.get(b"Rss", 0))


def read_shares(pid: int, *, proc: str = "/proc") -> Shares | None:
    """Return a process's proportional memory; None if it no longer exists or the kernel denies it."""
    return parse_rollup(_read(f"{proc}/{pid}/smaps_rollup"))


def _read(path: str) -> bytes:
    """Return a small file; empty if it no longer exists or is denied: both are common in /proc."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _ENOUGH)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
