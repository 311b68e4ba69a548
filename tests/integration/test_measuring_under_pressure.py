"""An agent in one cgroup with a build that thrashes the page cache at its memory limit; an agent that is suspended."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.labs.waiting import wait_until

_CHECKOUT = Path(__file__).parents[2]
_MIB = 1 << 20
_ROOT = Path("/sys/fs/cgroup")

# Many processes make each walk dear, growing memory calls for walks; then a file larger than the rest is read over and over.
_THRASH = """
import subprocess, sys, time
idle = [subprocess.Popen(["sleep", "600"]) for _ in range(120)]
held, block, end = [], bytearray(4 << 20), time.monotonic() + 4.5
with open(sys.argv[1], "rb", buffering=0) as file:
    while time.monotonic() < end:
        if len(held) < 25:
            held.append(b"x" * (4 << 20))
            time.sleep(0.1)
        elif not file.readinto(block):
            file.seek(0)
for process in idle:
    process.kill()
    process.wait()
"""


@contextlib.contextmanager
def _cgroup(*folders: Path) -> Iterator[list[Path]]:
    """Make a cgroup with a limit of 240 MiB and no process in it: one folder for each hierarchy, that of memory first."""
    made: list[Path] = []
    try:
        for folder in folders:
            if not (folder.parent / "cgroup.procs").exists():
                pytest.skip(f"needs the cgroup hierarchy {folder.parent}")
            try:
                folder.mkdir()
            except OSError as error:
                pytest.skip(f"no cgroup can be made here: {error}")
            made.append(folder)
        limits = [folders[0] / name for name in ("memory.limit_in_bytes", "memory.max")]
        if not any(limit.exists() for limit in limits):
            pytest.skip(f"needs a memory controller in {folders[0].parent}")
        next(limit for limit in limits if limit.exists()).write_text(str(240 * _MIB))
        yield made
    finally:
        for folder in made:
            folder.rmdir()


def _start(cgroup: list[Path], out: Path, command: str) -> subprocess.Popen[bytes]:
    """Start an agent in the cgroup."""
    joins = "".join(f"echo 0 > {folder}/cgroup.procs; " for folder in cgroup)
    agent = [sys.executable, "-m", "buildjob", "--command", command, "--name", "x", "--version", "1", "--out", str(out)]
    return subprocess.Popen(
        ["sh", "-c", f'{joins}exec "$@"', "sh", *agent],
        cwd=_CHECKOUT,
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _ended(agent: subprocess.Popen[bytes], out: Path) -> tuple[dict[str, Any], str]:
    """Return what a good run left: its document and what it printed."""
    text, _ = agent.communicate(timeout=300)
    assert agent.returncode == 0, text.decode()
    document = json.loads((out / "x-1" / "telemetry.json").read_text())
    assert isinstance(document, dict)
    return document, text.decode()


@pytest.mark.cgroup
@pytest.mark.parametrize("hierarchies", [("memory",), ("memory", "cpuacct"), ("unified",), (".",)], ids="+".join)
def test_at_the_limit_the_memory_has_its_sample_each_second(hierarchies: tuple[str, ...], tmp_path: Path) -> None:
    """Without cpuacct only walks can measure CPU time: their cost held the memory up for half a minute."""
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(500 * _MIB)
    (tmp_path / "thrash.py").write_text(_THRASH)
    name = f"spack-farm-test-{os.getpid()}"
    command = f"{sys.executable} {tmp_path}/thrash.py {big}"
    folders = [_ROOT / hierarchy / name for hierarchy in hierarchies]
    with _cgroup(*folders) as cgroup, _start(cgroup, tmp_path / "out", command) as agent:
        document, _ = _ended(agent, tmp_path / "out")
    samples, totals = document["samples"], document["totals"]
    known = [size for size in samples["memory_bytes"] if size is not None]
    assert len(known) >= 0.9 * totals["wall_seconds"]
    assert (samples["holes"], document["memory_kills"]) == (0, [])
    assert totals["memory_peak_bytes"] >= 235 * _MIB  # it was at its limit
    assert totals["memory_anonymous_peak_bytes"] >= 100 * _MIB
    assert any(cores is not None for cores in samples["cpu_cores"])
    assert not totals["memory_is_estimate"]


def test_while_the_agent_is_suspended_there_is_a_hole_that_is_counted_drawn_and_told(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with _start([], tmp_path / "out", f"sleep 1; : > {begun}; sleep 5") as agent:
        wait_until(begun.exists, seconds=60)
        agent.send_signal(signal.SIGSTOP)
        time.sleep(4.2)
        agent.send_signal(signal.SIGCONT)
        document, printed = _ended(agent, tmp_path / "out")
    samples = document["samples"]
    assert samples["holes"] == 1
    assert 3 < samples["hole_seconds"] <= document["totals"]["wall_seconds"]
    assert max(samples["late_seconds"]) > 3
    page = (tmp_path / "out" / "x-1" / "report.html").read_text()
    assert ", not known for " in page
    assert re.search(r"the memory was not read for \d+ s in 1 hole", printed)
    line = page.partition('class="line memory"')[0].rpartition('d="')[2]
    assert line.count("M") == 2


_LOCK = """
from buildjob.measure.resident_code import keep_code_resident
print(keep_code_resident(), *(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmLck")))
"""


def test_our_code_is_locked_in_memory_where_that_is_allowed() -> None:
    allowed = _locked()
    assert allowed[0] in {"True", "False"}
    if allowed[0] == "False":
        pytest.skip("RLIMIT_MEMLOCK is too low here")
    assert int(allowed[1]) >= 2048


def test_where_it_is_not_allowed_nothing_breaks() -> None:
    if shutil.which("setpriv") is None or os.geteuid() != 0:
        pytest.skip("needs root and setpriv to be without CAP_IPC_LOCK")
    is_locked, kib = _locked("sh", "-c", 'ulimit -l 64; exec setpriv --bounding-set=-ipc_lock "$@"', "sh")
    assert is_locked == "False"
    assert int(kib) <= 64


def _locked(*prefix: str) -> list[str]:
    command = [*prefix, sys.executable, "-c", _LOCK]
    done = subprocess.run(command, cwd=_CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()
