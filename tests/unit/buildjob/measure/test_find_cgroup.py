"""Finding the group on made-up machines: v2 hosts, containers, delegated groups, v1 as Docker shows it."""

import os
from pathlib import Path

import pytest

from buildjob.measure.cgroup import Kind, find_cgroup
from buildjob.measure.observer import machine

_OWN_PID_NAMESPACE = "pid:[4026532000]"
_FIRST_PID_NAMESPACE = "pid:[4026531836]"


class _Host:
    """A /proc with this process (number 500) and others, and a hierarchy mounted below `mount`."""

    def __init__(self, folder: Path, *, version: str = "v2") -> None:
        self.proc, self.mount = folder / "proc", folder / "cgroup"
        (self.proc / "self" / "ns").mkdir(parents=True)
        self.mount.mkdir()
        file_system, options = ("cgroup2", "rw") if version == "v2" else ("cgroup", "rw,memory,cpu,cpuacct")
        self._mount = f"41 31 0:38 {{root}} {self.mount} rw - {file_system} x {options}\n"
        self._line = "0::{path}\n" if version == "v2" else "4:memory,cpu,cpuacct:{path}\n"
        self.process(1, parent=0)
        self.process(400, parent=1)
        self.process(500, parent=400)
        self.process(600, parent=1)
        (self.proc / "self" / "stat").write_text((self.proc / "500" / "stat").read_text())

    def process(self, pid: int, *, parent: int) -> None:
        (self.proc / str(pid)).mkdir()
        fields = f"S {parent} 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 77 0 0 0"
        (self.proc / str(pid) / "stat").write_text(f"{pid} (x) {fields}\n")

    def stand(self, path: str, *, root: str = "/", pid_namespace: str = _FIRST_PID_NAMESPACE) -> None:
        (self.proc / "self" / "cgroup").write_text(self._line.format(path=path))
        (self.proc / "self" / "mountinfo").write_text(self._mount.format(root=root))
        (self.proc / "self" / "ns" / "pid").symlink_to(pid_namespace)

    def group(self, path: str, *, pids: tuple[int, ...] = (), **files: str) -> Path:
        folder = self.mount / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(text + "\n")
        return folder


@pytest.fixture
def host(tmp_path: Path) -> _Host:
    return _Host(tmp_path)


def test_a_containers_group_is_taken_as_it_is(host: _Host) -> None:
    host.stand("/", pid_namespace=_OWN_PID_NAMESPACE)
    folder = host.group("", pids=(1, 400, 500, 600), memory__current="5", memory__max="1000", cpu__max="150000 100000")
    cgroup = find_cgroup(proc=host.proc)
    assert cgroup is not None
    assert (cgroup.version, cgroup.kind, cgroup.position.memory_folder) == ("v2", Kind.CONTAINER, folder)
    assert cgroup.procs() == [1, 400, 500, 600]
    assert cgroup.join_paths() == []
    assert cgroup.remove()
    assert folder.exists()
    seen = machine(cgroup)
    assert (seen.cgroup, seen.memory_limit_bytes, seen.cpu_limit_cores) == ("v2", 1000, 1.5)


def test_the_root_group_of_a_host_is_nobodys_and_its_limits_are_none(host: _Host) -> None:
    host.stand("/")
    host.group("", pids=(1, 400, 500), cgroup__subtree_control="memory cpu")
    assert find_cgroup(proc=host.proc) is None
    seen = machine(None, proc=host.proc)
    assert (seen.cgroup, seen.memory_limit_bytes, seen.cpu_limit_cores) == ("none", None, None)


def test_limits_are_the_lowest_of_the_group_and_those_above(host: _Host) -> None:
    host.stand("/pods/pod1/build", pid_namespace=_OWN_PID_NAMESPACE)
    host.group("pods", memory__max="800", cpu__max="50000 100000")
    host.group("pods/pod1", memory__max="max", cpu__max="max 100000")
    host.group("pods/pod1/build", pids=(500,), memory__current="5", memory__max="900", cpu__max="200000 100000")
    cgroup = find_cgroup(proc=host.proc)
    assert cgroup is not None
    assert (cgroup.memory_limit_bytes, cgroup.cpu_limit_cores) == (800, 0.5)


def test_strangers_make_a_group_unfit_but_its_limits_still_hold(host: _Host) -> None:
    host.stand("/runner")
    host.group("runner", pids=(400, 500, 600), memory__current="5", memory__max="700")
    assert find_cgroup(proc=host.proc, may_make=False) is None
    assert machine(None, proc=host.proc).memory_limit_bytes == 700


def test_below_a_delegated_parent_a_group_is_made_beside_ours(host: _Host) -> None:
    host.stand("/user/app/shell")
    host.group("user/app", cgroup__subtree_control="cpu memory pids")
    host.group("user/app/shell", pids=(400, 500, 600), memory__current="5", memory__max="max")
    cgroup = find_cgroup(proc=host.proc)
    assert cgroup is not None
    made = host.mount / "user/app" / f"spack-farm-{os.getpid()}"
    assert (cgroup.kind, cgroup.position.memory_folder) == (Kind.MADE, made)
    assert cgroup.join_paths() == [made / "cgroup.procs"]
    # where a real group would have moved it, an ordinary file keeps what the trial process wrote
    assert (made / "cgroup.procs").read_text() == "0\n"


@pytest.mark.parametrize(
    ("controllers", "files"),
    [
        ("pids", {}),  # the parent hands down no memory controller
        ("cpu memory", {"memory__max": "700"}),  # beside ours the build would escape our limit
        ("cpu memory", {"cpu__max": "50000 100000"}),
    ],
)
def test_no_group_is_made_where_it_would_not_count_or_not_be_limited(
    host: _Host, controllers: str, files: dict[str, str]
) -> None:
    host.stand("/user/app/shell")
    host.group("user/app", cgroup__subtree_control=controllers)
    host.group("user/app/shell", pids=(400, 500, 600), memory__current="5", **files)
    assert find_cgroup(proc=host.proc) is None


def test_a_group_with_relatives_only_is_used_where_none_can_be_made(host: _Host) -> None:
    host.stand("/job")
    host.group("job", pids=(400, 500), memory__current="5")
    cgroup = find_cgroup(proc=host.proc)
    assert cgroup is not None
    assert cgroup.kind is Kind.CONTAINER


def test_a_group_without_the_memory_controller_is_none(host: _Host) -> None:
    host.stand("/job", pid_namespace=_OWN_PID_NAMESPACE)
    host.group("job", pids=(500,))
    assert find_cgroup(proc=host.proc) is None


def test_processes_of_another_namespace_make_a_group_unfit(host: _Host) -> None:
    host.stand("/job", pid_namespace=_OWN_PID_NAMESPACE)
    host.group("job", pids=(0, 500), memory__current="5")
    assert find_cgroup(proc=host.proc, may_make=False) is None


def test_docker_on_v1_shows_the_containers_group_as_the_top(tmp_path: Path) -> None:
    host = _Host(tmp_path, version="v1")
    name = "/docker/" + "ab" * 32
    host.stand(name, root=name, pid_namespace=_OWN_PID_NAMESPACE)
    host.group(
        "",
        pids=(1, 500, 600),
        memory__limit_in_bytes="5000",
        memory__stat="cache 0\nhierarchical_memory_limit 4000",
        cpu__cfs_quota_us="250000",
        cpu__cfs_period_us="100000",
    )
    cgroup = find_cgroup(proc=host.proc)
    assert cgroup is not None
    assert (cgroup.version, cgroup.kind, cgroup.position.memory_folder) == ("v1", Kind.CONTAINER, host.mount)
    assert (cgroup.memory_limit_bytes, cgroup.cpu_limit_cores) == (4000, 2.5)


def test_v1_without_limits_says_so(tmp_path: Path) -> None:
    host = _Host(tmp_path, version="v1")
    host.stand("/", root="/docker/x", pid_namespace=_OWN_PID_NAMESPACE)
    host.group(
        "",
        pids=(500,),
        memory__limit_in_bytes="9223372036854771712",
        memory__stat="hierarchical_memory_limit 9223372036854771712",
        cpu__cfs_quota_us="-1",
        cpu__cfs_period_us="100000",
    )
    cgroup = find_cgroup(proc=host.proc)
    assert cgroup is not None
    assert (cgroup.memory_limit_bytes, cgroup.cpu_limit_cores) == (None, None)


def test_v1_groups_are_not_made_below_one_that_does_not_pass_its_limit_on(tmp_path: Path) -> None:
    host = _Host(tmp_path, version="v1")
    host.stand("/job")
    folder = host.group("job", pids=(500, 600), memory__limit_in_bytes="5000", memory__use_hierarchy="0")
    assert find_cgroup(proc=host.proc) is None
    (folder / "memory.use_hierarchy").write_text("1\n")
    cgroup = find_cgroup(proc=host.proc)
    assert cgroup is not None
    assert cgroup.position.memory_folder.parent == folder


def test_a_machine_without_groups_has_none(tmp_path: Path) -> None:
    assert find_cgroup(proc=tmp_path) is None
