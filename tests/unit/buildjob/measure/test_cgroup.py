"""Which group is ours is decided by a table; where it lies, by `/proc/self/{cgroup,mountinfo}`."""

from pathlib import Path

import pytest

from buildjob.measure.cgroup_ownership import Membership, Ownership, ownership_of
from buildjob.measure.cgroup_position import folder_of, parse_memberships, parse_mounts

_CONTAINER = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("membership", "ownership"),
    [
        # the machine's own group counts everybody, also for a process in a pid namespace of its own
        (Membership(path="/", is_root=True, relatives=3), Ownership.NOT_OURS),
        (Membership(path="/", is_root=True, is_top=True, own_namespace=True, relatives=3), Ownership.NOT_OURS),
        # containers: Docker on v1, with a cgroup namespace, Kubernetes under containerd and CRI-O, with hostPID
        (Membership(path=f"/docker/{_CONTAINER}", own_namespace=True, relatives=2, strangers=4), Ownership.OURS),
        (Membership(path="/", is_top=True, own_namespace=True, relatives=2, strangers=1), Ownership.OURS),
        (Membership(path=f"/kubepods/burstable/pod1/{_CONTAINER}", own_namespace=True, strangers=1), Ownership.OURS),
        (Membership(path=f"/kubepods.slice/crio-{_CONTAINER}.scope", relatives=1, strangers=1), Ownership.OURS),
        # `unshare --pid` in somebody's session: the rest of the session cannot be named from within
        (Membership(path="/x", is_top=True, own_namespace=True, relatives=2, outsiders=1), Ownership.NOT_OURS),
        # a service and a login in a system container (LXC, nspawn), which has a namespace of its own
        (Membership(path="/system.slice/runner.service", own_namespace=True, relatives=2, strangers=9), Ownership.NOT_OURS),
        (Membership(path="/user.slice/session-1.scope", own_namespace=True, relatives=2), Ownership.NOT_OURS),
        # login sessions and the machine's slices, even if at this instant nobody else is in them
        (Membership(path="/user.slice/user-0.slice/session-3.scope", relatives=2), Ownership.NOT_OURS),
        (Membership(path="/user.slice/user-0.slice/session-3.scope", relatives=2, has_own_limit=True), Ownership.NOT_OURS),
        (Membership(path="/system.slice", relatives=2), Ownership.NOT_OURS),
        (Membership(path="/user.slice/user-0.slice/user@0.service", relatives=2), Ownership.NOT_OURS),
        (Membership(path="/init.scope", relatives=2), Ownership.NOT_OURS),
        # a group that somebody made for this job, with a limit; a service with strangers; one that may get some later
        (Membership(path="/farm/job-7", relatives=3, has_own_limit=True), Ownership.OURS),
        (Membership(path="/farm/job-7", relatives=3, strangers=1, has_own_limit=True), Ownership.NOT_OURS),
        (Membership(path="/system.slice/runner.service", relatives=2, strangers=1), Ownership.NOT_OURS),
        (Membership(path="/farm/job-7", relatives=3), Ownership.OURS_FOR_NOW),
    ],
)
def test_a_group_is_ours_only_if_it_is_this_jobs_alone(membership: Membership, ownership: Ownership) -> None:
    assert ownership_of(membership) is ownership


def test_memberships_name_every_controller() -> None:
    paths = parse_memberships("4:memory:/a:b\n3:cpu,cpuacct:/c\n1:name=systemd:/d\n0::/e\n")
    assert paths == {"memory": "/a:b", "cpu": "/c", "cpuacct": "/c", "name=systemd": "/d", "": "/e"}


def test_mounts_are_those_of_cgroup_file_systems() -> None:
    mounts = parse_mounts(
        "22 27 0:21 / /proc rw - proc proc rw\n"
        "35 31 0:32 /docker/a\\040b /sys/fs/cgroup/memory ro,relatime master:3 - cgroup cgroup rw,memory\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
        "not a mount\n"
    )
    assert [(mount.point, mount.root, mount.is_v2) for mount in mounts] == [
        (Path("/sys/fs/cgroup/memory"), "/docker/a b", False),
        (Path("/sys/fs/cgroup/unified"), "/", True),
    ]
    assert "memory" in mounts[0].controllers


@pytest.mark.parametrize(
    ("root", "path", "folder"),
    [
        ("/", "/a/b", "/m/a/b"),
        ("/", "/", "/m"),
        ("/docker/x", "/docker/x", "/m"),  # Docker on v1: the mount shows our group as its top
        ("/docker/x", "/docker/x/y", "/m/y"),
        ("/docker/x", "/docker/xy", None),
        ("/docker/x", "/", "/m"),  # the same, seen from a cgroup namespace
        ("/", "/../other", None),
        ("/../..", "/", None),  # `unshare --cgroup` without mounting anew
    ],
)
def test_a_group_is_found_below_its_mount(root: str, path: str, folder: str | None) -> None:
    line = f"35 31 0:32 {root} /m rw - cgroup cgroup rw,memory\n"
    found = folder_of(parse_mounts(line)[0], path)
    assert found == (Path(folder) if folder else None)
