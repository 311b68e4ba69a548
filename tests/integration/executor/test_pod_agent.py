"""The pod agent's programs as plain processes of this machine: what scripts get, how they end, what a follower sees.

That of the other architecture runs under qemu's user emulation, of Debian's package `qemu-user-static`; its scripts do not.
"""

import contextlib
import dataclasses
import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from executor import pod_agent
from executor.pod_agent import start_script
from tests.labs.limits import small_disk
from tests.labs.waiting import wait_until

ARM64 = platform.machine() == "aarch64"
NATIVE, FOREIGN = (Path(pod_agent.__file__).with_name(f"agent-{name}") for name in sorted(("amd64", "arm64"), reverse=ARM64))
EMULATOR = f"qemu-{'x86_64' if ARM64 else 'aarch64'}-static"
SHELLS = "/nowhere/bash:/bin/bash:/bin/sh"
HOSTILE = {
    "BASH_ENV": "/nowhere/file", "ENV": "/nowhere/file", "SHELLOPTS": "nounset", "TMOUT": "1", "PS4": "x", "IFS": ",",
    "CDPATH": "/", "GREP_OPTIONS": "-v", "POSIXLY_CORRECT": "1", "LD_PRELOAD": "/nowhere/lib.so",
    **dict.fromkeys(("stage", "root", "home", "shell", "size", "base", "key", "value", "last", "sent"), "the image's"),
    "control": "", "with space": "x", "a-b": "c=d\ne",
}  # fmt: skip


class Pod:
    """A first process with its control volume."""

    def __init__(self, folder: Path, first: "subprocess.Popen[bytes]", program: list[str]) -> None:
        self.control, self.first, self.program = folder / "control", first, program
        self.root = self.control / "build"

    def wait(self) -> "Pod":
        wait_until((self.root / "facts").exists)
        return self

    @contextlib.contextmanager
    def follow(self, script: str, *, stage: str = "s-0", **variables: str) -> Iterator["Follower"]:
        """Call `run` as the driver does, and send the script; the end of the block is that of the connection."""
        words = [str(self.root), stage, "0", "0", "0", str(len(script)), "no", *(f"{k}={v}" for k, v in variables.items())]
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as lines:
            process = subprocess.Popen(
                [*self.program, "run", *words], stdin=subprocess.PIPE, stdout=output, stderr=lines, env={}
            )
            assert process.stdin is not None
            process.stdin.write(script.encode())
            process.stdin.flush()
            try:
                yield Follower(process, output.fileno(), lines.fileno())
            finally:
                process.stdin.close()
                process.wait(30)

    def run(self, script: str, **options: Any) -> tuple[bytes, list[str]]:
        """Run a script to its end; return its output without the marker, and how it ended."""
        with self.follow(script, **options) as follower:
            wait_until(lambda: any(line.startswith("exit ") for line in follower.end))
            wait_until(lambda: follower.output.endswith(b"\x1e") or "broken" in follower.end)
            return follower.output.partition(b"\x1e")[0], follower.end


@dataclasses.dataclass(frozen=True)
class Follower:
    """A running call of `run`."""

    process: "subprocess.Popen[bytes]"
    output_file: int
    lines_file: int

    @property
    def output(self) -> bytes:
        """What it has passed on so far."""
        return os.pread(self.output_file, 1 << 24, 0)

    @property
    def end(self) -> list[str]:
        """Its lines about the script's end."""
        lines = os.pread(self.lines_file, 1 << 20, 0).decode().splitlines()
        return [line for line in lines if line.split()[0] in {"exit", "signal", "lost", "broken", "fault"}]


@pytest.fixture(params=[NATIVE.name, FOREIGN.name])
def program(request: pytest.FixtureRequest) -> list[str]:
    """Return how one of the programs is called."""
    if request.param == NATIVE.name:
        return [str(NATIVE)]
    emulator = shutil.which(EMULATOR)
    if not emulator:
        pytest.skip(f"no {EMULATOR}: Debian's package qemu-user-static has it")
    return [emulator, str(FOREIGN)]


@pytest.fixture
def pod(tmp_path: Path, program: list[str]) -> Iterator[Callable[..., Pod]]:
    with contextlib.ExitStack() as held:

        def make(environment: dict[str, str] | None = None, *, wrapper: tuple[str, ...] = (), **options: Any) -> Pod:
            if "megabytes" in options:
                held.enter_context(small_disk(tmp_path / "control", megabytes=options.pop("megabytes")))
            else:
                (tmp_path / "control").mkdir()
            shells = options.pop("shells", SHELLS)
            words = [str(tmp_path / "control"), "build", "900", "inherit", "/nowhere/cgroup", shells]
            kept = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)} if environment is None else environment
            argv = [*wrapper, *program, "first", *words]
            first = subprocess.Popen(argv, env=kept, cwd=tmp_path, stdout=subprocess.DEVNULL)
            held.callback(first.wait)
            held.callback(first.kill)
            return Pod(tmp_path, first, program).wait()

        yield make


def test_a_script_has_the_containers_environment_and_nothing_else(pod: Callable[..., Pod], tmp_path: Path) -> None:
    image = HOSTILE | {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    output, end = pod(image).run("cat /proc/$$/environ", SPACK_FARM_X="it's $HOME; `x`")
    lines = re.sub(rb"ERROR: ld\.so: [^\n]*\n", b"", output)
    found = dict(pair.split("=", 1) for pair in lines.decode().split("\0") if pair)
    assert found == image | {"SPACK_FARM_X": "it's $HOME; `x`"}
    assert end == ["exit 0"]


def test_no_signal_is_ignored_or_blocked_in_a_script(pod: Callable[..., Pod]) -> None:
    wrapper = ("sh", "-c", "trap '' INT QUIT HUP TERM USR1 PIPE; exec \"$@\"", "entrypoint")
    output, _ = pod(wrapper=wrapper).run("exec cat /proc/self/status")
    masks = {
        line.split()[0]: int(line.split()[1], 16)
        for line in output.decode().splitlines()
        if line[:6] in {"SigIgn", "SigBlk"}
    }
    assert masks["SigIgn:"] == 0
    assert masks["SigBlk:"] == 0


def test_what_an_entrypoint_sets_reaches_the_script(pod: Callable[..., Pod]) -> None:
    entrypoint = 'export FROM=entrypoint; umask 027; ulimit -n 321; cd /usr; exec "$@"'
    output, _ = pod(wrapper=("sh", "-c", entrypoint, "entrypoint")).run("echo $FROM $(umask) $(ulimit -n) $PWD")
    assert output == b"entrypoint 0027 321 /usr\n"


@pytest.mark.parametrize(
    "entrypoint", [[], ["/bin/sh"], ["/bin/sh", "-c"], ["/bin/bash", "-l", "-c"], ["/usr/bin/env"], ["/bin/dash"]]
)
def test_any_entrypoint_that_is_a_shell_starts_the_first_process(entrypoint: list[str], tmp_path: Path) -> None:
    agent, control, start = tmp_path / "agent", tmp_path / "control", tmp_path / "build"
    agent.symlink_to(NATIVE)
    control.mkdir()
    text = start_script("build", orphan_after_seconds=900, umask="inherit")
    start.write_text(text.replace("/.spack-farm-agent", str(tmp_path)).replace("/.spack-farm", str(control)))
    start.chmod(0o755)
    with subprocess.Popen([*entrypoint, str(start)], env={"PATH": "/usr/bin:/bin"}, stdout=subprocess.DEVNULL):
        try:
            wait_until((control / "build/facts").exists)
            assert (control / "build/facts").read_text().endswith("\nend\n")
        finally:
            process = int(re.findall(r"process (\d+)", (control / "build/facts").read_text())[0])  # dash does not exec it
            os.kill(process, signal.SIGKILL)


def test_a_killed_shell_is_told_with_its_signal(pod: Callable[..., Pod]) -> None:
    output, end = pod().run("echo out; kill -9 $$")
    assert output == b"out\n"
    assert end == ["signal 9", "exit 137"]


def test_an_exit_code_of_137_is_no_signal(pod: Callable[..., Pod]) -> None:
    assert pod().run("(kill -9 $BASHPID); exit 137")[1] == ["exit 137"]


def test_the_loss_of_the_first_process_is_told(pod: Callable[..., Pod]) -> None:
    made = pod()
    with made.follow("sleep 60") as follower:
        wait_until((made.root / "stages/s-0/group").exists)
        made.first.kill()
        assert follower.process.wait(30) == 3
        os.killpg(int((made.root / "stages/s-0/group").read_text()), signal.SIGKILL)
        assert follower.end == ["lost the first process of the container was killed; the script's exit code is unknown"]
    with made.follow("echo never", stage="s-1") as late:
        assert late.process.wait(30) == 3
        assert late.end == ["lost the first process of the container has ended"]


def test_several_calls_at_once_start_a_script_once_and_all_see_it(pod: Callable[..., Pod], tmp_path: Path) -> None:
    made = pod()
    script = "echo begun >>count; sleep 0.2; echo end; exit 5"
    with contextlib.ExitStack() as held:
        for follower in [held.enter_context(made.follow(script)) for _ in range(8)]:
            wait_until(lambda seen=follower: seen.output == b"end\n\x1es-0\x1e" and seen.end == ["exit 5"])  # type: ignore[misc]
    assert (tmp_path / "count").read_text() == "begun\n"


def test_an_upload_that_is_cut_starts_nothing(pod: Callable[..., Pod]) -> None:
    made = pod()
    words = [str(made.root), "s-0", "0", "0", "0", "100", "no"]
    done = subprocess.run([*made.program, "run", *words], input=b"echo half", capture_output=True, check=False)
    assert done.returncode == 4
    assert not (made.root / "stages/s-0/started").exists()


def test_an_image_without_a_shell_that_runs_says_what_is_wrong_with_each(pod: Callable[..., Pod], tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    other = tmp_path / "other"
    other.write_bytes(b"\x7fELF\x01\x01\x01" + bytes(60))
    (tmp_path / "text").write_text("no program")
    missing = tmp_path / "script"
    missing.write_text("#!/nowhere/interpreter\n")
    idle = tmp_path / "idle"
    idle.write_text("#!/bin/sh\nexit 0\n")  # as a link to `true`, or LD_DEBUG=help
    for path in (other, missing, idle):
        path.chmod(0o755)
    shells = ":".join(str(tmp_path / name) for name in ("folder", "other", "text", "script", "idle", "nothing"))
    facts = (pod(shells=shells).root / "facts").read_text()
    assert "\nshell " not in f"\n{facts}"
    assert f"broken {other}: Exec format error\n" in facts
    assert f"broken {missing}: No such file or directory\n" in facts
    assert f"broken {tmp_path}/folder: it is not an executable file\n" in facts
    assert f"broken {tmp_path}/text: it is not an executable file\n" in facts
    assert f"broken {idle}: it does not run commands, and ends with 0\n" in facts
    assert "nothing" not in facts


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"LD_DEBUG": "help"}, "it does not run commands, and ends with 0"),
        ({"SHELLOPTS": "noexec"}, "it does not run commands, and ends with 0"),
        ({"BASH_ENV": "FOLDER/ends"}, "it does not run commands, and ends with 5"),
    ],
)
def test_a_shell_that_the_images_environment_keeps_from_running_commands_is_none(
    pod: Callable[..., Pod], tmp_path: Path, variables: dict[str, str], reason: str
) -> None:
    """Its scripts would succeed without having run."""
    (tmp_path / "ends").write_text("exit 5")
    image = {"PATH": os.environ["PATH"]} | {key: value.replace("FOLDER", str(tmp_path)) for key, value in variables.items()}
    facts = (pod(image, shells="/bin/bash").root / "facts").read_text()
    assert f"broken /bin/bash: with the image's environment {reason}\n" in facts
    assert "\nshell " not in f"\n{facts}"


def test_a_full_disk_costs_the_logs_end_and_not_the_exit_code(pod: Callable[..., Pod]) -> None:
    output, end = pod(megabytes=2).run("i=0; while [ $i -lt 5000 ]; do echo $i {1..200}; i=$((i+1)); done; exit 6")
    assert output.startswith(b"0 1 2 3 ")
    assert 1 << 20 < len(output) < 2 << 20
    assert sorted(end) == ["broken", "exit 6"]


def test_what_leftovers_write_is_read_and_dropped(pod: Callable[..., Pod], tmp_path: Path) -> None:
    """A leftover that writes on neither holds the script's end up, nor is killed by a closed pipe."""
    made = pod()
    output, end = made.run("yes leftover & echo $! >pid; echo own; exit 3")
    assert end == ["exit 3"]
    assert b"own\n" in output
    process = int((tmp_path / "pid").read_text())
    threading.Event().wait(0.3)
    os.kill(process, signal.SIGKILL)  # it still lives
