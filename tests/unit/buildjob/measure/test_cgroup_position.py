"""Where a cgroup lies is read from `/proc/self/{cgroup,mountinfo}`."""

from pathlib import Path

import pytest

from buildjob.measure.cgroup_position import folder_of, parse_memberships, parse_mounts


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
        ("/docker/x", "/docker/x", "/m"),  # Docker on v1: the mount shows our cgroup as its top
        ("/docker/x", "/docker/x/y", "/m/y"),
        ("/docker/x", "/docker/xy", None),
        ("/docker/x", "/", "/m"),  # the same, seen from a cgroup namespace
        ("/", "/../other", None),
        ("/../..", "/", None),  # `unshare --cgroup` without mounting anew
    ],
)
def test_a_cgroup_is_found_below_its_mount(root: str, path: str, folder: str | None) -> None:
    line = f"35 31 0:32 {root} /m rw - cgroup cgroup rw,memory\n"
    found = folder_of(parse_mounts(line)[0], path)
    assert found == (Path(folder) if folder else None)
