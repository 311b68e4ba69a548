"""A program leaves a copy of itself behind, which does what a prestarted program would have to be started for."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from buildjob.process import child
from buildjob.process.prestarted import Prestarted
from buildjob.process.successor import Successor
from buildjob.spack import adapter

INSIDE = Path(adapter.__file__).parent / "inside"
PACK = """
import os, sys
MARK = "fresh"
def main():
    line = sys.stdin.readline()
    if line:
        sys.stdout.write(f"{MARK} {line.strip()}\\n")
    sys.stdout.flush()
    os._exit(7 if line else 0)
if __name__ == "__main__":
    main()
"""
LEAVES = "import sys; sys.path[:0] = [{place!r}, {inside!r}]; import pack; pack.MARK = 'left'; import successor; {what}"


def leaving(folder: Path, what: str) -> list[str]:
    return [sys.executable, "-c", LEAVES.format(place=str(folder), inside=str(INSIDE), what=what)]


class Stage:
    """A program that leaves, or should leave, a successor, and what was made of it."""

    def __init__(self, folder: Path) -> None:
        child.become_subreaper()
        self.folder = folder
        (folder / "pack.py").write_text(PACK)
        self.environment = {"PATH": os.environ["PATH"]}
        fresh = child.Program(argv=[sys.executable, str(folder / "pack.py")], environment=self.environment, folder=folder)
        self.successor = Successor(Prestarted(fresh))

    def run(self, what: str, others: frozenset[int], *, shell: str = "") -> child.Ended:
        """Run the program; `what` it does gets `pipes`, `shell` comes before it."""
        pipes = self.successor.offer()
        argv = leaving(self.folder, what.replace("pipes", ", ".join(map(str, pipes))))
        argv = ["/bin/sh", "-c", f"{shell} exec {shlex.join(argv)}"] if shell else argv
        program = child.Program(argv=argv, environment=self.environment, folder=self.folder, descriptors=pipes)
        with child.StopRequest() as stop, (self.folder / "log").open("wb") as log:
            until = child.Until(stop=stop, standby=lambda: others | self.successor.pids)
            return child.run(program, output=child.Output(log), until=until, started=lambda _: self.successor.offered())

    def resume(self, others: frozenset[int]) -> tuple[int, bytes]:
        """Give the line; return the exit code and what was printed."""
        path = self.folder / "answer"
        with child.StopRequest() as stop, path.open("wb") as file:
            until = child.Until(stop=stop, standby=lambda: others)
            ended = child.follow(self.successor.resume(b"work"), output=child.Output(file), until=until)
        return ended.exit_code, path.read_bytes()


@pytest.fixture
def others() -> frozenset[int]:
    """The processes that are children of the test's already."""
    return frozenset(process.pid for process in psutil.Process().children())


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_a_successor_does_the_work_in_a_session_of_its_own(stage: Stage, others: frozenset[int]) -> None:
    ended = stage.run("successor.leave(pipes); print('done')", others)
    assert (ended.exit_code, ended.leftovers) == (0, [])
    assert (stage.folder / "log").read_bytes() == b"done\n"
    (pid,) = stage.successor.pids
    assert (psutil.Process(pid).ppid(), os.getsid(pid)) == (os.getpid(), pid)
    assert stage.resume(others) == (7, b"left work\n")
    assert not psutil.pid_exists(pid)
    stage.successor.end()


def test_a_successor_that_is_not_needed_is_ended(stage: Stage, others: frozenset[int]) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    stage.run("successor.leave(pipes)", others)
    (pid,) = stage.successor.pids
    stage.successor.end()
    assert not psutil.pid_exists(pid)
    assert len(list(Path("/proc/self/fd").iterdir())) == before, "no descriptor is left"
    stage.successor.end()


@pytest.mark.parametrize(
    "what",
    [
        "sys.exit(3)",  # it fails before
        "import os; os.kill(os.getpid(), 9)",
        "import os; os.write([pipes][1], b'successor 1\\n')",  # not a child of ours
        "import os; os.write([pipes][1], b'successor %d\\n' % os.getppid())",
        "import os; os.write([pipes][1], b'successor 99999999999999999999\\n')",
        "import os; os.write([pipes][1], b'nonsense')",
        "import os; os.write([pipes][1], b'successor -1\\n')",
        "import os; os.close([pipes][1])",
        "import subprocess; subprocess.Popen(['sleep', '60'], pass_fds=[pipes])",  # a leftover holds the pipes
    ],
)
def test_without_a_successor_the_program_is_started(what: str, stage: Stage, others: frozenset[int]) -> None:
    stage.run(what, others)
    assert not stage.successor.pids
    assert stage.resume(others) == (7, b"fresh work\n")


def test_one_that_was_killed_while_it_waited_is_replaced(stage: Stage, others: frozenset[int]) -> None:
    stage.run("successor.leave(pipes)", others)
    (pid,) = stage.successor.pids
    psutil.Process(pid).kill()
    deadline = time.monotonic() + 30
    while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.01)
    assert stage.resume(others) == (7, b"fresh work\n")


def test_a_signal_to_the_builds_group_does_not_reach_it(stage: Stage, others: frozenset[int]) -> None:
    stage.run("successor.leave(pipes); import os; os.killpg(0, 15)", others)
    assert stage.resume(others)[1].startswith(b"left work")


def test_it_ends_with_the_agent(stage: Stage) -> None:
    """Its input ends then, as when the agent is killed."""
    (reads, question), (answer, writes) = os.pipe(), os.pipe()
    argv = leaving(stage.folder, f"successor.leave({reads}, {writes})")
    subprocess.run(argv, env=stage.environment, pass_fds=(reads, writes), check=True)
    pid = int(os.read(answer, 100).split()[1])
    for descriptor in (reads, writes, question):
        os.close(descriptor)
    psutil.Process(pid).wait(30)
    assert os.read(answer, 1) == b"", "nothing holds its output"
    os.close(answer)
