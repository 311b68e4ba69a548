"""Whether our own cgroup counts only this job: who is in it, and a pure table that decides.

Source: cgroups(7), namespaces(7); the names that container runtimes, systemd and login managers give to cgroups.
"""

import enum
import functools
import os
import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from buildjob.measure.cgroup_position import Position, read_members


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of our own cgroup and of who else is in it."""

    path: str
    """As in `/proc/self/cgroup`."""
    is_root: bool = False
    """The machine's root cgroup."""
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


class Ownership(enum.StrEnum):
    """What our own cgroup counts."""

    OURS = "ours"
    """This job alone."""
    OURS_FOR_NOW = "ours_for_now"
    """Only relatives are in it, but others may join."""
    NOT_OURS = "not_ours"


_RUNTIME_NAME = re.compile(r"[0-9a-f]{64}")
_PARENT = re.compile(rb"^PPid:\s+(\d+)$", re.MULTILINE)
_LOGIN_OR_MACHINE = re.compile(r"session-.*\.scope|user@.*\.service|.*\.slice|init\.scope")


def ownership_of(membership: Membership) -> Ownership:
    """Return whether our own cgroup is dedicated to this job. Pure; the rows are in order, the first that fits decides."""
    name = membership.path.rstrip("/").rpartition("/")[2]
    if membership.is_root or membership.outsiders or _LOGIN_OR_MACHINE.fullmatch(name):
        return Ownership.NOT_OURS
    # Container runtimes name cgroups by the container's 64 hexadecimal digits: docker/…, cri-containerd-….scope, kubepods/….
    # Otherwise a container's own cgroup is the top of what it sees; below it, in a system container, come services.
    if _RUNTIME_NAME.search(name) or (membership.own_namespace and membership.is_top):
        return Ownership.OURS
    if membership.strangers:
        return Ownership.NOT_OURS
    return Ownership.OURS if membership.has_own_limit else Ownership.OURS_FOR_NOW


def read_membership(position: Position, *, proc: Path) -> Membership:
    """Return who is in our own cgroup, as far as `/proc` shows it. Only its members and their ancestors are read."""
    parent = functools.cache(functools.partial(_parent, proc=proc))
    me = _own_pid(proc)
    ancestors = _ancestors(me, parent)
    # Every process of the host is in the machine's root cgroup: nothing is learned from them.
    # A process that /proc does not show any more has ended since; 0 stands for one that our namespace cannot name.
    pids = [] if position.is_root else [pid for pid in read_members(position) if pid == 0 or parent(pid) is not None]
    relatives = sum(pid in ancestors or me in _ancestors(pid, parent) for pid in pids if pid)
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
    """Return our pid as `/proc` has it: that of another namespace if it was mounted there."""
    try:
        return int(str((proc / "self").readlink()))
    except (OSError, ValueError):
        return os.getpid()


def _parent(pid: int, *, proc: Path) -> int | None:
    """Return a process's parent, 0 if none can be seen from here; None if the process no longer exists.

    Without psutil: `spack-farm doctor` and `paths` name the cgroup also where the agent's extra is not installed.
    """
    try:
        found = _PARENT.search((proc / str(pid) / "status").read_bytes())
    except OSError:
        return None
    return int(found[1]) if found else None


def _ancestors(pid: int, parent: Callable[[int], int | None]) -> set[int]:
    """Return the process itself and all above it."""
    found: set[int] = set()
    above: int | None = pid
    while above and above not in found:
        found.add(above)
        above = parent(above)
    return found
