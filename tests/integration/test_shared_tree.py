"""Several builds of one package in one tree at once: each says what it did itself, and measures nothing else."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from buildjob.telemetry import Telemetry
from tests.labs.checkout import ROOT
from tests.labs.spack.lab import SpackLab, kill_all, read_telemetry

pytestmark = pytest.mark.spack
_PATIENCE_SECONDS = 60.0
_OTHER_DIES_BETWEEN_TWO_TRIES = """
import sys
from spack.llnl.util import lock
sys.path.insert(0, {inside!r})
import install

held = [True]
acquire = lock.Lock.acquire_write

def acquire_write(self, timeout=None):
    if held and self.path.endswith("prefix_lock"):
        held.clear()  # the try to read, which follows, finds no holder
        raise lock.LockTimeoutError("write", self.path, 0, 1)
    return acquire(self, timeout)

if __name__ == "__main__":
    lock.Lock.acquire_write = acquire_write
    install.main("none", "none", "none", *sys.argv[1:])
    print("held" if held else "tried twice")
"""


class Gated:
    """A build of `hello-gated` by the agent or by stock Spack: it ends when its gate is opened."""

    def __init__(self, lab: SpackLab, folder: Path, spec_file: Path, *arguments: str | Path, is_agent: bool = True) -> None:
        folder.mkdir()
        self.gate, self.out, self._printed = folder / "gate", folder / "out", folder / "printed"
        stock = [lab.spack.program, "-C", lab.scope, "install", "-v", spec_file]
        argv = lab.agent_argv(spec_file, "--out", self.out, *arguments) if is_agent else [str(word) for word in stock]
        with self._printed.open("wb") as printed:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                env=lab.environment | {"HELLO_GATE": str(self.gate)},
            )

    @property
    def printed(self) -> str:
        """What it has printed so far."""
        return self._printed.read_text(errors="replace")

    @property
    def telemetry(self) -> Telemetry:
        """The document of its run."""
        return read_telemetry(self.out, "hello-gated")

    @property
    def is_at_the_gate(self) -> bool:
        """Whether its own build has begun."""
        return Path(f"{self.gate}.reached").exists()

    def open(self, word: str = "go") -> None:
        """Let the build end."""
        (self.gate.parent / "word").write_text(word)
        (self.gate.parent / "word").rename(self.gate)

    def wait_until(self, what: str) -> None:
        """Wait for a text in the output, or for `gate`."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not (self.is_at_the_gate if what == "gate" else what in self.printed):
            assert time.monotonic() < deadline, self.printed
            assert self._process.poll() is None, self.printed
            time.sleep(0.05)

    def end(self) -> int:
        """Wait for the end; return the exit code."""
        return self._process.wait(_PATIENCE_SECONDS)

    def terminate(self) -> None:
        """Send TERM."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it with all that it started, as a lost machine would."""
        kill_all(self._process)


class Tree:
    """Starts builds of the same package in one tree."""

    def __init__(self, lab: SpackLab, folder: Path, spec_file: Path) -> None:
        self._lab, self._folder, self._spec_file = lab, folder, spec_file
        self.builds: list[Gated] = []

    def start(self, *arguments: str | Path, is_agent: bool = True) -> Gated:
        """Start a build."""
        folder = self._folder / f"build-{len(self.builds)}"
        self.builds.append(Gated(self._lab, folder, self._spec_file, *arguments, is_agent=is_agent))
        return self.builds[-1]

    def start_first(self, *, is_agent: bool) -> Gated:
        """Start a build, and wait until it is at its gate."""
        first = self.start(is_agent=is_agent)
        first.wait_until("gate")
        return first

    def start_waiter(self, *arguments: str | Path) -> Gated:
        """Start an agent that has to wait, and wait until it has planned to build."""
        waiter = self.start(*arguments)
        waiter.wait_until("building hello-gated")
        return waiter


@pytest.fixture(scope="module")
def spec_file(lab: SpackLab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The concrete spec, since these tests are not about concretizing."""
    folder = tmp_path_factory.mktemp("gated")
    (folder / "gate").write_text("go")
    done = lab.build("hello-gated", "--out", folder / "out", environment={"HELLO_GATE": str(folder / "gate")})
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("out/*/spec.json")
    return path.rename(folder / "hello-gated.json")


@pytest.fixture
def tree(lab: SpackLab, spec_file: Path, tmp_path: Path) -> Iterator[Tree]:
    """A tree without the package; the builds that are left at the end are killed."""
    lab.forget("hello-gated")
    made = Tree(lab, tmp_path, spec_file)
    yield made
    for build in made.builds:
        with contextlib.suppress(psutil.NoSuchProcess):
            build.kill()


def test_what_another_process_has_installed_is_already_there(tree: Tree, tmp_path: Path) -> None:
    """Two agents and stock Spack at once."""
    mirror = tmp_path / "mirror"
    first = tree.start_first(is_agent=True)
    stock = tree.start(is_agent=False)
    waiter = tree.start_waiter("--mirror", mirror, "--unsigned", "--telemetry-mirror", mirror)
    first.open()
    assert (first.end(), waiter.end(), stock.end()) == (0, 0, 0), waiter.printed + stock.printed
    assert first.telemetry.outcome == "built"
    assert first.telemetry.totals.wall_seconds > 0
    assert not waiter.is_at_the_gate
    assert not stock.is_at_the_gate
    assert "another process installed it" in waiter.printed
    document = waiter.telemetry
    assert (document.complete, document.outcome, document.exit_code) == (True, "already_there", 0)
    assert (document.totals.wall_seconds, document.samples.time_seconds, document.phases) == (0, [], [])
    assert document.publish
    assert document.publish.state == "published", "the tree has it, the build cache had not"
    assert not list(mirror.glob("telemetry/**/*.json")), "nothing was measured, so nothing trains sizes"


def test_what_another_process_did_not_finish_is_built(tree: Tree) -> None:
    first = tree.start_first(is_agent=False)
    waiter = tree.start_waiter()
    waiter.open()
    first.open("fail")
    assert (first.end(), waiter.end()) == (1, 0), waiter.printed
    assert waiter.telemetry.outcome == "built"
    assert {phase.name for phase in waiter.telemetry.phases} >= {"install"}


def test_another_that_dies_between_two_tries_for_the_lock_stops_nothing(
    lab: SpackLab, tree: Tree, spec_file: Path, tmp_path: Path
) -> None:
    """Spack by itself fails with a LockUpgradeError."""
    assert not tree.builds
    (tmp_path / "gate").write_text("go")
    script = tmp_path / "script.py"
    script.write_text(_OTHER_DIES_BETWEEN_TWO_TRIES.format(inside=str(ROOT / "buildjob" / "spack" / "inside")))
    done = lab.stock_spack("python", script, spec_file, environment={"HELLO_GATE": str(tmp_path / "gate")})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Successfully installed hello-gated" in done.stdout
    assert done.stdout.endswith("tried twice\n")


def test_an_end_while_waiting_has_measured_nothing(tree: Tree) -> None:
    tree.start_first(is_agent=False)
    waiter = tree.start_waiter()
    waiter.terminate()
    assert waiter.end() == 128 + signal.SIGTERM, waiter.printed
    document = waiter.telemetry
    assert (document.outcome, document.totals.wall_seconds, document.phases) == ("interrupted", 0, [])
    assert "Spack had not begun to build it" in waiter.printed
