"""Promise of the log rules: what they find in the logs of tests/data/logs, and that these logs are in order."""

import re
from pathlib import Path

import pytest

from ctest_xml.model import LogEvent
from ctest_xml.scan import scan
from scripts.benches.log_rules import Score, score
from scripts.benches.parts.known_logs import KnownLog, known_logs

FOLDER = Path(__file__).resolve().parents[1] / "data/logs"
LOGS = known_logs(FOLDER)
NAMES = [log.name for log in LOGS]


def test_every_log_has_its_truth_and_every_truth_its_log() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.log")) == NAMES


def test_the_logs_are_many_and_of_both_kinds() -> None:
    assert len(LOGS) >= 55
    assert 30 <= sum(log.passes for log in LOGS) <= len(LOGS) / 2
    assert len({log.family for log in LOGS}) >= 20


def test_the_logs_are_small() -> None:
    sizes = [log.path.stat().st_size for log in LOGS]
    assert max(sizes) <= 60_000
    assert sum(sizes) <= 1_000_000


@pytest.mark.parametrize("log", LOGS, ids=NAMES)
def test_the_truth_fits_the_log(log: KnownLog) -> None:
    lines = log.path.read_bytes().split(b"\n")
    if log.passes:
        assert (log.first, log.as_good, log.errors) == (0, (), ())
        return
    line = re.sub(rb"\x1b\[[0-9;]*[mK]", b"", lines[log.first - 1]).rpartition(b"\r")[2].decode()
    assert line[:160] == log.text
    assert {log.first, *log.as_good} <= set(log.errors)
    assert all(lines[number - 1] for number in log.errors)


def test_a_score_counts_what_it_says() -> None:
    def log(name: str, first: int = 0, *errors: int) -> KnownLog:
        return KnownLog(
            name=name, path=Path(name), family="x", tool="x", passes=not first, first=first, as_good=(7,), errors=errors
        )

    logs = [log("right", 3, 3, 9), log("as-good", 3, 3, 7), log("late", 3, 3, 9), log("missed", 3, 3), log("false", 3, 3)]
    logs += [log("clean"), log("noisy")]
    errors = {"right": [3, 9], "as-good": [7], "late": [9], "missed": [], "false": [1, 3], "clean": [], "noisy": [1, 2]}
    assert score(logs, errors) == Score(
        failing=5, right=2, missed=1, false_in_failing=1, passing=2, false_in_passing=1, false_errors=3
    )
    assert (score(logs, errors).right_percent, score(logs, errors).false_percent) == (40.0, 50.0)


def ours(log: KnownLog) -> list[LogEvent]:
    with log.path.open("rb") as file:
        return [event for event in scan(file) if event.kind == "error"]


@pytest.fixture(scope="module")
def found() -> dict[str, list[LogEvent]]:
    return {log.name: ours(log) for log in LOGS}


def test_the_first_error_is_the_right_one_in_95_of_100_logs(found: dict[str, list[LogEvent]]) -> None:
    reached = score(LOGS, {name: [event.log_line for event in events] for name, events in found.items()})
    assert reached.right_percent >= 95


def test_at_most_one_of_100_passing_logs_has_an_error(found: dict[str, list[LogEvent]]) -> None:
    reached = score(LOGS, {name: [event.log_line for event in events] for name, events in found.items()})
    assert reached.false_percent <= 1


def test_the_first_error_names_the_file_to_open_in_90_of_100_logs(found: dict[str, list[LogEvent]]) -> None:
    named = {}
    for log in LOGS:
        first = next((event for event in found[log.name] if event.log_line == log.first), None)
        if log.file and first:
            named[log.name] = (log.file, f"{first.file}:{first.file_line}" if first.file_line is not None else first.file)
    assert len(named) >= 20
    wrong = {name: places for name, places in named.items() if places[0] != places[1]}
    assert len(wrong) <= len(named) / 10, wrong
