"""Promise: what fails every second for hours is a few lines of log, and its end is one."""

import io
import itertools
import json
import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest

from autoscaler.errors import ClusterUnavailable, NotPermitted
from autoscaler.outages import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, SETTLED_SECONDS, Outage
from autoscaler.service.log import start_log

AWAY = ClusterUnavailable("the API server does not answer")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    log = start_log(stream=stream)
    yield stream
    log.handlers[:] = []


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outage(clock: Clock) -> Outage:
    return Outage("it cannot be read", "it can be read again", clock=clock)


def fail(outage: Outage, clock: Clock, *, seconds: float, every: float = 1.0) -> None:
    until = clock.now + seconds
    while clock.now < until:
        outage.failed(AWAY, kind="pods")
        clock.now += every


def test_a_day_of_failures_each_second_is_a_few_lines_and_its_end_is_one(
    outage: Outage, clock: Clock, written: io.StringIO
) -> None:
    fail(outage, clock, seconds=86_400)
    clock.now += SETTLED_SECONDS
    outage.worked(kind="pods")
    outage.worked(kind="pods")
    found = lines(written)
    assert [(line["message"], line["seconds"]) for line in found[:4]] == [
        ("it cannot be read", 0), *(("it cannot be read, still", seconds) for seconds in (60, 180, 420)),
    ]  # fmt: skip
    assert found[2]["failures"] == 181
    assert all(line["cause"] == str(AWAY) and line["kind"] == "pods" for line in found[:-1])
    pauses = [after["seconds"] - before["seconds"] for before, after in itertools.pairwise(found[:-1])]
    assert pauses[0] == FIRST_PAUSE_SECONDS
    assert set(pauses[6:]) == {LONGEST_PAUSE_SECONDS}
    assert len(found) == 30
    assert (found[-1]["message"], found[-1]["failures"], found[-1]["level"]) == ("it can be read again", 86_400, "info")


def test_calls_that_fail_and_succeed_in_turn_are_one_outage(outage: Outage, clock: Clock, written: io.StringIO) -> None:
    for _ in range(300):
        outage.failed(AWAY)
        clock.now += SETTLED_SECONDS / 3
        outage.worked()
        clock.now += SETTLED_SECONDS / 3
    assert [line["message"] for line in lines(written)] == ["it cannot be read"] + 5 * ["it cannot be read, still"]


def test_another_kind_of_cause_is_news_once(outage: Outage, clock: Clock, written: io.StringIO) -> None:
    for error in (AWAY, NotPermitted("denied"), AWAY, NotPermitted("denied"), NotPermitted("denied")):
        outage.failed(error)
        clock.now += 1
    assert [line["cause"] for line in lines(written)] == [str(AWAY), "denied"]


def test_the_next_outage_begins_anew(outage: Outage, clock: Clock, written: io.StringIO) -> None:
    for _ in range(2):
        fail(outage, clock, seconds=3)
        clock.now += SETTLED_SECONDS
        outage.worked()
    assert [(line["message"], line["failures"]) for line in lines(written)] == 2 * [
        ("it cannot be read", 1), ("it can be read again", 3),
    ]  # fmt: skip


def test_what_always_worked_is_no_line(outage: Outage, written: io.StringIO) -> None:
    outage.worked()
    assert not written.getvalue()


def test_a_bug_has_its_traceback_and_is_an_error(outage: Outage, clock: Clock, written: io.StringIO) -> None:
    for _ in range(5):
        try:
            os.environ["NO_SUCH_VARIABLE"]
        except KeyError as error:
            outage.failed(error, is_bug=True)
        clock.now += 1
    (line,) = lines(written)
    assert line["level"] == "error"
    assert "KeyError" in line["traceback"]


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
def test_the_level_is_that_of_the_outage(level: int, written: io.StringIO) -> None:
    Outage("a", "b", level=level).failed("c")
    assert lines(written)[0]["level"] == logging.getLevelName(level).lower()
