"""What measuring reads of a real machine: disk use as du(1) counts, a trial that joins a cgroup, a program that starts."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from buildjob import telemetry
from buildjob.measure.cgroup import Kind, find_cgroup
from buildjob.measure.disk_use import DiskUse
from tests.labs.made_up_host import Host


def test_a_folder_takes_what_du_says(tmp_path: Path) -> None:
    for number in range(200):
        below = tmp_path / str(number % 7) / str(number % 3)
        below.mkdir(parents=True, exist_ok=True)
        (below / f"{number}.o").write_bytes(b"x" * number * 100)
    os.link(tmp_path / "0" / "0" / "0.o", tmp_path / "again.o")
    os.link(tmp_path / "3" / "1" / "199.o", tmp_path / "again-199.o")
    (tmp_path / "loop").symlink_to(tmp_path)
    use = DiskUse((tmp_path,))
    while not use.step(0.01):
        pass
    done = subprocess.run(["du", "-s", "-B1", tmp_path], capture_output=True, text=True, check=True)
    own = tmp_path.stat().st_blocks * 512  # du counts the top folder itself
    assert use.peak_bytes == int(done.stdout.split()[0]) - own


def test_below_a_delegated_parent_a_cgroup_is_made_beside_ours(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.stand("/user/app/shell")
    host.group("user/app", cgroup__subtree_control="cpu memory pids")
    host.group("user/app/shell", pids=(400, 500, 600), memory__current="5", memory__max="max")
    cgroup = find_cgroup(proc=host.proc)
    assert cgroup is not None
    made = host.mount / "user/app" / f"spack-farm-{os.getpid()}"
    assert (cgroup.kind, cgroup.position.memory_folder) == (Kind.MADE, made)
    assert f"echo 0 > {made}/cgroup.procs; exec" in cgroup.joined_by(["make"])[2]
    # where a real cgroup would have moved it, an ordinary file keeps what the trial process wrote
    assert (made / "cgroup.procs").read_text() == "0\n"


def test_v1_cgroups_are_not_made_below_one_that_does_not_pass_its_limit_on(tmp_path: Path) -> None:
    host = Host(tmp_path, version="v1")
    host.stand("/job")
    folder = host.group("job", pids=(500, 600), memory__limit_in_bytes="5000", memory__use_hierarchy="0")
    assert find_cgroup(proc=host.proc) is None
    (folder / "memory.use_hierarchy").write_text("1\n")
    cgroup = find_cgroup(proc=host.proc)
    assert cgroup is not None
    assert cgroup.position.memory_folder.parent == folder


# Without a cgroup, and with half a second between fork and exec.
_SLOW_START = """
import functools, subprocess, sys, time
from buildjob.agent import run
from buildjob.cli.build import main
run.find_cgroup = lambda: None
subprocess.Popen = functools.partial(subprocess.Popen, preexec_fn=lambda: time.sleep(0.5))
sys.exit(main())
"""


def test_until_it_runs_its_own_program_a_process_is_not_the_builds(tmp_path: Path) -> None:
    """It is a copy of the agent: 16 MiB in the table of processes, and in the peak where there is no cgroup."""
    words = ["--command", "sleep 0.2", "--name", "x", "--version", "1", "--out", str(tmp_path)]
    checkout = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", _SLOW_START, *words], cwd=checkout, capture_output=True, check=True)
    document = json.loads((tmp_path / "x-1" / "telemetry.json").read_text())
    assert document["totals"]["memory_is_estimate"]
    assert {process["command"] for process in document["top_processes"]} <= {"sh", "sleep"}
    assert [phase["name"] for phase in document["phases"]] == ["command"]
    assert (document["totals"]["memory_anonymous_peak_bytes"] or 0) < 8 << 20


# 200 MiB, then eight copies of the process, each of which writes 10 MiB of its own.
_FORKS = """
import os, time
def filled(mebibytes):
    memory = bytearray(mebibytes << 20)
    for at in range(0, len(memory), 4096):
        memory[at] = 1
    return memory
memory, children = filled(200), []
for _ in range(8):
    children.append(os.fork())
    if not children[-1]:
        own = filled(10)
        time.sleep(4)
        os._exit(0)
for child in children:
    os.waitpid(child, 0)
"""
_WITHOUT_CGROUP = """
import sys
from buildjob.agent import run
from buildjob.cli.build import main
run.find_cgroup = lambda: None
sys.exit(main())
"""


def test_a_process_that_forks_is_not_counted_once_for_each_copy(tmp_path: Path) -> None:
    """Without a cgroup memory is a sum over processes; all pages of a copy are those of the process that was copied."""
    (tmp_path / "forks.py").write_text(_FORKS)
    words = ["--command", f"{sys.executable} -S forks.py", "--name", "x", "--version", "1", "--out", str(tmp_path / "out")]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-c", _WITHOUT_CGROUP, *words], cwd=tmp_path, env=environment, check=True, capture_output=True
    )
    document = telemetry.read(tmp_path / "out" / "x-1" / "telemetry.json")
    assert document.totals.memory_is_estimate
    # where copies begin or end while the processes are read one by one, a part is that of another moment: such a sample
    # may be too large, and on a busy machine one often is
    most = max(filter(None, document.samples.processes))
    all_there = [row.memory_bytes or 0 for row in document.samples.rows() if row.processes == most]
    # an interpreter takes some MiB, and each copy some of its own
    assert 280 <= statistics.median(all_there) / 2**20 <= 1.03 * (280 + 16)
    assert 0 < (document.totals.memory_anonymous_peak_bytes or 0) < 9 * 210 / 2 * 2**20
