"""What other programs learn of packages."""

import json
from pathlib import Path
from typing import Any

import pytest

from buildjob.agent import package_status
from buildjob.agent.schedule import Schedule
from buildjob.event_output import Events
from buildjob.outcome import Outcome
from buildjob.run_folder import RunResult
from buildjob.spack.concrete import ConcreteSpec
from buildjob.telemetry import FirstError, Publish
from tests.labs.telemetry_samples import sample

PACKAGE = {"name": sample().spec.name, "version": sample().spec.version, "hash": sample().spec.hash}


def result(**changes: Any) -> RunResult:
    return RunResult(folder=Path("/out/x"), telemetry=sample(**changes), command="spack install", is_root=True)


def spec(name: str) -> ConcreteSpec:
    return ConcreteSpec(
        hash=f"hash-{name}", name=name, version="1", spec_file="", prefix="", stage_name="", external=False, installed=False,
        binary="", architecture="", compiler="", variants={}, dependencies=[],
    )  # fmt: skip


class Lines:
    def __init__(self) -> None:
        self.events = Events(self.take)
        self.seen: list[dict[str, Any]] = []

    def take(self, line: bytes) -> None:
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        self.seen.append(json.loads(line))


def test_what_is_to_become_of_each_package_is_said_before_anything_begins() -> None:
    lines = Lines()
    work = Schedule(
        nothing=[spec("a")],
        publish_only=[spec("b")],
        fetch=[spec("c")],
        fetch_before={"hash-f": [spec("d")]},
        build=[spec("e"), spec("f")],
    )
    package_status.announce_plan(lines.events, work)
    seen = [(each["package"]["name"], each["action"], each["number"], each["of"]) for each in lines.seen]
    assert seen == [
        ("a", "nothing", None, None),
        ("b", "publish", None, None),
        ("c", "fetch", None, None),
        ("d", "fetch", None, None),
        ("e", "build", 1, 2),
        ("f", "build", 2, 2),
    ]


def test_a_package_is_announced_with_its_place_phases_and_end() -> None:
    lines = Lines()
    package_status.announce_start(lines.events, result(), number=3, of=5)
    package_status.announce_phase(lines.events, result(), "build")
    error = FirstError(line=7, text="x.c:1: error: no", file="x.c:1", phase="build")
    ended = result(outcome=Outcome.BUILD_FAILED, first_error=error, publish=None)
    package_status.announce_result(lines.events, ended)
    started, phase, finished = lines.seen
    assert (started["event"], started["package"], started["number"], started["of"]) == ("package_started", PACKAGE, 3, 5)
    assert (phase["event"], phase["phase"]) == ("package_phase", "build")
    assert finished["first_error"] == {"line": 7, "text": "x.c:1: error: no"}
    assert finished["memory_peak_bytes"] == sample().totals.memory_working_set_peak_bytes
    assert {each["version"] for each in lines.seen} == {1}


@pytest.mark.parametrize(("url", "size"), [("s3://m/x", 5), ("", 0)])
def test_what_became_of_a_binary_is_said_before_the_package_ends(url: str, size: int) -> None:
    lines = Lines()
    published = Publish(state="published", url=url, bytes=size)
    package_status.announce_result(lines.events, result(publish=published))
    assert [each["event"] for each in lines.seen] == ["package_published", "package_finished"]
    assert (lines.seen[0]["url"], lines.seen[0]["bytes"]) == (url, size)


def test_a_call_begins_warns_fails_and_ends() -> None:
    lines = Lines()
    lines.events.begin("1.0")
    lines.events.warn("look")
    lines.events.fail("no")
    lines.events.outcome = Outcome.BUILT
    lines.events.finish(0)
    assert [each["event"] for each in lines.seen] == ["run_begun", "warning", "error", "run_finished"]
    assert (lines.seen[0]["spack_farm"], lines.seen[-1]["outcome"], lines.seen[-1]["exit_code"]) == ("1.0", "built", 0)


def test_a_reader_that_is_gone_ends_the_events_and_without_one_there_are_none() -> None:
    def gone(_line: bytes) -> None:
        raise BrokenPipeError

    events = Events(gone)
    events.begin("1.0")
    assert not events.is_live
    for silent in (events, Events()):
        silent.warn("look")
        silent.fail("no")
        silent.begin("1.0")
        silent.finish(0)
        package_status.announce_result(silent, result())
