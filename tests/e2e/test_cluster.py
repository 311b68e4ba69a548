"""The test cluster itself: a killed test run leaves nothing behind that the next start does not sweep."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.labs.checkout import ROOT
from tests.labs.cluster.cluster import HOMES, sweep
from tests.labs.cluster.lab import ClusterLab
from tests.labs.cluster.parts import SHIELDED_SYSCTLS
from tests.labs.waiting import wait_until


def sysctls() -> dict[str, str]:
    names = [*SHIELDED_SYSCTLS, "net/ipv4/ip_forward"]
    return {name: Path("/proc/sys", name).read_text() for name in names}


def traces(owner: int) -> list[str]:
    """Return what is left of a cluster: processes, control groups, mounts, files."""
    name = f"c{owner}"
    processes = [entry for entry in Path("/proc").glob("[0-9]*/cmdline") if f"{HOMES}/{name}/" in _read(entry)]
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if name in line.split()[4].split("/")]
    groups = list(Path("/sys/fs/cgroup").glob(f"*/{name}")) + list(Path("/sys/fs/cgroup").glob(name))
    return [str(found) for found in [*processes, *mounts, *groups, *HOMES.glob(name)]]


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


def test_a_killed_run_leaves_no_process_and_the_next_start_sweeps_the_rest(lab: ClusterLab) -> None:
    if lab.cluster is None:
        pytest.skip("the cluster is not ours")
    before = sysctls()
    argv = [sys.executable, "-m", "tests.labs.cluster.cluster"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, env=environment, cwd=ROOT) as other:
        wait_until((HOMES / f"c{other.pid}" / "log/apiserver.log").exists)
        assert any("/proc/" in found for found in traces(other.pid))
        other.kill()
    wait_until(lambda: not any("/proc/" in found for found in traces(other.pid)))
    sweep()
    assert traces(other.pid) == []
    assert sysctls() == before
