"""Clause: docs/executor.md, "The warm process": a call is the same with it and without it, and nothing depends on it."""

import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from executor import warm
from tests.labs import call_program
from tests.labs.warm_processes import end_warm_processes, warm_processes

CHECKOUT = Path(__file__).resolve().parents[2]
CALL = [sys.executable, "-P", "-m", "executor"]
"""Of the driver that PYTHONPATH names, wherever this is called."""
_LOADED = """
import atexit, os, runpy, sys
atexit.register(lambda: "executor.driver" in sys.modules and open(os.environ["LOADED"], "w").close())
sys.argv = ["executor", *sys.argv[1:]]
runpy.run_module("executor", run_name="__main__")
"""
_STAND_IN = """
import os, signal, sys, time, types
def parser(): return types.SimpleNamespace(parse_args=len)
def main(words):
    print("words", *words)
    print("folder", os.getcwd(), "umask", oct(os.umask(0)), "input", sys.stdin.buffer.raw.read().decode())
    print("told", os.environ["TOLD"], "runner", os.environ["SPACK_FARM_RUNNER_PROCESS"], flush=True)
    os.write(2, b"complaint\\n")
    if "--config=wait" in words:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
        signal.signal(signal.SIGINT, lambda *_: sys.exit(8))
        os.write(1, b"waits %d\\n" % os.getpid())
        while True:
            time.sleep(0.1)
    if "--config=code" in words:
        return int(open("code").read())
    return 7
"""
_QUIET: Any = {"stdin": subprocess.DEVNULL, "capture_output": True}

_AS_NINE = "import os, sys; os.dup2(int(sys.argv[1]), 9); os.execvp(sys.argv[2], sys.argv[2:])"


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder for $XDG_RUNTIME_DIR. Its path is longer than a socket's may be."""
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    yield folder
    end_warm_processes(folder)


@pytest.fixture
def environment(runtime: Path, tmp_path: Path) -> dict[str, str]:
    """Return a call's environment."""
    return {
        "PYTHONPATH": str(CHECKOUT), "XDG_RUNTIME_DIR": str(runtime), "PATH": os.environ["PATH"],
        "LOADED": str(tmp_path / "loaded"), "TOLD": "first",
    }  # fmt: skip


def call(environment: dict[str, str], *words: str) -> tuple[subprocess.CompletedProcess[str], bool]:
    """Call the driver; return what it did, and whether it did so itself."""
    argv = [sys.executable, "-P", "-c", _LOADED, *words]
    loaded = Path(environment["LOADED"])
    loaded.unlink(missing_ok=True)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=100, input="typed")
    return done, loaded.exists()


def until_warm(environment: dict[str, str], verb: str = "config") -> None:
    """Call until a warm process has served a call."""
    deadline = time.monotonic() + 60
    while call(environment, verb, "--help")[1]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_first_call_is_run_here_and_a_later_one_by_the_warm_process_with_the_same_result(
    environment: dict[str, str],
) -> None:
    first, here = call(environment, "config")
    assert here
    assert first.returncode == 0
    until_warm(environment)
    second, here = call(environment, "config")
    assert not here
    assert (second.returncode, second.stdout, second.stderr) == (first.returncode, first.stdout, first.stderr)
    failed, here = call(environment | {"SYSTEM_FAILURE_EXIT_CODE": "77"}, "prepare")
    wrong, _ = call(environment, "config", "--no-such-flag")
    assert failed.returncode == 77, "the environment is the caller's"
    assert "TMPDIR is not set" in failed.stdout
    assert wrong.returncode == 2
    assert "--no-such-flag" in wrong.stderr


def test_one_warm_process_serves_all_verbs(environment: dict[str, str], runtime: Path) -> None:
    until_warm(environment)
    for verb in ("prepare", "run", "cleanup"):
        assert not call(environment, verb, "--help")[1]
    assert len({one.cmdline()[-1] for one in warm_processes(runtime)}) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: folder.chmod(0o755),
        lambda folder: (folder.rmdir(), folder.symlink_to(folder.parent.parent)),
        lambda folder: (folder.rmdir(), folder.write_text("a file")),
    ],
    ids=["others may enter", "a link", "a file"],
)
def test_a_folder_that_is_not_ours_alone_is_not_used(
    environment: dict[str, str], runtime: Path, spoil: Callable[[Path], object]
) -> None:
    folder = runtime / f"spack-farm-executor-{os.geteuid()}"
    folder.mkdir(mode=0o700)
    spoil(folder)
    done, here = call(environment, "config")
    assert (done.returncode, here) == (0, True)
    assert not warm_processes(runtime)


def test_it_can_be_switched_off(environment: dict[str, str], runtime: Path) -> None:
    done, here = call(environment | {"SPACK_FARM_EXECUTOR_WARM": "no"}, "config")
    assert (done.returncode, here) == (0, True)
    assert not list(runtime.iterdir())


def test_one_call_that_differs_in_what_a_process_cannot_change_gets_a_warm_process_of_its_own(
    environment: dict[str, str], runtime: Path
) -> None:
    until_warm(environment)
    _, here = call(environment | {"LANG": "C.UTF-8"}, "config")
    assert here
    assert len({one.cmdline()[-1] for one in warm_processes(runtime)}) == 2


def test_a_shell_that_does_not_start_leaves_the_call_to_itself(
    environment: dict[str, str], runtime: Path, tmp_path: Path
) -> None:
    """What escaped here would be Python's own exit code, 1: the job's failure."""
    copy, shell = tmp_path / "copy", tmp_path / "sh"
    copy.mkdir()
    subprocess.run(["cp", "-r", str(CHECKOUT / "executor"), str(CHECKOUT / "spelling"), str(copy)], check=True)
    program = copy / "executor/warm.py"
    program.write_text(program.read_text().replace('_SHELL = "/bin/sh"', f'_SHELL = "{shell}"'))
    shell.write_bytes(b"\x7fELF and no more")
    shell.chmod(0o755)
    changed = environment | {"PYTHONPATH": str(copy)}
    deadline = time.monotonic() + 60
    while not any(path.is_socket() for path in runtime.glob("*/*")):
        assert call(changed, "config")[0].returncode == 0
        assert time.monotonic() < deadline
        time.sleep(0.1)
    done, here = call(changed, "config")
    assert (done.returncode, done.stderr, here) == (0, "", True)


def test_many_first_calls_at_once_leave_one_warm_process(environment: dict[str, str], runtime: Path) -> None:
    argv = [sys.executable, "-m", "executor", "config"]
    calls = [subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL) for _ in range(8)]
    assert [one.wait(100) for one in calls] == [0] * 8
    until_warm(environment)
    deadline = time.monotonic() + 30
    while len(warm_processes(runtime)) != 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (folder,) = runtime.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(next(path for path in folder.iterdir() if path.is_socket()).stat().st_mode) == 0o700
    end_warm_processes(runtime)
    assert not warm_processes(runtime)


@pytest.fixture(params=["Python", "call.c"])
def caller(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Return the words before a verb: the driver in Python, or the program that stands before it in our image."""
    if request.param == "Python":
        return CALL
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\nshift\nexec {" ".join(CALL)} "$@"\n')
    program.chmod(0o755)
    return [str(call_program.build(tmp_path / "spack-farm", program)), "executor"]


@pytest.fixture
def stand_in(environment: dict[str, str], tmp_path: Path, caller: list[str]) -> dict[str, str]:
    """Return the environment of calls of a copy of the driver, whose verbs tell what they see."""
    copy = tmp_path / "copy"
    copy.mkdir()
    subprocess.run(["cp", "-r", str(CHECKOUT / "executor"), str(CHECKOUT / "spelling"), str(copy)], check=True)
    changed = environment | {"PYTHONPATH": str(copy)}
    (copy / "executor/driver.py").write_text(_STAND_IN)
    deadline = time.monotonic() + 60
    while (
        subprocess.run(
            [*caller, "config"], env=changed, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=100
        ).returncode
        != 7
    ):  # only the warm process tells a verb which process is the Runner's
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return changed


def test_a_verb_sees_what_its_caller_sees(stand_in: dict[str, str], tmp_path: Path, caller: list[str]) -> None:
    place = tmp_path / "place"
    place.mkdir()
    long = "a\nb" * 30_000
    done = subprocess.run(
        [*caller, "run", "a script", "ünï", ""], env=stand_in | {"TOLD": long, "TWO": long}, cwd=place,
        umask=0o037, input="typed", capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 7
    assert done.stdout.splitlines()[0] == "words run a script ünï "
    assert f"folder {place} umask 0o37 input typed" in done.stdout
    assert f"told {long} runner {os.getpid()}" in done.stdout
    assert done.stderr == "complaint\n"


@pytest.fixture
def waiting(stand_in: dict[str, str], caller: list[str]) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """Yield a call that waits, and the process that runs its verb."""
    argv = [*caller, "run", "--config=wait"]
    process = subprocess.Popen(
        argv, env=stand_in, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    line = next(line for line in process.stdout if line.startswith("waits "))
    yield process, psutil.Process(int(line.split()[1]))
    process.kill()
    process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 9), (signal.SIGINT, 8)])
def test_a_signal_reaches_the_verb(
    waiting: tuple[subprocess.Popen[str], psutil.Process], number: signal.Signals, code: int
) -> None:
    process, _ = waiting
    process.send_signal(number)
    assert process.wait(60) == code


def test_a_killed_call_ends_its_verb(waiting: tuple[subprocess.Popen[str], psutil.Process]) -> None:
    process, verb = waiting
    process.kill()
    process.wait(60)
    psutil.wait_procs([verb], timeout=60)
    assert not verb.is_running() or verb.status() == psutil.STATUS_ZOMBIE


def test_the_death_of_a_verb_is_a_system_failure_with_a_word(
    waiting: tuple[subprocess.Popen[str], psutil.Process],
) -> None:
    process, verb = waiting
    verb.kill()
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "the driver's process died" in complaint


@pytest.mark.parametrize("shell", [["sh"], ["bash", "--posix"], ["busybox", "sh"]], ids=" ".join)
def test_any_shell_can_wait(shell: list[str], tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, (tmp_path / "said").open("w+") as said:
        argv = [sys.executable, "-c", _AS_NINE, str(theirs.fileno()), *shell, "-c", warm.WAIT, "spack-farm", "3", "lost"]
        waiting = subprocess.Popen(argv, pass_fds=[theirs.fileno()], stderr=said)
        theirs.close()
        assert ours.recv(1) == warm.BEGIN
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            waiting.send_signal(number)
            while not select.select([ours], [], [], 1)[0]:
                ours.sendall(warm.PULSE)  # it came in the instant before the shell's `read`
            assert ours.recv(1) == bytes([number])
        ours.sendall(warm.PULSE)
        ours.sendall(b"200\n")
        assert waiting.wait(60) == 200
        assert Path(said.name).read_text() == ""


def test_the_other_side_has_a_pulse_until_the_call_is_gone() -> None:
    """A shell misses a signal that comes in the instant before its `read`: it is not to miss it for long."""
    ours, theirs = socket.socketpair()
    program = (
        "import socket, sys; from executor import warm_server; warm_server._PULSE_SECONDS = 0.1; "
        "warm_server._follow_caller(socket.socket(fileno=int(sys.argv[1])))"
    )
    with ours, theirs:
        verb = subprocess.Popen(
            [sys.executable, "-c", program, str(theirs.fileno())], pass_fds=[theirs.fileno()], cwd=CHECKOUT
        )
        theirs.close()
        assert [ours.recv(1), ours.recv(1)] == [warm.PULSE, warm.PULSE]
    assert verb.wait(60) == -signal.SIGKILL


@pytest.mark.parametrize("code", ["0", "1", "200", "255"])
def test_the_program_before_the_driver_ends_with_the_verbs_code(
    stand_in: dict[str, str], caller: list[str], tmp_path: Path, code: str
) -> None:
    (tmp_path / "code").write_text(code)
    assert subprocess.run([*caller, "cleanup", "--config=code"], env=stand_in, check=False, timeout=100,
                          cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True).returncode == int(code)  # fmt: skip


def test_a_warm_process_ends_once_the_programs_files_have_changed(
    stand_in: dict[str, str], caller: list[str], runtime: Path, tmp_path: Path
) -> None:
    """With `call.c`, the socket's name is the same before and after an update."""
    old = {one.pid for one in warm_processes(runtime)}
    program = tmp_path / "copy/executor/driver.py"
    program.write_text(_STAND_IN.replace("return 7", "return 4 + 4"))  # byte code knows a file by its size and second
    deadline = time.monotonic() + 60
    while subprocess.run([*caller, "config"], env=stand_in, check=False, timeout=100, **_QUIET).returncode != 8:
        assert time.monotonic() < deadline, "calls go on in the old program"
        time.sleep(0.1)
    while not {one.pid for one in warm_processes(runtime)} - old:
        subprocess.run([*caller, "config"], env=stand_in, check=False, timeout=100, **_QUIET)
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_killed_warm_process_costs_running_verbs_nothing_and_the_next_call_starts_another(
    waiting: tuple[subprocess.Popen[str], psutil.Process], stand_in: dict[str, str], caller: list[str], runtime: Path
) -> None:
    process, verb = waiting
    for one in warm_processes(runtime):
        if one.pid != verb.pid:
            one.kill()
    deadline = time.monotonic() + 60
    while True:
        done = subprocess.run([*caller, "config"], env=stand_in, check=False, timeout=100, **_QUIET)
        if done.returncode == 7:
            break
        assert done.returncode == 1, "the stand-in's verb misses what only a warm process gives"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert verb.is_running()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 9


def test_a_warm_process_that_never_answers_costs_a_call_its_time_and_no_more(
    environment: dict[str, str], runtime: Path, tmp_path: Path
) -> None:
    """Somebody else's server under the same name: nothing of the call has begun, so it is run here."""
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\necho "$SPACK_FARM_EXECUTOR_SOCKET $*"\n')
    program.chmod(0o755)
    argv = [str(call_program.build(tmp_path / "spack-farm", program)), "executor", "run", "--config", "x"]
    first = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout
    name, _, words = first.partition(" ")
    assert words == "executor run --config x\n"
    folder = runtime / f"spack-farm-executor-{os.geteuid()}"
    folder.mkdir(mode=0o700)
    descriptor = os.open(folder, os.O_DIRECTORY)  # a socket's own path is bounded
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{descriptor}/{name}")
        server.listen(1)
        with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True) as called:
            connection, _ = server.accept()
            connection.close()
            assert called.communicate(timeout=60)[0] == first
    folder.chmod(0o755)
    assert subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout == first


def test_other_words_than_a_verb_go_to_the_program_itself(environment: dict[str, str], tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\necho "$#:$SPACK_FARM_EXECUTOR_SOCKET:$*"; exit 5\n')
    program.chmod(0o755)
    before = str(call_program.build(tmp_path / "spack-farm", program))
    for words in ([], ["build", "zlib"], ["executor"], ["executor", "--help"], ["executor", "runs", "x"], [""]):
        done = subprocess.run([before, *words], env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (5, f"{len(words)}::{' '.join(words)}\n")
