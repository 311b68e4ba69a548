"""Which processes are the build's, and what each of them uses, as psutil reads it.

What psutil does not have stands here, and no more: the children of one process without reading all of the host's, and what
threads of ours read and wrote. Everything reads below `psutil.PROCFS_PATH`. Knows nothing of budgets or cgroups.
"""

import contextlib
import os
from collections.abc import Callable, Collection, Hashable, Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path

import msgspec
import psutil

_READ_BYTES = 16384

Key = Hashable
"""What names a process for good, though its pid is used again: psutil's identity. No setting of the clock changes it."""


class ProcessUse(msgspec.Struct, frozen=True, kw_only=True):
    """What one process uses at one instant."""

    key: Key
    pid: int
    name: str
    """The kernel's, completed from the command line if it may be cut off. Not always UTF-8: it may hold surrogates."""
    resident_bytes: int
    """All that is in memory, pages of files included: the kernel kills by it."""
    memory_bytes: int
    """Resident - shared: the memory that no file and no shared memory backs."""
    cpu_seconds: float
    """User + system time of its own."""
    tree_cpu_seconds: float
    """The same and that of the children it has waited for."""
    is_zombie: bool
    """All of its threads have ended, and its parent has not waited for it yet."""


def proc_folder() -> Path:
    """Return where psutil finds the processes: `/proc`, unless a test says otherwise."""
    return Path(psutil.PROCFS_PATH)


def read_process(pid: int) -> ProcessUse | None:
    """Return what a process uses; None if it no longer exists or may not be read."""
    try:
        # A new object for each look: one that is kept would go on with a later process of the same pid.
        process = psutil.Process(pid)
        with process.oneshot():
            memory, times = process.memory_info(), process.cpu_times()
            own = times.user + times.system
            is_zombie = process.status() == psutil.STATUS_ZOMBIE
            living = [thread for thread in _threads(pid) if thread != str(pid)] if is_zombie else []
            if living:
                # Only its first thread has ended. The kernel shows the memory of all with each of the others.
                memory, is_zombie = psutil.Process(int(living[0])).memory_info(), False
            return ProcessUse(
                key=process,
                pid=pid,
                name=process.name(),
                resident_bytes=memory.rss,
                memory_bytes=max(memory.rss - memory.shared, 0),
                cpu_seconds=own,
                tree_cpu_seconds=own + times.children_user + times.children_system,
                is_zombie=is_zombie,
            )
    except (psutil.Error, OSError):  # psutil passes some faults of the kernel on as they are
        return None


def walk_members(pids: Iterable[int], *, own_pid: int) -> dict[Key, ProcessUse]:
    """Return the processes with these pids, without our own."""
    found = (read_process(pid) for pid in pids if pid != own_pid)
    return {use.key: use for use in found if use}


def walk_descendants(
    roots: Collection[int], *, own_pid: int, strangers: AbstractSet[Key] = frozenset()
) -> dict[Key, ProcessUse]:
    """Return the descendants of this process and the roots with theirs; neither itself nor children that are `strangers`."""
    children = _children_of if _kernel_lists_children(own_pid) else _children_by_parent([own_pid, *roots])
    found: dict[Key, ProcessUse] = {}
    seen, none = {own_pid}, frozenset[Key]()
    waiting = [*((pid, strangers) for pid in children(own_pid)), *((pid, none) for pid in roots)]
    while waiting:
        pid, excluded = waiting.pop()
        use = None if pid in seen else read_process(pid)
        if use is None or use.key in excluded:
            continue
        seen.add(pid)
        found[use.key] = use
        waiting.extend((child, none) for child in children(pid))
    return found


def read_command_line(pid: int) -> list[str]:
    """Return its arguments; none if it no longer exists, or is a zombie or a kernel thread."""
    with contextlib.suppress(psutil.Error, OSError):
        return psutil.Process(pid).cmdline()
    return []


def read_program(pid: int) -> str:
    """Return the path of the program that a process runs; empty if it no longer exists, or may not be looked at."""
    with contextlib.suppress(OSError):
        return os.readlink(f"{psutil.PROCFS_PATH}/{pid}/exe")  # noqa: PTH115 - of each process: a Path costs more than the call
    return ""


def private_bytes(pid: int) -> int:
    """Return the resident memory of a process that no file and no shared memory backs; 0 if there is no such process."""
    with contextlib.suppress(psutil.Error, OSError):
        memory = psutil.Process(pid).memory_info()
        return max(memory.rss - memory.shared, 0)
    return 0


def read_io(pid: int) -> tuple[int, int]:
    """Return bytes read from and written to storage, with those of the children it has waited for; 0 if that is denied.

    Writes count when the page cache gets them.
    """
    # psutil raises the last three where the kernel lacks the file, its content or some of its rows.
    with contextlib.suppress(psutil.Error, OSError, AttributeError, RuntimeError, ValueError):
        counters = psutil.Process(pid).io_counters()
        return counters.read_bytes, counters.write_bytes
    return 0, 0


def reaped_io() -> tuple[int, int]:
    """Return what the children that this process has waited for read and wrote, and theirs.

    The kernel adds it to our own figure, but not to our threads' figures: the difference is theirs (kernel/exit.c).
    """
    read, written = read_io(os.getpid())
    for thread in _threads(os.getpid()):
        text = _content(f"{psutil.PROCFS_PATH}/{os.getpid()}/task/{thread}/io")
        rows = dict(line.split(b": ", 1) for line in text.splitlines() if b": " in line)
        read, written = read - int(rows.get(b"read_bytes", 0)), written - int(rows.get(b"write_bytes", 0))
    return max(read, 0), max(written, 0)


def _kernel_lists_children(pid: int) -> bool:
    """Return whether this kernel was built with CONFIG_PROC_CHILDREN, as those of all distributions are."""
    return (proc_folder() / str(pid) / "task" / str(pid) / "children").exists()


def _children_of(pid: int) -> list[int]:
    """Return the children of one process: each thread lists its own. Of the host's processes only the build's are read."""
    found: list[int] = []
    for thread in _threads(pid):
        found.extend(map(int, _content(f"{psutil.PROCFS_PATH}/{pid}/task/{thread}/children").split()))
    return found


def _threads(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return os.listdir(f"{psutil.PROCFS_PATH}/{pid}/task")  # noqa: PTH208 - a thousand Path objects cost more
    return []


def _children_by_parent(tops: Iterable[int]) -> Callable[[int], list[int]]:
    """Return the same function for these processes and their descendants, from looks at all processes of the host."""
    children: dict[int, list[int]] = {}
    for pid in tops:
        with contextlib.suppress(psutil.Error, OSError):
            for process in psutil.Process(pid).children(recursive=True):
                with contextlib.suppress(psutil.Error, OSError):
                    children.setdefault(process.ppid(), []).append(process.pid)
    return lambda pid: children.get(pid, [])


def _content(path: str) -> bytes:
    """Return a file; empty if it no longer exists or is denied: both are common in /proc."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    text = b""
    try:
        # The kernel hands out a long list in parts.
        while part := os.read(descriptor, _READ_BYTES):
            text += part
    except OSError:
        return b""
    finally:
        os.close(descriptor)
    return text
