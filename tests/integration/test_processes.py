"""Real processes as the agent reads them: who is found, under which name and identity, whatever they do meanwhile."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from buildjob.measure import processes
from buildjob.measure.process_names import short_command
from buildjob.measure.processes import ProcessUse, read_process, walk_descendants, walk_members
from tests.labs.waiting import wait_until

_UNUSED_PID = 1 << 22


@contextlib.contextmanager
def _running(*command: str | bytes | Path, ready: bytes = b"ready\n") -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that prints `ready` and waits for the end of its input."""
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert child.stdout
        assert child.stdout.readline() == ready
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def _below(pid: int) -> dict[int, ProcessUse]:
    """Return the descendants of one process: this one may have others that come and go."""
    return {use.pid: use for use in walk_descendants((), own_pid=pid).values()}


def test_descendants_are_those_that_psutil_finds_on_the_whole_host() -> None:
    script = "sleep 600 & (sleep 600 & sleep 600 & echo ready; wait)"
    with _running("sh", "-c", script) as child:
        theirs = {process.pid for process in psutil.Process(child.pid).children(recursive=True)}
        assert len(theirs) >= 3
        assert set(_below(child.pid)) == theirs
        assert {child.pid, *theirs} <= set(_below(os.getpid()))
        strangers = frozenset(walk_descendants((), own_pid=child.pid))
        assert not walk_descendants((), own_pid=child.pid, strangers=strangers)
        root = walk_descendants((child.pid,), own_pid=_UNUSED_PID, strangers=strangers)
        assert {use.pid for use in root.values()} == {child.pid, *theirs}
        members = walk_members([child.pid, os.getpid(), _UNUSED_PID], own_pid=os.getpid())
        assert [use.pid for use in members.values()] == [child.pid]
    wait_until(lambda: child.pid not in _below(os.getpid()))


def test_children_of_every_thread_are_found() -> None:
    script = (
        "import subprocess, sys, threading\n"
        "start = lambda: (subprocess.Popen(['sleep', '600']), sys.stdin.read())\n"
        "threads = [threading.Thread(target=start, daemon=True) for _ in range(5)]\n"
        "[thread.start() for thread in threads]\n"
        "import time; time.sleep(0.5); print('ready', flush=True); threads[0].join()"
    )
    with _running(sys.executable, "-c", script) as child:
        wait_until(lambda: len(_below(child.pid)) == 5)


@pytest.mark.usefixtures("subreaper")
def test_a_daemon_that_left_its_session_and_its_parent_is_found() -> None:
    script = "(setsid sh -c 'sleep 600 & echo $! >&3; exit' 3>&1 &) ; sleep 0.2; echo; echo ready"
    child = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout
    daemon = int(child.stdout.readline())
    try:
        child.wait()
        wait_until(lambda: daemon in _below(os.getpid()))
        assert _below(os.getpid())[daemon].name == "sleep"
    finally:
        os.kill(daemon, signal.SIGKILL)
        os.waitpid(daemon, 0)
        child.stdout.close()


def test_a_storm_of_children_that_live_for_5_ms_breaks_no_walk() -> None:
    script = "echo ready; while :; do for i in 1 2 3 4; do sleep 0.005 & done; wait; done"
    with _running("sh", "-c", script) as child:
        begun, walks = time.monotonic(), list[dict[int, ProcessUse]]()
        while time.monotonic() - begun < 1.0 or not any(walks):
            walks.append(_below(child.pid))
    assert all(use.resident_bytes >= use.memory_bytes >= 0 for walk in walks for use in walk.values())


@pytest.mark.parametrize("name", [b"caf\xe9) Z 1", b"a b", b"\xff\xfe", "ünïcödé-with-16+".encode(), b"-"])
def test_a_process_may_be_called_anything(tmp_path: Path, name: bytes) -> None:
    program = os.fsencode(tmp_path) + b"/" + name
    Path(os.fsdecode(program)).symlink_to("/bin/sh")
    with _running(program, b"-c", b"echo ready; read line") as child:
        use = read_process(child.pid)
        assert use is not None
        assert os.fsencode(use.name)[:15] == name[:15]
        assert not use.is_zombie
        command = short_command(processes.read_command_line(child.pid), name=use.name)
        command.encode("ascii")  # whatever it is called, the document can be written


def test_a_process_that_becomes_another_program_stays_the_same_process() -> None:
    with _running("sh", "-c", "echo ready; read line; exec sleep 600") as child:
        before = read_process(child.pid)
        assert child.stdin
        child.stdin.write(b"\n")
        child.stdin.flush()
        wait_until(lambda: (read_process(child.pid) or before).name == "sleep")  # type: ignore[union-attr]
        after = read_process(child.pid)
        assert before is not None
        assert after is not None
        assert after.key == before.key
        assert Path(processes.read_program(child.pid)) == Path(shutil.which("sleep") or "").resolve()
    assert processes.read_program(child.pid) == ""


def test_a_zombie_has_its_cpu_time_and_no_memory_and_then_it_is_gone() -> None:
    busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"
    child = subprocess.Popen(["sh", "-c", busy])
    wait_until(lambda: (read_process(child.pid) or pytest.fail("it is gone")).is_zombie)
    use = read_process(child.pid)
    assert use is not None
    assert use.cpu_seconds > 0
    assert (use.resident_bytes, use.memory_bytes) == (0, 0)
    assert processes.read_command_line(child.pid) == []
    child.wait()
    assert read_process(child.pid) is None
    assert processes.read_command_line(child.pid) == []
    assert (processes.private_bytes(child.pid), processes.read_io(child.pid)) == (0, (0, 0))


def test_a_process_whose_first_thread_has_ended_lives_on_in_the_others() -> None:
    script = (
        "import ctypes, os, sys, threading\n"
        "held = b'x' * (40 << 20)\n"
        "def live():\n"
        "    while ') Z ' not in open(f'/proc/self/task/{os.getpid()}/stat').read(): pass\n"
        "    os.write(1, b'ready\\n'); os.read(0, 1); os._exit(0)\n"
        "threading.Thread(target=live).start()\n"
        # exit(2) of this thread alone; CDLL, as the other one needs the interpreter's lock
        "ctypes.CDLL(None).syscall(60 if os.uname().machine == 'x86_64' else 93, 0)"
    )
    with _running(sys.executable, "-c", script) as child:
        use = read_process(child.pid)
    assert use is not None
    assert not use.is_zombie
    assert use.memory_bytes >= 40 << 20


def test_what_children_used_counts_with_their_parent() -> None:
    script = "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; echo ready; read line"
    with _running("sh", "-c", script) as child:
        use = read_process(child.pid)
        assert use is not None
        assert use.tree_cpu_seconds > use.cpu_seconds


def test_a_kernel_thread_has_a_name_and_no_memory() -> None:
    use = read_process(2)
    if use is None or use.name != "kthreadd":
        pytest.skip("no kernel threads are seen here")
    assert (use.resident_bytes, processes.read_command_line(2)) == (0, [])


def test_only_the_build_is_read_however_many_processes_the_host_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "pids", lambda: pytest.fail("all processes of the host are read"))
    with _running("sh", "-c", "sleep 600 & echo ready; wait") as child:
        read: list[int] = []

        class Counted(psutil.Process):
            def __init__(self, pid: int) -> None:
                read.append(pid)
                super().__init__(pid)

        monkeypatch.setattr(psutil, "Process", Counted)
        assert list(_below(child.pid)) == read
        assert len(read) == 1


def test_files_that_are_mapped_are_not_memory_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * (64 << 20))
    script = (
        "import mmap, sys\n"
        f"file = open({str(file)!r}, 'rb'); view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
        "sum(view[place] for place in range(0, len(view), 4096)); own = b'x' * (32 << 20)\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    with _running(sys.executable, "-c", script) as child:
        use = read_process(child.pid)
    assert use is not None
    assert use.resident_bytes >= 96 << 20
    assert 32 << 20 <= use.memory_bytes <= 56 << 20


def test_what_children_wrote_is_theirs_and_what_threads_wrote_is_ours(tmp_path: Path) -> None:
    before = processes.reaped_io()
    writer = threading.Thread(target=(tmp_path / "ours").write_bytes, args=(b"x" * (8 << 20),))
    writer.start()
    (tmp_path / "also ours").write_bytes(b"x" * (8 << 20))
    writer.join()
    subprocess.run(["dd", "if=/dev/zero", f"of={tmp_path}/theirs", "bs=1M", "count=4", "status=none"], check=True)
    deadline = time.monotonic() + 60
    while (written := processes.reaped_io()[1] - before[1]) < 4 << 20:
        assert time.monotonic() < deadline
    assert written < 16 << 20
