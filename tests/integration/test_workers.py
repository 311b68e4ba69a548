"""Work in several processes: they are one to the caller, whatever ends one of them, or all."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.labs.checkout import ROOT
from tests.labs.forking import TASKS

ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}


def argv(case: str, *, processes: int = 2, threads: int = 3, count: int = len(TASKS)) -> list[str]:
    return [sys.executable, "-m", "tests.labs.forking", case, str(processes), str(threads), str(count)]


def result_of(program: list[str], folder: Path) -> dict[str, Any]:
    done = subprocess.run(program, env=ENVIRONMENT, cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found.pop("left") == 0, "no process stays"
    return found


@pytest.mark.parametrize("count", [0, 1, 300])
def test_every_task_is_done_once(count: int, tmp_path: Path) -> None:
    expected = {task: len(task) for task in TASKS[:count]}
    assert result_of(argv("all is well", count=count), tmp_path) == {"results": expected}


def test_tasks_are_taken_in_their_order(tmp_path: Path) -> None:
    result_of(argv("in their order", processes=1, threads=1), tmp_path)
    assert (tmp_path / "taken").read_text().splitlines() == TASKS


@pytest.mark.parametrize(
    ("case", "kind", "text"),
    [
        ("a conflict", "Conflict", "somebody else"),
        ("a full disk", "OSError", "[Errno 28] No space left on device: '/a/file'"),
        ("a bug", "RuntimeError", "KeyError: 'a bug'"),
        ("an exit", "RuntimeError", "SystemExit: 3"),
        ("a kill", "PublishError", "was killed from outside"),
        ("nothing can be prepared", "PublishError", "no credentials"),
    ],
)
def test_what_ends_one_ends_all_and_is_raised_as_what_it_is(case: str, kind: str, text: str, tmp_path: Path) -> None:
    found = result_of(argv(case), tmp_path)
    assert found["kind"] == kind
    assert text in found["text"]


def test_a_caller_that_has_enough_ends_them(tmp_path: Path) -> None:
    assert result_of(argv("all is well", count=200), tmp_path) == {}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_they_end_with_the_caller(number: signal.Signals, tmp_path: Path) -> None:
    with subprocess.Popen(
        argv("sleep", threads=1, count=2), env=ENVIRONMENT, cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as caller:  # fmt: skip
        assert caller.stdout
        ended = [os.pidfd_open(int(caller.stdout.readline())) for _ in range(2)]
        caller.send_signal(number)
        caller.wait(60)
        for each in ended:
            assert select.select([each], [], [], 60)[0], "it runs on"
            os.close(each)
