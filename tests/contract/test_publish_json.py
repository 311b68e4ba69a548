"""Clause: with `--json`, `spack-farm publish` says in one JSON object what failed, and exits with the outcome's own code."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from buildjob.outcome import EXIT_CODES, Outcome
from tests.labs.build_cache import add_entry

ROOT = Path(__file__).resolve().parents[2]


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last line of standard output."""

    error: str
    outcome: Outcome


def publish(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "spack_farm/__main__.py"), "publish", *map(str, words)],
        capture_output=True, text=True, check=False, timeout=60, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )  # fmt: skip


def failure_of(done: subprocess.CompletedProcess[str]) -> Failure:
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Failure)


@pytest.mark.parametrize(
    ("words", "outcome", "text"),
    [
        (("push", "none", "m", "--unsigned"), Outcome.BAD_REQUEST, "none: there is no such folder"),
        (("push", "empty", "m", "--unsigned"), Outcome.BAD_REQUEST, "empty: there is no binary in it"),
        (("push", "u", "ftp://host/m", "--unsigned"), Outcome.BAD_REQUEST, "ftp://host/m"),
        (("push", "u", "file", "--unsigned"), Outcome.BAD_REQUEST, "is a file, not a folder"),
        (("verify", "m", "--any-signer"), Outcome.BAD_REQUEST, "there is no build cache"),
        (("push", "u", "m", "--signing-key-command", "exit 3"), Outcome.PUBLISH_FAILED, "ended with 3"),
        (
            ("push", "u", "m", "--unsigned", "--scratch", "none"),
            Outcome.BAD_REQUEST,
            "--scratch none: there is no such folder",
        ),
        (("verify", "m"), Outcome.BAD_REQUEST, "--any-signer"),
        (("verify", "m", "--trust", "none"), Outcome.BAD_REQUEST, "none"),
        (("telemetry", "none", "m"), Outcome.PUBLISH_FAILED, "none"),
    ],
)
def test_a_failure_is_the_last_line_and_its_outcome_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], outcome: Outcome, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    add_entry(tmp_path / "u", "tool")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("not a folder")
    done = publish(*words, "--json")
    failure = failure_of(done)
    assert failure.outcome is outcome
    assert done.returncode == EXIT_CODES[outcome]
    assert text in failure.error
    assert f"error: {failure.error}\n" in done.stderr, "people read it, too"
    assert publish(*words).stdout == ""


def test_a_signal_is_an_outcome_as_well(tmp_path: Path) -> None:
    add_entry(tmp_path / "u", "tool")
    key = "kill -TERM $PPID; sleep 1"
    done = publish("push", tmp_path / "u", tmp_path / "m", "--signing-key-command", key, "--json")
    assert done.returncode == 128 + 15
    assert failure_of(done).outcome is Outcome.INTERRUPTED


def test_faults_that_verify_finds_are_an_answer_and_not_a_failure(tmp_path: Path) -> None:
    key = add_entry(tmp_path / "u", "tool")
    assert publish("push", tmp_path / "u", tmp_path / "m", "--unsigned", "--json").returncode == 0
    good = publish("verify", tmp_path / "m", "--any-signer", "--json")
    assert (good.returncode, msgspec.json.decode(good.stdout)) == (0, [key])
    (tmp_path / "m" / key).write_text("{}")
    bad = publish("verify", tmp_path / "m", "--any-signer", "--json")
    assert (bad.returncode, msgspec.json.decode(bad.stdout)) == (1, [])
