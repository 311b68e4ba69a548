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
