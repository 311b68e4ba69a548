"""Real builds in real groups: what is measured is what was used."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildjob.measure.cgroup import Kind
from buildjob.measure.cgroup_counters import Counters
from buildjob.measure.observer import Cgroup, Observation, Observer, find_cgroup, machine
from tests.labs.waiting import wait_until

_MIB = 1 << 20
_DATA = Path(__file__).parents[1] / "data" / "observe"

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")


@pytest.fixture(scope="module")
def hog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler here")
    program = tmp_path_factory.mktemp("hog") / "hog"
    subprocess.run(["cc", "-O1", "-o", program, _DATA / "hog.c"], check=True)
    return program


@pytest.fixture
def cgroup() -> Iterator[Cgroup]:
    found = find_cgroup()
    if found is None or found.kind is not Kind.MADE:
        pytest.skip("no cgroup can be made here")
    with found:
        yield found
        for pid in found.members():
            os.kill(pid, signal.SIGKILL)
    assert not found.position.memory_folder.exists()


class _Marks:
    """Waits until a phase has begun, that is, until the counters were read at its mark."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._newest: Observation | None = None

    def take(self, observation: Observation) -> None:
        with self._changed:
            self._newest = observation
            self._changed.notify_all()

    def wait_for(self, phase: str) -> Observation:
        with self._changed:
            assert self._changed.wait_for(lambda: self._has(phase), timeout=60)
            assert self._newest
            return self._newest

    def _has(self, phase: str) -> bool:
        return self._newest is not None and phase in [known.name for known in self._newest.phases]


def _start(command: list[str | Path], cgroup: Cgroup | None) -> subprocess.Popen[bytes]:
    argv = [str(argument) for argument in command]
    return subprocess.Popen(
        cgroup.joined_by(argv) if cgroup else argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )


def _hold(hog: Path, cgroup: Cgroup | None, *, mib: int, file_mib: int, file: Path) -> tuple[Observation, Observation]:
    """Run the hog; return what was seen while it held its memory, and the end result."""
    marks = _Marks()
    with Observer(cgroup=cgroup, checkpoint=marks.take) as observer:
        child = _start([hog, str(mib), str(file_mib), file], cgroup)
        observer.watch(child.pid)
        assert child.stdout
        assert child.stdout.readline() == b"held\n"
        observer.begin_phase("held")
        held = marks.wait_for("held")
        child.communicate()
        return held, observer.stop()


@pytest.mark.cgroup
def test_the_anonymous_peak_is_within_3_percent_while_a_gigabyte_is_written(
    hog: Path, cgroup: Cgroup, tmp_path: Path
) -> None:
    """The kernel's mark counts the file's pages: it alone would make this build "need" over a gigabyte."""
    file = tmp_path / "big"
    try:
        _, result = _hold(hog, cgroup, mib=200, file_mib=1000, file=file)
    finally:
        file.unlink(missing_ok=True)
    totals = result.totals
    assert totals.memory_anonymous_peak_bytes == pytest.approx(200 * _MIB, rel=0.03)
    assert totals.memory_peak_bytes is not None
    assert totals.memory_peak_bytes > 1000 * _MIB
    assert totals.memory_working_set_peak_bytes is not None
    assert 200 * _MIB <= totals.memory_working_set_peak_bytes < totals.memory_peak_bytes
    assert not totals.memory_is_estimate
    assert not totals.memory_peak_is_upper_bound
    assert totals.written_bytes == pytest.approx(1000 * _MIB, rel=0.01)
    assert [(top.command, top.memory_peak_bytes > 190 * _MIB) for top in result.top_processes][:1] == [("hog", True)]


def test_without_a_cgroup_the_memory_is_an_estimate_near_the_truth(hog: Path, tmp_path: Path) -> None:
    stranger = _start([hog, "50", "0", tmp_path / "none"], None)  # a child of ours from before the build
    assert stranger.stdout
    assert stranger.stdout.readline() == b"held\n"
    held, result = _hold(hog, None, mib=200, file_mib=0, file=tmp_path / "none")
    stranger.communicate()
    assert result.totals.memory_is_estimate
    assert result.totals.memory_peak_bytes is None
    assert result.totals.memory_anonymous_peak_bytes == pytest.approx(200 * _MIB, rel=0.03)
    assert held.totals.process_peak is not None
    assert held.totals.process_peak >= 1
    assert [phase.name for phase in result.phases] == ["held"]


_FORKS = """
import mmap, os, time
shared, held = mmap.mmap(-1, 20 << 20), bytearray(60 << 20)
for place in range(0, len(shared), 4096): shared[place] = 1
for place in range(0, len(held), 4096): held[place] = 1
reader, writer = os.pipe()
for _ in range(6):
    if os.fork() == 0:
        for place in range(0, 5 << 20, 4096): held[place] = 2
        sum(shared[place] for place in range(0, len(shared), 4096))
        os.write(writer, b".")
        time.sleep(600)
for _ in range(6): os.read(reader, 1)
print("held", flush=True)
input()
"""


@pytest.mark.cgroup
def test_memory_that_forks_share_is_counted_once_without_a_cgroup_too(cgroup: Cgroup) -> None:
    """Six children that psutil shows with 60 MiB of their own each, of which they have written to 5."""
    marks = _Marks()
    with Observer(cgroup=None, checkpoint=marks.take) as observer:
        child = _start([sys.executable, "-c", _FORKS], cgroup)
        observer.watch(child.pid)
        assert child.stdout
        assert child.stdout.readline() == b"held\n"
        observer.begin_phase("held")
        marks.wait_for("held")
        result = observer.stop()
        truth = Counters(cgroup, note=print).read().anonymous_bytes
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
    assert truth is not None
    assert truth >= 100 * _MIB
    assert result.totals.memory_anonymous_peak_bytes == pytest.approx(truth, rel=0.03)


_BUSY = "import time\nend = time.process_time() + 0.8\nwhile time.process_time() < end: pass"
_BUILDS = {
    "a daemon that left the session": 'setsid sh -c \'python3 -c "$BUSY" & exit\' & python3 -c "$BUSY"; wait',
    "two thousand short processes": "i=0; while [ $i -lt 2000 ]; do /bin/true; i=$((i+1)); done",
}


@pytest.mark.cgroup
@pytest.mark.parametrize("mode", ["with the cgroup", "without"])
@pytest.mark.parametrize("build", _BUILDS)
@pytest.mark.usefixtures("subreaper")
def test_the_cpu_time_is_within_2_percent_of_the_cgroups_own_counter(cgroup: Cgroup, build: str, mode: str) -> None:
    with Observer(cgroup=cgroup if mode == "with the cgroup" else None) as observer:
        child = _start(["/usr/bin/env", f"BUSY={_BUSY}", "sh", "-c", _BUILDS[build]], cgroup)
        observer.watch(child.pid)
        child.communicate()
        _reap_orphans(cgroup)
        result = observer.stop()
    assert result.totals.cpu_seconds == pytest.approx(_counted_cpu_seconds(cgroup), rel=0.02)


def _reap_orphans(cgroup: Cgroup) -> None:
    deadline = time.monotonic() + 60
    while cgroup.members():
        assert time.monotonic() < deadline
        _reap()
        time.sleep(0.01)
    _reap()


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return


def _counted_cpu_seconds(cgroup: Cgroup) -> float:
    if cgroup.version == "v1":
        return int((cgroup.position.folders["cpuacct"] / "cpuacct.usage").read_text()) / 1e9
    words = (cgroup.position.memory_folder / "cpu.stat").read_text().split()
    return int(words[words.index("usage_usec") + 1]) / 1e6


@pytest.mark.cgroup
def test_a_child_killed_for_memory_is_found_and_named_though_its_parent_lives_on(hog: Path, cgroup: Cgroup) -> None:
    limit = "memory.limit_in_bytes" if cgroup.version == "v1" else "memory.max"
    (cgroup.position.memory_folder / limit).write_text(str(64 * _MIB))
    assert machine(cgroup).memory_limit_bytes == 64 * _MIB
    marks = _Marks()
    with Observer(cgroup=cgroup, checkpoint=marks.take) as observer:
        child = _start(["sh", "-c", f"{hog} 40 0 - 4000; echo survived; exit 3"], cgroup)
        observer.watch(child.pid)
        assert child.stdout
        assert child.stdout.readline() == b"held\n"
        observer.begin_phase("eating")
        marks.wait_for("eating")
        out, _ = child.communicate()
        result = observer.stop()
    assert (child.returncode, out) == (3, b"survived\n")
    assert [(kill.process, kill.inferred, kill.limit_bytes) for kill in result.memory_kills] == [("hog", True, 64 * _MIB)]
    assert result.memory_kills[0].at_seconds <= result.totals.wall_seconds


@pytest.mark.cgroup
def test_a_program_that_joins_the_cgroup_is_in_it(cgroup: Cgroup) -> None:
    done = subprocess.run(cgroup.joined_by(["cat", "/proc/self/cgroup"]), capture_output=True, text=True, check=True)
    assert f"/spack-farm-{os.getpid()}" in done.stdout


@pytest.mark.cgroup
def test_a_build_that_never_joins_is_measured_by_its_processes(hog: Path, cgroup: Cgroup, tmp_path: Path) -> None:
    marks = _Marks()
    with Observer(cgroup=cgroup, checkpoint=marks.take, interval_seconds=0.1) as observer:
        child = _start([hog, "50", "0", tmp_path / "none"], None)
        observer.watch(child.pid)
        assert child.stdout
        assert child.stdout.readline() == b"held\n"
        wait_until(observer.notes)
        observer.begin_phase("held")
        marks.wait_for("held")
        child.communicate()
        result = observer.stop()
    assert result.totals.memory_is_estimate
    assert result.totals.memory_anonymous_peak_bytes == pytest.approx(50 * _MIB, rel=0.05)


@pytest.mark.cgroup
def test_a_cgroup_with_a_leftover_process_stays_and_is_swept_by_the_next_start(cgroup: Cgroup) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    leftovers = [folder.with_name(f"spack-farm-{dead.pid}") for folder in cgroup.position.folders.values()]
    for folder in leftovers:
        folder.mkdir()
    daemon = _start(["sleep", "600"], cgroup)
    try:
        wait_until(lambda: daemon.pid in cgroup.members())
        assert not cgroup.remove(wait_seconds=0.1)
        assert cgroup.position.memory_folder.exists()
        with find_cgroup() or pytest.fail("no second cgroup") as another:
            assert another.position.memory_folder != cgroup.position.memory_folder
            assert not any(folder.exists() for folder in leftovers)
        assert not another.position.memory_folder.exists()
        assert daemon.pid in cgroup.members()
    finally:
        daemon.kill()
        daemon.communicate()
