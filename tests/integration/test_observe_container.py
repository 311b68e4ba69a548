"""An agent in a cgroup that was made for its job, as in a container: it measures there and makes none of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_CHECKOUT = Path(__file__).parents[2]
_MIB = 1 << 20
_ROOT = Path("/sys/fs/cgroup")

# The agent uses memory and CPU of its own; the build uses other amounts. Its figures go to stdout.
_AGENT = """
import json, os, subprocess, sys, time
import msgspec
from buildjob.measure.observer import Observer, find_cgroup, machine
ballast = bytearray(60 << 20)
for place in range(0, len(ballast), 4096): ballast[place] = 1
cgroup = find_cgroup()
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
build = '''
import sys, time
block = bytearray(int(sys.argv[1]) << 20)
for place in range(0, len(block), 4096): block[place] = 1
end = time.process_time() + 0.5
while time.process_time() < end: pass
'''
with Observer(cgroup=cgroup, interval_seconds=0.1) as observer:
    command = [sys.executable, "-c", build, sys.argv[1]]
    child = subprocess.Popen(cgroup.joined_by(command), start_new_session=True)
    observer.watch(child.pid)
    burn(0.4)
    _, status, usage = os.wait4(child.pid, 0)
    result = observer.stop()
child_seconds = usage.ru_utime + usage.ru_stime
print(json.dumps({
    "kind": cgroup.kind,
    "joined": cgroup.joined_by(command) != command,
    "below": sum(1 for path in cgroup.position.memory_folder.iterdir() if path.is_dir()),
    "child_seconds": child_seconds,
    "machine": msgspec.to_builtins(machine(cgroup)),
    "totals": msgspec.to_builtins(result.totals),
    "notes": observer.notes(),
}))
"""


@pytest.fixture
def cgroup() -> Iterator[dict[str, Path]]:
    """A cgroup with a limit and no process in it, at the same path for memory and CPU, as container runtimes make them."""
    name = f"spack-farm-test-{os.getpid()}"
    folders = {controller: _ROOT / controller / name for controller in ("memory", "cpuacct")}
    made = []
    try:
        for folder in folders.values():
            if not folder.parent.joinpath("cgroup.procs").exists():
                pytest.skip("no v1 cgroups here")
            try:
                folder.mkdir()
            except OSError:
                pytest.skip("no cgroup can be made here")
            made.append(folder)
        (folders["memory"] / "memory.limit_in_bytes").write_text(str(1000 * _MIB))
        yield folders
    finally:
        for folder in made:
            folder.rmdir()


def _run_agent(cgroup: dict[str, Path], mib: int, *prefix: str) -> dict[str, Any]:
    procs = [str(folder / "cgroup.procs") for folder in cgroup.values()]
    join = 'for path; do echo 0 > "$path"; done; exec "$PYTHON" -c "$AGENT" "$MIB"'
    done = subprocess.run(
        [*prefix, "sh", "-c", join, "sh", *procs],
        env={"PATH": os.environ["PATH"], "PYTHON": sys.executable, "AGENT": _AGENT, "MIB": str(mib)},
        cwd=_CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.mark.cgroup
def test_in_a_cgroup_of_its_own_the_agent_measures_the_build_without_itself(cgroup: dict[str, Path]) -> None:
    found = _run_agent(cgroup, 200)
    totals = found["totals"]
    assert (found["kind"], found["joined"], found["below"], found["notes"]) == ("container", False, 0, [])
    assert found["machine"]["memory_limit_bytes"] == 1000 * _MIB
    # Python itself takes some MiB besides the 200
    assert 200 * _MIB <= totals["memory_anonymous_peak_bytes"] <= 214 * _MIB
    # from the high-water mark the agent cannot be subtracted
    assert totals["memory_peak_bytes"] >= 260 * _MIB
    assert totals["cpu_seconds"] == pytest.approx(found["child_seconds"], rel=0.05)
    assert not totals["memory_peak_is_upper_bound"]


@pytest.mark.cgroup
def test_a_high_water_mark_set_before_the_build_is_called_an_upper_bound(cgroup: dict[str, Path]) -> None:
    """A container sees its cgroup's files read-only: it cannot reset the high-water mark."""
    procs = cgroup["memory"] / "cgroup.procs"
    earlier = f"echo 0 > {procs}; exec {sys.executable} -c 'b\"x\" * (400 << 20)'"
    subprocess.run(["sh", "-c", earlier], check=True)
    mount = f"mount --bind {cgroup['memory']} {cgroup['memory']} && mount -o remount,bind,ro {cgroup['memory']}"
    probe = subprocess.run(["unshare", "--mount", "sh", "-c", mount], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("no mount namespace can be made here")
    # the shell joins the cgroup before its files become read-only
    prefix = ["unshare", "--mount", "sh", "-c", f'echo 0 > {procs} && {mount} && exec "$@"', "sh"]
    totals = _run_agent({"cpuacct": cgroup["cpuacct"]}, 50, *prefix)["totals"]
    assert totals["memory_peak_is_upper_bound"]
    assert totals["memory_peak_bytes"] >= 400 * _MIB
    assert totals["memory_anonymous_peak_bytes"] <= 70 * _MIB
    risen = _run_agent({"cpuacct": cgroup["cpuacct"]}, 500, *prefix)["totals"]
    assert not risen["memory_peak_is_upper_bound"]
