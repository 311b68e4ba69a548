"""The cgroup that the build is measured by: our own, if it is this job's alone; else one made for the build; else none.

Source: cgroups(7); kernel Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst. Knows where the files lie, not
what the figures mean (`cgroup_counters`). Whether our own is this job's alone: `cgroup_ownership`.
"""

import contextlib
import enum
import errno
import os
import shlex
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from buildjob.measure.cgroup_ownership import Ownership, ownership_of, read_membership
from buildjob.measure.cgroup_position import (
    Position,
    cpu_limit_of,
    memory_limit_bytes,
    read_members,
    read_position,
)

_PREFIX = "spack-farm-"
_REMOVAL_SECONDS = 2.0
_MOST_NAMES = 10  # cgroups of one agent at the same time, or left by one that had the same pid
# What a build's own cgroup is made of, on v1: the two controllers that only count. `cpu` would change the build's share of
# the machine, and `blkio` does not see buffered writes on v1.
_MADE_V1 = ("memory", "cpuacct")


class Kind(enum.StrEnum):
    """Why a cgroup's figures are the build's."""

    CONTAINER = "container"
    """It was made for this job, by a container runtime for example: its figures are deltas, and the agent is in it."""
    MADE = "made"
    """Made by us: it holds the build alone and starts from zero."""


class Cgroup:
    """A cgroup whose figures are the build's. As a context manager it is removed at the end if we made it."""

    def __init__(self, position: Position, *, kind: Kind, home: Iterable[Path] = ()) -> None:
        """`home` has the folders of our own cgroup if this one is made."""
        self.position = position
        self.kind = kind
        self._home = tuple(home)

    @property
    def version(self) -> str:
        """`v1` or `v2`."""
        return self.position.version

    @property
    def memory_limit_bytes(self) -> int | None:
        """The lowest memory limit that holds in it, read now; None if there is none."""
        return memory_limit_bytes(self.position)

    def limit_memory(self, limit_bytes: int) -> None:
        """Let the kernel kill in it what would take more memory. Raises OSError if it is not ours, or may not be limited.

        Without swap space, as in a pod: else a build at its limit would be slow instead of killed.
        """
        if self.kind is not Kind.MADE:
            raise PermissionError(errno.EPERM, "the cgroup is not the build's own")
        folder, is_v1 = self.position.memory_folder, self.version == "v1"
        (folder / ("memory.limit_in_bytes" if is_v1 else "memory.max")).write_text(str(limit_bytes))
        with contextlib.suppress(OSError):  # a kernel that does not count swap space
            swap, most = ("memory.memsw.limit_in_bytes", limit_bytes) if is_v1 else ("memory.swap.max", 0)
            (folder / swap).write_text(str(most))

    def members(self) -> list[int]:
        """Return the processes in it, without those of cgroups below it; empty if it no longer exists."""
        return read_members(self.position)

    def joined_by(self, argv: list[str]) -> list[str]:
        """Return the command line of a program that puts itself into the cgroup and then becomes `argv`.

        A shell does it between fork and exec: Python code must not run there while other threads do. If it fails, `argv`
        runs all the same: a build comes before its figures.
        """
        paths = _join_paths(self.position) if self.kind is Kind.MADE else []
        if not paths:
            return argv
        joins = "; ".join(f"echo 0 > {shlex.quote(str(path))}" for path in paths)
        return ["/bin/sh", "-c", f'{joins}; exec "$@"', "sh", *argv]

    def release(self, pid: int) -> None:
        """Take a process out of the cgroup, into our own; what it has used stays counted. Its absence is success."""
        for folder in self._home:
            with contextlib.suppress(OSError):
                (folder / "cgroup.procs").write_text(str(pid))

    def remove(self, *, wait_seconds: float = _REMOVAL_SECONDS) -> bool:
        """Remove the cgroup if we made it; return whether it no longer exists. One that still holds processes stays."""
        if self.kind is not Kind.MADE:
            return True
        deadline = time.monotonic() + wait_seconds
        while not _remove_folders(self.position):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)  # a process that was just reaped leaves its cgroup a little later
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()


def find_cgroup(*, proc: Path = Path("/proc")) -> Cgroup | None:
    """Return the cgroup to measure the build by; None where only walks over the processes can measure it.

    A container's own cgroup is taken as it is: a cgroup below it would hide memory kills from those who watch the container.
    Raises nothing for what it may not read or make.
    """
    position = read_position(proc)
    if position is None:
        return None
    ownership = ownership_of(read_membership(position, proc=proc))
    if ownership is Ownership.OURS:
        return Cgroup(position, kind=Kind.CONTAINER)
    made = _make(position, proc=proc)
    if made is None and ownership is Ownership.OURS_FOR_NOW:
        return Cgroup(position, kind=Kind.CONTAINER)
    return made


def _make(position: Position, *, proc: Path) -> Cgroup | None:
    """Make a cgroup for the build and try it with a process of ours; None, and nothing left, if that fails."""
    parents = _parents_v1(position) if position.version == "v1" else _parents_v2(position)
    if parents is None:
        return None
    _sweep(set(parents.values()), proc=proc)
    for attempt in range(_MOST_NAMES):
        name = f"{_PREFIX}{os.getpid()}" + (f"-{attempt}" if attempt else "")
        folders = {controller: folder / name for controller, folder in parents.items()}
        if _make_folders(list(dict.fromkeys(folders.values()))):
            break
    else:
        return None
    limit_folders = position.limit_folders if position.version == "v1" else folders
    made = msgspec.structs.replace(
        position, folders=folders, limit_folders=limit_folders, path=f"{position.path.rstrip('/')}/{name}", is_root=False
    )
    home = parents.values() if position.version == "v1" else [position.memory_folder]
    cgroup = Cgroup(made, kind=Kind.MADE, home=dict.fromkeys(home))
    if not _can_join(_join_paths(made)):
        cgroup.remove()
        return None
    return cgroup


def _make_folders(folders: list[Path]) -> bool:
    """Make all of them or none."""
    for number, folder in enumerate(folders):
        try:
            folder.mkdir()
        except OSError:
            for made in folders[:number]:
                with contextlib.suppress(OSError):
                    made.rmdir()
            return False
    return True


def _parents_v1(position: Position) -> dict[str, Path] | None:
    """Return, for each controller, the cgroup below which one may be made; None if limits above would not hold in it."""
    own = position.limit_folders
    if not set(_MADE_V1) <= set(own):
        return None
    # Before Linux 5.11 a cgroup could be set not to pass its limit on to those below: the build must not escape it.
    with contextlib.suppress(OSError):
        if position.has_own_limit and (own["memory"] / "memory.use_hierarchy").read_text().strip() == "0":
            return None
    return {controller: own[controller] for controller in _MADE_V1}


def _parents_v2(position: Position) -> dict[str, Path] | None:
    """Return the cgroup above ours, if it was delegated to us: below a cgroup with processes in it nothing is counted.

    None also if our own cgroup has a limit, which a cgroup beside it would escape.
    """
    own = position.memory_folder
    if position.is_root or position.is_top or position.has_own_limit or cpu_limit_of(own) is not None:
        return None
    parent = own.parent
    try:
        delegated = {"memory", "cpu"} <= set((parent / "cgroup.subtree_control").read_text().split())
    except OSError:
        return None
    is_ours = os.access(parent, os.W_OK) and os.access(parent / "cgroup.procs", os.W_OK)
    return dict.fromkeys(position.folders, parent) if delegated and is_ours else None


def _join_paths(position: Position) -> list[Path]:
    """Return the files that a process writes `0` into to put itself into the cgroup."""
    return [folder / "cgroup.procs" for folder in dict.fromkeys(position.folders.values())]


def _can_join(paths: list[Path]) -> bool:
    """Try to put a process of ours into the cgroup: what is allowed depends on more than file modes."""
    command = ["/bin/sh", "-c", 'for path; do echo 0 > "$path" || exit 1; done', "sh", *map(str, paths)]
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _sweep(parents: set[Path], *, proc: Path) -> None:
    """Remove the cgroups that dead agents left; one that still holds processes stays."""
    for parent in parents:
        for folder in parent.glob(f"{_PREFIX}*"):
            owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
            if owner.isdigit() and not (proc / owner).exists():
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _remove_folders(position: Position) -> bool:
    for folder in dict.fromkeys(position.folders.values()):
        with contextlib.suppress(OSError):
            folder.rmdir()
    return not any(folder.exists() for folder in position.folders.values())
