"""Finding the cgroup on made-up machines: v2 hosts, containers, delegated cgroups, v1 as Docker shows it."""

from pathlib import Path

import pytest

from buildjob.measure.cgroup import Cgroup, Kind, find_cgroup
from buildjob.measure.observer import machine
from tests.labs.made_up_host import OWN_PID_NAMESPACE, Host


def _limits(cgroup: Cgroup) -> tuple[int | None, float | None]:
    found = machine(cgroup)
    assert found.memory_limit_bytes == cgroup.memory_limit_bytes
    return found.memory_limit_bytes, found.cpu_limit_cores


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_containers_cgroup_is_taken_as_it_is(host: Host) -> None:
    host.stand("/", pid_namespace=OWN_PID_NAMESPACE)
    folder = host.group("", pids=(1, 400, 500, 600), memory__current="5", memory__max="1000", cpu__max="150000 100000")
    cgroup = find_cgroup(proc=host.proc)
    assert cgroup is not None
    assert (cgroup.version, cgroup.kind, cgroup.position.memory_folder) == ("v2", Kind.CONTAINER, folder)
    assert cgroup.members() == [1, 400, 500, 600]
    assert cgroup.joined_by(["make"]) == ["make"]
    assert cgroup.remove()
    assert folder.exists()
    seen = machine(cgroup)
    assert (seen.cgroup, seen.memory_limit_bytes, seen.cpu_limit_cores) == ("v2", 1000, 1.5)


def test_the_root_cgroup_of_a_host_is_not_ours_and_has_no_limits(host: Host) -> None:
    host.stand("/")
    host.group("", pids=(1, 400, 500), cgroup__subtree_control="memory cpu")
    assert find_cgroup(proc=host.proc) is None
    seen = machine(None, proc=host.proc)
    assert (seen.cgroup, seen.memory_limit_bytes, seen.cpu_limit_cores) == ("none", None, None)


def test_limits_are_the_lowest_of_the_cgroup_and_those_above(host: Host) -> None:
    host.stand("/pods/pod1/build", pid_namespace=OWN_PID_NAMESPACE)
    host.group("pods", memory__max="800", cpu__max="50000 100000")
    host.group("pods/pod1", memory__max="max", cpu__max="max 100000")
    host.group("pods/pod1/build", pids=(500,), memory__current="5", memory__max="900", cpu__max="200000 100000")
    cgroup = find_cgroup(proc=host.proc)
    assert cgroup is not None
    assert _limits(cgroup) == (800, 0.5)


def test_strangers_make_a_cgroup_unfit_but_its_limits_still_hold(host: Host) -> None:
    host.stand("/runner")
    host.group("runner", pids=(400, 500, 600), memory__current="5", memory__max="700")
    assert find_cgroup(proc=host.proc) is None
    assert machine(None, proc=host.proc).memory_limit_bytes == 700


@pytest.mark.parametrize(
    ("controllers", "files"),
    [
        ("pids", {}),  # the parent hands down no memory controller
        ("cpu memory", {"memory__max": "700"}),  # beside ours the build would escape our limit
        ("cpu memory", {"cpu__max": "50000 100000"}),
    ],
)
def test_no_cgroup_is_made_where_it_would_not_count_or_not_be_limited(
    host: Host, controllers: str, files: dict[str, str]
) -> None:
    host.stand("/user/app/shell")
    host.group("user/app", cgroup__subtree_control=controllers)
    host.group("user/app/shell", pids=(400, 500, 600), memory__current="5", **files)
    assert find_cgroup(proc=host.proc) is None


def test_a_cgroup_with_relatives_only_is_used_where_none_can_be_made(host: Host) -> None:
    host.stand("/job")
    host.group("job", pids=(400, 500), memory__current="5")
    cgroup = find_cgroup(proc=host.proc)
    assert cgroup is not None
    assert cgroup.kind is Kind.CONTAINER


def test_a_cgroup_without_the_memory_controller_is_none(host: Host) -> None:
    host.stand("/job", pid_namespace=OWN_PID_NAMESPACE)
    host.group("job", pids=(500,))
    assert find_cgroup(proc=host.proc) is None


def test_processes_of_another_namespace_make_a_cgroup_unfit(host: Host) -> None:
    host.stand("/job", pid_namespace=OWN_PID_NAMESPACE)
    host.group("job", pids=(0, 500), memory__current="5")
    assert find_cgroup(proc=host.proc) is None


def test_docker_on_v1_shows_the_containers_cgroup_as_the_top(tmp_path: Path) -> None:
    host = Host(tmp_path, version="v1")
    name = "/docker/" + "ab" * 32
    host.stand(name, root=name, pid_namespace=OWN_PID_NAMESPACE)
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
    assert _limits(cgroup) == (4000, 2.5)


def test_v1_without_limits_says_so(tmp_path: Path) -> None:
    host = Host(tmp_path, version="v1")
    host.stand("/", root="/docker/x", pid_namespace=OWN_PID_NAMESPACE)
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
    assert _limits(cgroup) == (None, None)


def test_a_machine_without_cgroups_has_none(tmp_path: Path) -> None:
    assert find_cgroup(proc=tmp_path) is None


def test_a_controller_that_is_not_mounted_has_no_limit(tmp_path: Path) -> None:
    host = Host(tmp_path, version="v1")
    host.stand("/", root="/docker/x", pid_namespace=OWN_PID_NAMESPACE)
    host.group("", pids=(500,), memory__limit_in_bytes="5000", memory__stat="hierarchical_memory_limit 5000")
    mounts = host.proc / "self" / "mountinfo"
    mounts.write_text(mounts.read_text().replace(",cpu,cpuacct", ""))
    cgroup = find_cgroup(proc=host.proc)
    assert cgroup is not None
    assert _limits(cgroup) == (5000, None)


def test_a_controller_whose_path_differs_gives_its_limit_but_no_figures(tmp_path: Path) -> None:
    host = Host(tmp_path, version="v1")
    host.stand("/", root="/", pid_namespace=OWN_PID_NAMESPACE)
    name = "/docker/" + "ab" * 32
    host.group(name.lstrip("/"), pids=(500,), memory__limit_in_bytes="5000", memory__stat="hierarchical_memory_limit 5000")
    host.group("elsewhere", cpu__cfs_quota_us="300000", cpu__cfs_period_us="100000")
    (host.proc / "self" / "cgroup").write_text(f"4:memory,cpuacct:{name}\n3:cpu:/elsewhere\n")
    cgroup = find_cgroup(proc=host.proc)
    assert cgroup is not None
    assert "cpu" not in cgroup.position.folders
    assert _limits(cgroup) == (5000, 3.0)
