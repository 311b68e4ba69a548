"""Whether our own cgroup counts only this job: who is in it, and a pure table that decides.

Source: cgroups(7), namespaces(7); the names that container runtimes, systemd and login managers give to cgroups.
"""

import enum
import os
import re
from pathlib import Path

import msgspec

from buildjob.measure.cgroup_position import Position, read_members
from buildjob.measure.procfs import read_pids, read_stat


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
    """Return who is in our own cgroup, as far as `/proc` shows it."""
    parents: dict[int, int] = {}
    for pid in read_pids(proc=str(proc)):
        stat = read_stat(pid, proc=str(proc))
        if stat:
            parents[stat.pid] = stat.parent
    me = _own_pid(proc)
    ancestors = _ancestors(me, parents)
    # A process that /proc does not show any more has ended since; 0 stands for one that our namespace cannot name.
    pids = [pid for pid in read_members(position) if pid == 0 or pid in parents]
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
