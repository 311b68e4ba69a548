"""Which control group tells what the build uses: our own, if it is this job's alone; else one made for it; else none.

Source: cgroups(7); kernel Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst. Knows where the files lie, not
what the figures mean (`counters`). Reading is in `cgroup_position`.
"""

import contextlib
import enum
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from buildjob.measure.cgroup_position import Position, cpu_limit_cores, cpu_limit_of, memory_limit_bytes, read_position
from buildjob.measure.procfs import read_pids, read_stat

_PREFIX = "spack-farm-"
_REMOVAL_SECONDS = 2.0
_MOST_NAMES = 10  # groups of one agent at the same time, or left behind by one that had the same pid
# What a build's own group is made of, on v1: the two controllers that only count. `cpu` would change the build's share of
# the machine, and `blkio` does not see buffered writes on v1.
_MADE_V1 = ("memory", "cpuacct")


class Kind(enum.StrEnum):
    """Why a group's figures are the build's."""

    CONTAINER = "container"
    """A container's or another group that was made for this job: its figures are deltas, and the agent is in it."""
    MADE = "made"
    """Made by us: it holds the build alone and starts from zero."""


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of our own group and of who else is in it."""

    path: str
    """As in `/proc/self/cgroup`."""
    is_root: bool = False
    """The machine's root group."""
    is_top: bool = False
    """Nothing above it can be seen from here."""
    own_namespace: bool = False
    """This process lives in a pid or cgroup namespace that is not the machine's."""
    has_own_limit: bool = False
    """A memory limit lower than its parent's was set on it."""
    relatives: int = 0
    """Processes in it that are this process, its ancestors or descendants."""
    strangers: int = 0
    """Other processes in it."""
    outsiders: int = 0
    """Processes in it that our pid namespace cannot name (the kernel lists them as 0)."""


class Verdict(enum.StrEnum):
    """What our own group is good for."""

    OURS = "ours"
    OURS_IF_NEED_BE = "ours_if_need_be"
    """Only relatives are in it, but nothing says that nobody else will join."""
    NOT_OURS = "not_ours"


_RUNTIME_NAME = re.compile(r"[0-9a-f]{64}")
_LOGIN_OR_MACHINE = re.compile(r"session-.*\.scope|user@.*\.service|.*\.slice|init\.scope")


def judge(membership: Membership) -> Verdict:
    """Decide whether our own group is dedicated to this job. Pure; the rows are in order, the first that fits decides."""
    name = membership.path.rstrip("/").rpartition("/")[2]
    if membership.is_root or membership.outsiders or _LOGIN_OR_MACHINE.fullmatch(name):
        return Verdict.NOT_OURS
    # Container runtimes name groups by the container's 64 hexadecimal digits: docker/…, cri-containerd-….scope, kubepods/….
    # Otherwise a container's own group is the top of what it sees; below it, in a system container, come services.
    if _RUNTIME_NAME.search(name) or (membership.own_namespace and membership.is_top):
        return Verdict.OURS
    if membership.strangers:
        return Verdict.NOT_OURS
    return Verdict.OURS if membership.has_own_limit else Verdict.OURS_IF_NEED_BE


class Cgroup:
    """A group whose figures are the build's. As a context manager it removes, at the end, what was made for it."""

    def __init__(self, position: Position, *, kind: Kind) -> None:
        self.position = position
        self.kind = kind
        self._join_files = [os.fsencode(path) for path in self.join_paths()]

    @property
    def version(self) -> str:
        """`v1` or `v2`."""
        return self.position.version

    @property
    def memory_limit_bytes(self) -> int | None:
        """The lowest memory limit that holds in it, read now; None if there is none."""
        return memory_limit_bytes(self.position)

    @property
    def cpu_limit_cores(self) -> float | None:
        """The lowest CPU quota that holds in it, read now; None if there is none."""
        return cpu_limit_cores(self.position)

    def procs(self) -> list[int]:
        """Return the processes in it, those of groups below it not included; empty if it has gone."""
        try:
            return [int(line) for line in (self.position.memory_folder / "cgroup.procs").read_bytes().split()]
        except OSError:
            return []

    def join_paths(self) -> list[Path]:
        """Return the files that a process writes `0` into to put itself into the group; none if it is there already."""
        if self.kind is not Kind.MADE:
            return []
        return [folder / "cgroup.procs" for folder in dict.fromkeys(self.position.folders.values())]

    def join(self) -> None:
        """Put the calling process into the group. Fit for `preexec_fn`; raises nothing: a build comes before its figures."""
        for path in self._join_files:
            with contextlib.suppress(OSError):
                descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
                try:
                    os.write(descriptor, b"0")
                finally:
                    os.close(descriptor)

    def remove(self, *, patience_seconds: float = _REMOVAL_SECONDS) -> bool:
        """Remove a group that we made; say whether it is gone. One that still holds processes is left to a later start."""
        if self.kind is not Kind.MADE:
            return True
        deadline = time.monotonic() + patience_seconds
        while not _remove_folders(self.position):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)  # a process that was just reaped leaves its group a little later
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()


def find_cgroup(*, proc: Path = Path("/proc"), may_make: bool = True) -> Cgroup | None:
    """Return the group to measure the build by; None where a walk over the processes has to do.

    A container's own group is taken as it is: a group below it would hide memory kills from those who watch the container.
    Raises nothing for what it may not read or make.
    """
    if sys.platform != "linux":
        return None
    position = read_position(proc)
    if position is None:
        return None
    verdict = judge(read_membership(position, proc=proc))
    if verdict is Verdict.OURS:
        return Cgroup(position, kind=Kind.CONTAINER)
    made = _make(position, proc=proc) if may_make else None
    if made is None and verdict is Verdict.OURS_IF_NEED_BE:
        return Cgroup(position, kind=Kind.CONTAINER)
    return made


def read_membership(position: Position, *, proc: Path) -> Membership:
    """Return who is in our own group, as far as `/proc` shows it."""
    parents: dict[int, int] = {}
    for pid in read_pids(proc=str(proc)):
        stat = read_stat(pid, proc=str(proc))
        if stat:
            parents[stat.pid] = stat.parent
    me = _own_pid(proc)
    ancestors = _ancestors(me, parents)
    pids = [pid for pid in Cgroup(position, kind=Kind.CONTAINER).procs() if pid == 0 or pid in parents]
    relatives = sum(pid in ancestors or me in _ancestors(pid, parents) for pid in pids if pid)
    outsiders = pids.count(0)
    return Membership(
        path=position.path,
        is_root=position.is_root,
        is_top=position.is_top,
        own_namespace=position.own_namespace,
        has_own_limit=position.has_own_limit,
        relatives=relatives,
        strangers=len(pids) - outsiders - relatives,
        outsiders=outsiders,
    )


def _own_pid(proc: Path) -> int:
    stat = read_stat("self", proc=str(proc))
    return stat.pid if stat else os.getpid()


def _ancestors(pid: int, parents: dict[int, int]) -> set[int]:
    """Return the process itself and all above it."""
    found: set[int] = set()
    while pid and pid not in found:
        found.add(pid)
        pid = parents.get(pid, 0)
    return found


def _make(position: Position, *, proc: Path) -> Cgroup | None:
    """Make a group for the build and try it with a process of ours; None, and nothing left behind, if that fails."""
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
    cgroup = Cgroup(made, kind=Kind.MADE)
    if not _can_join(cgroup.join_paths()):
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
    """Return, for each controller, the group below which one may be made; None if limits above would not hold in it."""
    own = position.limit_folders
    if not set(_MADE_V1) <= set(own):
        return None
    # Before Linux 5.11 a group could be set not to pass its limit on to those below: the build must not escape it.
    with contextlib.suppress(OSError):
        if position.has_own_limit and (own["memory"] / "memory.use_hierarchy").read_text().strip() == "0":
            return None
    return {controller: own[controller] for controller in _MADE_V1}


def _parents_v2(position: Position) -> dict[str, Path] | None:
    """Return the group above ours, if it was delegated to us: below a group with processes in it nothing is counted.

    None also if our own group has a limit, which a group beside it would escape.
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


_JOIN = 'for path; do echo 0 > "$path" || exit 1; done'


def _can_join(paths: list[Path]) -> bool:
    """Try to put a process of ours into the group: what is allowed depends on more than file modes."""
    command = ["/bin/sh", "-c", _JOIN, "sh", *map(str, paths)]
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _sweep(parents: set[Path], *, proc: Path) -> None:
    """Remove groups that dead agents left behind; one that still holds processes stays."""
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
