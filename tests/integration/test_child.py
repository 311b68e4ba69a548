"""Running a program: bytes unchanged, everything ended, whatever the log looks like."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from buildjob import telemetry
from buildjob.process import child
from tests.labs.checkout import ROOT
from tests.labs.spack.lab import assert_phases_are_the_run

AGENT = [sys.executable, str(ROOT / "spack_farm/__main__.py"), "build"]


def run_command(tmp_path: Path, command: str, *more: str, timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*AGENT, "--command", command, "--name", "x", "--version", "1", "--out", str(tmp_path), *more],
        capture_output=True,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        timeout=timeout,
        check=False,
    )


def test_any_bytes_pass_unchanged_to_terminal_and_log(tmp_path: Path) -> None:
    text = b"a\0b\x1b[31mred\x1b[0m \xff\xfe\r\n<script>alert(1)</script>\nno newline at the end"
    (tmp_path / "text").write_bytes(text)
    done = run_command(tmp_path, f"cat {tmp_path}/text; exit 3")
    assert done.returncode == 1
    assert (tmp_path / "x-1" / "build.log").read_bytes() == text
    assert text in done.stdout


_NESTED = """
sleep 0.1; echo "==> y: Executing phase: 'cmake'"
sleep 0.1; echo "==> y: Executing phase: 'build'"
sleep 0.1; echo '==> y: Successfully installed y-1'
sleep 0.1
"""


@pytest.mark.parametrize(
    ("command", "phases"),
    [("true", ["command"]), ("exit 3", ["command"]), (_NESTED, ["command", "cmake", "build", "command"])],
    ids=["short", "failing", "nested"],
)
def test_the_phases_of_a_command_build_are_its_whole_time(tmp_path: Path, command: str, phases: list[str]) -> None:
    done = run_command(tmp_path, command)
    document = telemetry.read(tmp_path / "x-1" / "telemetry.json")
    assert [phase.name for phase in document.phases] == phases
    assert_phases_are_the_run(document)
    assert b" 0 B" not in done.stdout, "what was over before anybody looked is not measured"
    assert document.totals.process_peak != 0


def test_a_line_of_a_gigabyte_passes_in_bounded_memory(tmp_path: Path) -> None:
    script = f"head -c 1000000000 /dev/zero | tr '\\0' y; cat /proc/$PPID/status | grep VmHWM > {tmp_path}/hwm"
    begun = subprocess.run(
        [*AGENT, "--command", script, "--name", "x", "--version", "1", "--out", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        timeout=100,
        check=False,
    )
    assert begun.returncode == 0
    log = tmp_path / "x-1" / "build.log"
    assert log.stat().st_size == 1_000_000_000
    log.unlink()
    peak_kib = int((tmp_path / "hwm").read_text().split()[1])
    assert peak_kib < 40 * 1024, "the agent stays below 40 MiB"


def test_standard_output_that_goes_away_does_not_stop_the_build(tmp_path: Path) -> None:
    command = f"yes | head -c 3000000; touch {tmp_path}/finished"
    agent = subprocess.Popen(
        [*AGENT, "--command", command, "--name", "x", "--version", "1", "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )
    assert agent.stdout
    assert agent.stderr
    agent.stdout.read(10)
    agent.stdout.close()
    assert agent.wait(60) == 0, agent.stderr.read()
    agent.stderr.close()
    assert (tmp_path / "finished").exists()
    assert telemetry.read(tmp_path / "x-1" / "telemetry.json").outcome == "built"


def test_a_daemon_that_holds_the_pipe_does_not_hold_the_agent(tmp_path: Path) -> None:
    begun = time.monotonic()
    # the shell forks, then setsid, then sleep: go on only when the last of the three names is the process's
    done = run_command(tmp_path, "setsid sleep 300 & until grep -qx sleep /proc/$!/comm; do :; done; echo started")
    assert done.returncode == 0
    assert time.monotonic() - begun < 30
    assert re.search(rb"1 process outlived the build and was stopped: sleep\n", done.stdout)


@pytest.mark.parametrize(
    "command",
    [
        "true & true & true & true",
        "(sleep 0.1; echo late) &",  # ends by itself, soon after the command
        "for n in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 0.05 & done; exit 0",
        # ends by itself while a reader is still needed: its output is more than a pipe holds
        "(head -c 300000 /dev/zero | tr '\\0' x) & exit 0",
    ],
)
def test_what_is_ending_by_itself_has_not_outlived_the_build(tmp_path: Path, command: str) -> None:
    done = run_command(tmp_path, command)
    assert done.returncode == 0
    assert b"outlived" not in done.stdout
    if "300000" in command:
        assert (tmp_path / "x-1" / "build.log").stat().st_size == 300_000


def test_what_the_ending_itself_starts_is_stopped_and_not_counted(tmp_path: Path) -> None:
    stubborn = "trap 'for n in 1 2 3 4 5; do sleep 30 & done; wait' TERM; echo ready; while :; do sleep 0.05; done"
    (tmp_path / "stubborn").write_text(stubborn)
    done = run_command(
        tmp_path, f"sh {tmp_path}/stubborn > {tmp_path}/said & until grep -q ready {tmp_path}/said; do :; done"
    )
    assert done.returncode == 0
    (count,) = re.findall(rb"(\d+) process(?:es)? outlived the build and (?:was|were) stopped: ", done.stdout)
    assert int(count) <= 2, "the shell, and the sleep that it was waiting for"


def test_a_group_that_ends_on_term_within_the_grace_has_not_outlived_the_build(tmp_path: Path) -> None:
    cleaning = "trap 'sleep 1; exit' TERM; echo ready >> said; while :; do sleep 0.1; done"
    (tmp_path / "cleaning").write_text(cleaning)
    command = f"cd {tmp_path}; for n in 1 2 3; do sh cleaning & done; sleep 300"
    done = run_command(tmp_path, command, "--timeout", "2s")
    assert done.returncode == 124
    assert (tmp_path / "said").read_text().count("ready") == 3
    assert b"outlived" not in done.stdout


@pytest.mark.parametrize(
    ("command", "exit_code", "signal_name", "said"),
    [
        ("exit 3", 3, "", b"ended with exit code 3."),
        ("exit 137", 137, "", b"exit code 137, as a shell reports SIGKILL"),
        ("kill -9 $$", None, "SIGKILL", b"was ended by SIGKILL"),
        ("kill -SEGV $$", None, "SIGSEGV", b"was ended by SIGSEGV"),
        ("kill -40 $$", None, "signal 40", b"was ended by signal 40"),
        ("sh -c 'kill -9 $$'; exit $?", 137, "", b"exit code 137"),
        ("no-such-program", 127, "", b"exit code 127"),
    ],
)
def test_the_command_s_own_end_is_told_and_the_exit_code_is_that_of_a_failed_build(
    tmp_path: Path, command: str, exit_code: int | None, signal_name: str, said: bytes
) -> None:
    done = run_command(tmp_path, command)
    assert done.returncode == 1
    assert said in done.stdout.replace(b"\n ", b"")
    document = telemetry.read(tmp_path / "x-1" / "telemetry.json")
    assert document.build_process == telemetry.BuildProcess(exit_code=exit_code, signal=signal_name)
    assert (document.outcome, document.exit_code) == ("build_failed", 1)


def test_errors_keep_their_place_where_one_job_log_takes_both_streams(tmp_path: Path) -> None:
    done = subprocess.run(
        [*AGENT, "--command", "echo one; exit 1", "--name", "x", "--version", "1", "--out", str(tmp_path), "--mirror", ""],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"spack-farm: error: --mirror is empty: give a value, or omit it\n")


def test_output_folders_are_never_overwritten(tmp_path: Path) -> None:
    for _ in range(3):
        assert run_command(tmp_path, "true").returncode == 0
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} >= {"x-1", "x-1-2", "x-1-3"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_recorded(tmp_path: Path, number: signal.Signals) -> None:
    agent = subprocess.Popen(
        [*AGENT, "--command", "echo READY; sleep 300", "--name", "x", "--version", "1", "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )
    assert agent.stdout
    for line in agent.stdout:
        if line == b"READY\n":
            break
    agent.send_signal(number)
    with agent.stdout:
        agent.stdout.read()
    assert agent.wait(30) == 128 + number
    document = telemetry.read(tmp_path / "x-1" / "telemetry.json")
    assert (document.outcome, document.exit_code) == ("interrupted", 128 + number)


def test_a_full_disk_under_the_log_ends_the_log_only() -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            del data
            raise OSError(28, "No space left on device")

    heard: list[bytes] = []
    output = child.Output(Full(), listen=heard.append)
    output.write(b"one")
    output.write(b"two")
    assert heard == [b"one", b"two"]
    assert output.error == "No space left on device"


def test_a_line_of_the_agents_own_stands_between_those_of_the_program(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log, (tmp_path / "terminal").open("wb") as terminal:
        output = child.Output(log, terminal=terminal.fileno())
        output.write(b"half a ")
        output.show_line("own")
        output.write(b"line\n")
        output.show_line("own")
    assert (tmp_path / "log").read_bytes() == b"half a line\n"
    assert (tmp_path / "terminal").read_bytes() == b"half a \nown\nline\nown\n"
