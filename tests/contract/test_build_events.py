"""Clause: `spack-farm build --json` prints the events of docs/reference/build-events.md and nothing else."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import msgspec
import pytest

from buildjob import events
from buildjob.agent import request
from buildjob.cli.build import main
from scripts import events_reference
from tests.labs.build_events import SCHEMA, checked
from tests.labs.checkout import ROOT
from tests.labs.pty_screen import running_on

SAMPLE = ROOT / "tests/data/build_events/sample.jsonl"
COMMAND = "echo 'x.c:1: error: no'; echo unseen >&2; exit 3"


def argv(folder: Path, *options: str, command: str = COMMAND) -> list[str | Path]:
    name = ["--name", "mine", "--version", "1"]
    return [sys.executable, "-m", "spack_farm", "build", "--command", command, *name, "--out", folder, *options]


def environment(**variables: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(ROOT), **variables}


def run(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=120, env=environment(**variables), cwd="/"
    )


@pytest.mark.parametrize("path", [path.as_posix() for path in events_reference.files()])
def test_the_reference_of_events_is_what_the_types_say(path: str) -> None:
    assert (ROOT / path).read_text() == events_reference.files()[Path(path)], f"{path} is out of date: run scripts/docs"


def test_the_sample_of_events_obeys_the_schema_and_has_each_kind() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    seen = checked(SAMPLE.read_text())
    kinds = {each["event"] for each in seen}
    named = [kind["properties"].get("event", {}) for kind in SCHEMA["$defs"].values() if "properties" in kind]
    assert kinds == {name for event in named for name in event.get("enum", ())}
    for line in SAMPLE.read_text().splitlines():
        assert json.loads(msgspec.json.encode(msgspec.json.decode(line, type=events.Event))) == json.loads(line)


@pytest.mark.parametrize("missing", ["version", "event", "at"])
def test_an_event_without_its_version_name_or_time_is_none(missing: str) -> None:
    event = json.loads(SAMPLE.read_text().splitlines()[0])
    del event[missing]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(event, SCHEMA, cls=jsonschema.Draft202012Validator)


def test_a_build_prints_events_only_and_lines_for_people_go_to_standard_error(tmp_path: Path) -> None:
    done = run(*argv(tmp_path, "--json"))
    seen = checked(done.stdout)
    assert [each["event"] for each in seen] == [
        "run_begun", "package_planned", "package_started", "package_phase", "package_finished", "run_finished",
    ]  # fmt: skip
    finished = seen[-2]
    assert (finished["outcome"], finished["first_error"]) == ("build_failed", {"line": 1, "text": "x.c:1: error: no"})
    assert Path(finished["folder"], "telemetry.json").exists()
    assert (seen[-1]["exit_code"], seen[-1]["outcome"], done.returncode) == (1, "build_failed", 1)
    for text in ("x.c:1: error: no", "unseen", "spack-farm: running mine@1", "Build failed"):
        assert text in done.stderr


def test_errors_and_the_result_are_all_that_a_quiet_build_shows(tmp_path: Path) -> None:
    done = run(*argv(tmp_path, "--quiet"))
    assert (done.returncode, done.stderr) == (1, "")
    assert "unseen" not in done.stdout
    assert "spack-farm: running" not in done.stdout
    assert "mine@1: Build failed" in done.stdout
    assert "first error: build.log:1: x.c:1: error: no" in " ".join(done.stdout.split())
    good = run(*argv(tmp_path, command="echo hello"), SPACK_FARM_BUILD_QUIET="true")
    assert (good.returncode, good.stderr, good.stdout.count("\n")) == (0, "", 1)
    assert good.stdout.startswith("mine@1: Built in ")
    both = run(*argv(tmp_path, "-q", "--json", command="echo hello"))
    assert checked(both.stdout)[-1]["outcome"] == "built"
    assert (both.stderr.count("\n"), both.stderr.startswith("mine@1: Built in ")) == (1, True)


def test_a_request_that_is_rejected_has_events_too() -> None:
    done = run(sys.executable, "-m", "spack_farm", "build", "--command", "true", SPACK_FARM_BUILD_JSON="true")
    begun, error, finished = checked(done.stdout)
    assert (begun["event"], error["event"], finished["event"]) == ("run_begun", "error", "run_finished")
    assert (finished["exit_code"], finished["outcome"], done.returncode) == (2, "bad_request", 2)
    assert error["text"] in done.stderr


@pytest.mark.parametrize("value", ["maybe", ""])
def test_a_variable_that_is_no_switch_is_rejected_without_events(value: str) -> None:
    done = run(sys.executable, "-m", "spack_farm", "build", "zlib", SPACK_FARM_BUILD_JSON=value)
    assert (done.returncode, done.stdout) == (2, "")
    assert "SPACK_FARM_BUILD_JSON" in done.stderr


def test_a_build_that_is_interrupted_ends_with_its_last_event(tmp_path: Path) -> None:
    words = argv(tmp_path, "--json", command="sleep 100")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()) as program:
        assert program.stdout
        printed = ""
        while '"package_phase"' not in printed:
            printed += program.stdout.readline()
        program.send_signal(signal.SIGTERM)
        printed += program.stdout.read()
    last = checked(printed)[-1]
    assert (last["exit_code"], last["outcome"], program.returncode) == (143, "interrupted", 143)


def test_an_interrupt_before_signals_are_caught_is_one_for_events_too(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(request, "parse", interrupted)
    assert main(["--json", "zlib"]) == 130
    assert checked(capfd.readouterr().out)[-1]["outcome"] == "interrupted"


def test_a_reader_that_ends_early_does_not_end_the_build(tmp_path: Path) -> None:
    words = argv(tmp_path, "--json", command="echo hello")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()) as program:
        assert program.stdout
        assert program.stderr
        program.stdout.close()
        shown = program.stderr.read()
    assert program.returncode == 0
    assert "mine@1: Built" in shown


def test_a_full_disk_for_events_is_reported_and_does_not_end_the_build(tmp_path: Path) -> None:
    words = argv(tmp_path, "--json", command="echo hello")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment())
    assert done.returncode == 0
    assert "mine@1: Built" in done.stderr
    assert done.stderr.endswith("spack-farm: error: standard output takes no more events: No space left on device\n")


def test_events_and_the_status_line_share_a_terminal(tmp_path: Path) -> None:
    command = f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done"
    with running_on(200, argv(tmp_path, "--json", command=command), environment(TERM="xterm")) as (program, shown):
        shown.wait_for(lambda raw: b"\r[1/1] mine@1 (" in raw)
        (tmp_path / "go").touch()
        assert program.wait(60) == 0
    lines = [line for line in shown.view().lines if '"event"' in line]
    assert [each["event"] for each in checked("\n".join(lines))][-2:] == ["package_finished", "run_finished"]
