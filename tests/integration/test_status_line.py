"""The status line on real terminals: it is rewritten in place, and never meets what else is written there."""

import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buildjob.buildcache.push import publish
from buildjob.buildcache.workers import in_processes
from buildjob.process.child import Output
from status_line.progress import Progress
from status_line.screen import Screen
from tests.labs.build_cache import add_entry, as_it_is
from tests.labs.pty_screen import run_on, running_on, terminal
from tests.labs.s3.faulty_server import in_front_of
from tests.labs.s3.server import Server

ROOT = Path(__file__).parents[2]
STATUS = re.compile(r"\[1/1\] mine@1 \(")
WAIT = "while [ ! -e go-{0} ]; do sleep 0.02; done; "
COMMAND = f"echo first; {WAIT.format(1)} printf 'no line'; sleep 0.4; echo ' feed'; echo last; {WAIT.format(2)} printf open"


def build(folder: Path, *options: str, command: str = COMMAND) -> list[str | Path]:
    name = ["--name", "mine", "--version", "1"]
    command = f"cd {shlex.quote(str(folder))}; {command}"
    return [sys.executable, "-m", "spack_farm", "build", "--command", command, *name, "--out", folder / "out", *options]


def environment(**changed: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm", "LC_ALL": "C.UTF-8"} | changed


def test_a_build_shows_its_status_in_one_line_that_meets_no_other_line(tmp_path: Path) -> None:
    with running_on(60, build(tmp_path), environment()) as (program, shown):
        shown.wait_for(lambda raw: b"[1/1] mine@1 (" in raw)
        (tmp_path / "go-1").touch()
        shown.wait_for(lambda raw: re.search(rb"last.*\[1/1\] mine@1 \(", raw, re.DOTALL))
        (tmp_path / "go-2").touch()
        assert program.wait(60) == 0
    view = shown.view()
    assert any(STATUS.match(frame) for frame in view.frames)
    assert not any(STATUS.search(line) for line in view.lines)  # gone at the end, and before each other line
    assert {"first", "no line feed", "last", "open"} <= set(view.lines)
    assert not any(STATUS.search(frame) and not STATUS.match(frame) for frame in view.frames)
    assert not any(STATUS.match(frame) and len(frame) >= 60 for frame in view.frames)


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"CI": "true"}], ids=["a dumb terminal", "CI"])
def test_no_line_is_rewritten_where_that_cannot_be_seen(tmp_path: Path, variables: dict[str, str]) -> None:
    code, shown = run_on(60, build(tmp_path, command="sleep 0.4"), environment(**variables))
    assert code == 0
    assert b"\x1b[K" not in shown.raw
    assert b"[1/1]" not in shown.raw


def test_an_output_that_is_a_file_gets_no_status_and_the_terminal_of_errors_does(tmp_path: Path) -> None:
    with (
        (tmp_path / "printed").open("wb") as file,
        running_on(20, build(tmp_path), environment(NO_COLOR="1"), stdout=file.fileno()) as (program, shown),
    ):
        for number in (1, 2):
            shown.wait_for(lambda raw: b"\r[1/1] mine" in raw)
            (tmp_path / f"go-{number}").touch()
        assert program.wait(60) == 0
    printed = (tmp_path / "printed").read_bytes()
    assert b"\x1b" not in printed
    assert b"\r" not in printed
    assert b"first\nno line feed\nlast\nopen\n" in printed
    view = shown.view()
    assert not view.wrapped
    assert view.lines == [""]
    assert b"\x1b[1" not in shown.raw  # NO_COLOR


def test_without_a_terminal_nothing_is_rewritten(tmp_path: Path) -> None:
    done = subprocess.run(build(tmp_path, command="sleep 0.4"), env=environment(), capture_output=True, check=True)
    assert b"\r" not in done.stdout + done.stderr
    assert b"\x1b" not in done.stdout + done.stderr


def sizes(raw: bytes) -> list[float]:
    return [float(text) for text in re.findall(rb"\(command, \d+:\d\d, ([\d.]+) MiB\)", raw)]


def test_the_memory_in_the_line_is_the_figure_of_the_moment(tmp_path: Path) -> None:
    wait = "while not os.path.exists(f'{0}'): time.sleep(0.02)"
    code = ["import os, time", "x = bytearray(80 << 20)", wait.format("go-1"), "del x", wait.format("go-2")]
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(chr(10).join(code))}"
    with running_on(60, build(tmp_path, command=command), environment()) as (program, shown):
        shown.wait_for(lambda raw: max(sizes(raw), default=0) >= 80)
        (tmp_path / "go-1").touch()
        shown.wait_for(lambda raw: sizes(raw)[-1] <= max(sizes(raw)) - 40)  # not the peak
        (tmp_path / "go-2").touch()
        assert program.wait(60) == 0


def test_a_terminal_that_is_made_narrower_gets_a_narrower_line() -> None:
    with terminal(60) as (shown, theirs):
        screen = Screen(theirs, every_seconds=0.01)
        with screen.showing(lambda: ["a line of forty-three columns (2:31, 3 GiB)", "short"]):
            shown.wait_for(lambda raw: b"3 GiB)" in raw)
            shown.resize(20)
            shown.wait_for(lambda raw: raw.endswith(b"\rshort\x1b[K"))
        shown.wait_for(lambda raw: raw.endswith(b"\r\x1b[K"))


def test_a_terminal_without_a_size_is_taken_to_be_an_ordinary_one() -> None:
    with terminal(0) as (shown, theirs):
        screen = Screen(theirs, every_seconds=0.01)
        with screen.showing(lambda: ["x" * 40]):
            shown.wait_for(lambda raw: b"x" * 40 in raw)


def test_a_terminal_that_goes_away_ends_the_line_only() -> None:
    own, theirs = os.openpty()
    os.close(own)
    screen = Screen(theirs, every_seconds=60)
    with screen.showing(lambda: ["line"]):
        screen.refresh()
        with screen.cleared():
            pass
    assert not screen.is_live
    os.close(theirs)


def test_what_many_threads_write_and_a_line_that_changes_at_once_stay_apart() -> None:
    """As a build's output, the agent's own lines and the status line do."""
    with terminal(60) as (shown, theirs), Path(os.devnull).open("wb") as log:
        screen = Screen(theirs, every_seconds=0.001)
        output = Output(log, terminal=theirs, screen=screen)
        counts = iter(range(1_000_000))

        def write(name: str) -> None:
            for number in range(200):
                output.write(f"{name} begins {number}".encode())
                output.write(b" and ends\n")

        def say() -> None:
            for number in range(200):
                output.show_line(f"said {number}")

        with screen.showing(lambda: [f"status {next(counts)}"]):
            others = [threading.Thread(target=say) for _ in range(2)]
            for each in others:
                each.start()
            write("output")
            for each in others:
                each.join(60)
            output.write(b"done\n")
        shown.wait_for(lambda raw: b"done" in raw and raw.endswith(b"\x1b[K"))
        view = shown.view()
    assert any(frame.startswith("status") for frame in view.frames)
    kinds = re.compile(r"output begins \d+( and ends)?|\s*and ends|said \d+|done|")
    assert [line for line in view.lines if not kinds.fullmatch(line)] == []


def test_a_line_of_another_part_replaces_the_one_around_it_or_yields_to_it() -> None:
    with terminal(60) as (shown, theirs):
        screen = Screen(theirs, every_seconds=0.01)
        with screen.showing(lambda: ["outer"]):
            shown.wait_for(lambda raw: b"outer" in raw)
            with screen.showing(lambda: ["hidden"], yields=True):
                pass
            with screen.showing(lambda: ["inner"]):
                shown.wait_for(lambda raw: raw.endswith(b"inner\x1b[K"))
            shown.wait_for(lambda raw: raw.endswith(b"outer\x1b[K"))
        assert b"hidden" not in shown.raw


def test_what_forked_processes_retry_is_counted() -> None:
    with Progress("uploading", unit=("binary", "binaries"), screen=Screen(), say=print) as progress:

        def prepare() -> Callable[[str], int]:
            def work(_task: str) -> int:
                progress.retried()
                return 1

            return work

        tasks = [str(number) for number in range(100)]
        assert len(list(in_processes(tasks, prepare, processes=2, threads=2))) == 100
        assert progress.retries == 100
    assert progress.retries == 100


@pytest.mark.usefixtures("credentials")
def test_a_verification_shows_how_far_it_is_and_ends_with_what_it_read_and_retried(moto: Server, tmp_path: Path) -> None:
    bucket = moto.bucket()
    for name in ("app", "lib"):
        add_entry(tmp_path / "unsigned", name)
    publish(tmp_path / "unsigned", moto.store(f"s3://{bucket}/x"), sign=as_it_is)
    may_go, refused = threading.Event(), iter([True])

    def hold(request: Any) -> bool:
        if "/blobs/" not in request.path:
            return False
        may_go.wait(60)
        if not next(refused, False):
            return False
        request.send_response_only(503)
        request.send_header("Content-Length", "0")
        request.end_headers()
        return True

    argv = [sys.executable, "-m", "spack_farm", "publish", "verify", f"s3://{bucket}/x", "--any-signer"]
    with in_front_of(moto, hold) as front, running_on(50, argv, environment(**front.environment)) as (program, shown):
        shown.wait_for(lambda raw: b"verifying: 0 of 2 binaries" in raw)  # by a listing of its own
        may_go.set()
        assert program.wait(60) == 0
    # an answer that is slow is asked for again, too
    last = r"spack-farm: 2 of 2 binaries good, 2 indexed, 0 faults, [\d.]+ KiB read, (1 retry|\d retries)"
    assert [line for line in shown.view().lines if line and not re.fullmatch(last, line)] == []
