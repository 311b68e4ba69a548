"""`--memory`: a build at home is killed as a pod of that size would be, or the call says why it can't have such a limit."""

import subprocess
import sys
from pathlib import Path

import pytest

from buildjob.agent.run import limit_memory
from buildjob.errors import RequestError
from buildjob.measure.cgroup import Kind, find_cgroup
from buildjob.telemetry import read
from tests.labs.checkout import ROOT

EATER = "block = bytes([1]) * (1 << 28); print(len(block))"


def build(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(ROOT / "spack_farm/__main__.py"), "build", "--name", "eater", "--version", "1", *words]
    return subprocess.run(
        [*argv, "--out", str(folder), "--command", f"{sys.executable} -c '{EATER}'"],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


def test_a_build_that_takes_more_is_killed_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    with find_cgroup() or pytest.skip("no cgroup for a build here") as cgroup:
        if cgroup.kind is not Kind.MADE:
            pytest.skip("the cgroup here is not the build's own")
    done = build(tmp_path, "--memory", "64Mi")
    assert done.returncode == 137, done.stdout + done.stderr
    document = read(tmp_path / "eater-1/telemetry.json")
    assert document.machine.memory_limit_bytes == 64 << 20
    (kill,) = document.memory_kills
    assert kill.limit_bytes == 64 << 20
    assert build(tmp_path, "--memory", "1Gi").returncode == 0


def test_without_a_cgroup_of_its_own_the_call_says_what_to_use_instead() -> None:
    with pytest.raises(RequestError, match=r"systemd-run --user --scope -p MemoryMax=67108864"):
        limit_memory(None, 64 << 20)
