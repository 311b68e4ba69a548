import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctest_xml.model import LogEvent
from ctest_xml.scan import scan
from ctest_xml.verdicts import DOUBT_LINES, END_LINES, HEADING_LINES

DOUBTFUL = "cat: VERSION: No such file or directory"
FAILURE = "make: *** [Makefile:2: all] Error 1"
ERROR = "a.c:3:2: error: bad"
WARNING = "a.c:1:1: warning: w"
HEADING = "FAILED: a.o"


def events(*lines: str) -> list[LogEvent]:
    return list(scan(["\n".join(lines).encode() + b"\n"]))


def found(*lines: str) -> list[tuple[str, str]]:
    return [(event.kind[0].upper(), event.text) for event in events(*lines)]


def plain(count: int) -> list[str]:
    return [f"line {number}" for number in range(count)]


def test_a_doubtful_line_is_an_error_if_a_failure_follows() -> None:
    assert found(DOUBTFUL, FAILURE) == [("E", DOUBTFUL), ("E", FAILURE)]
    assert found(DOUBTFUL, *plain(DOUBT_LINES - 1), FAILURE)[0] == ("E", DOUBTFUL)


def test_a_doubtful_line_is_an_error_at_the_end_of_the_log() -> None:
    assert found(DOUBTFUL) == [("E", DOUBTFUL)]
    assert found(*plain(30), DOUBTFUL, "bye") == [("E", DOUBTFUL)]


def test_near_the_end_of_the_log_a_caller_that_goes_on_counts_sooner() -> None:
    assert found(DOUBTFUL, *plain(END_LINES))[0] == ("E", DOUBTFUL)
    assert found(DOUBTFUL, *plain(END_LINES + 1)) == [("W", DOUBTFUL)]
    assert found("FAILED check: using the default", *plain(END_LINES + 1))[0][0] == "W"


def test_a_doubtful_line_is_a_warning_if_the_caller_goes_on() -> None:
    assert found(DOUBTFUL, *plain(DOUBT_LINES + 1)) == [("W", DOUBTFUL)]
    assert found(DOUBTFUL, *plain(DOUBT_LINES), FAILURE) == [("W", DOUBTFUL), ("E", FAILURE)]


def test_a_doubtful_line_does_not_explain_another_error() -> None:
    assert found(DOUBTFUL, ERROR, FAILURE) == [("W", DOUBTFUL), ("E", ERROR), ("E", FAILURE)]


def test_several_doubtful_lines_are_decided_together() -> None:
    assert found(DOUBTFUL, WARNING, DOUBTFUL, FAILURE) == [("E", DOUBTFUL), ("W", WARNING), ("E", DOUBTFUL), ("E", FAILURE)]


def test_a_heading_is_dropped_for_the_error_that_it_announces_and_is_in_its_context() -> None:
    (error,) = events("before", HEADING, "cc -c a.c", ERROR)
    assert (error.text, error.pre_context) == (ERROR, f"before\n{HEADING}\ncc -c a.c\n")
    assert found(HEADING, WARNING, ERROR) == [("W", WARNING), ("E", ERROR)]
    assert found(HEADING, *plain(HEADING_LINES - 1), ERROR) == [("E", ERROR)]


def test_a_heading_that_announces_nothing_is_an_error() -> None:
    assert found(HEADING, "cc -c a.c", "ninja: build stopped: subcommand failed.")[0] == ("E", HEADING)
    assert found(HEADING, *plain(HEADING_LINES), ERROR) == [("E", HEADING), ("E", ERROR)]
    assert found("Traceback (most recent call last):", "  frame", "Again: busy") == [
        ("E", "Traceback (most recent call last):")
    ]


def test_a_heading_is_dropped_for_a_doubtful_line_that_is_an_error_after_all() -> None:
    assert found(HEADING, DOUBTFUL, "ninja: build stopped: x") == [("E", DOUBTFUL), ("E", "ninja: build stopped: x")]


def test_the_joined_context_is_ten_lines() -> None:
    (error,) = events(*plain(20), HEADING, *plain(8), ERROR)
    assert error.pre_context.split("\n")[:2] == ["line 19", HEADING]
    assert error.pre_context.count("\n") == 10


@pytest.mark.parametrize(
    "line",
    ["Makefile:1: HDF5_DIR is not set", "configure.ac:5: installing './compile'", "a.c:3:5: optimized: loop vectorized"],
)
def test_a_trace_never_explains_a_failure(line: str) -> None:
    assert found(line, FAILURE) == [("E", FAILURE)]


def test_an_unlabelled_line_explains_only_a_failure_that_nothing_else_explains() -> None:
    line = "x.foo:12: I cannot do that"
    assert found(line, *plain(3)) == []
    assert found(line, "x.foo:13: nor that", "see above", FAILURE) == [("E", line), ("E", FAILURE)]
    assert found(line, ERROR, FAILURE) == [("E", ERROR), ("E", FAILURE)]
    assert found(WARNING, line, FAILURE) == [("W", WARNING), ("E", line), ("E", FAILURE)]


def test_an_explanation_has_its_line_and_its_context() -> None:
    first, second = events(*plain(12), "x.foo:12: no", "more", FAILURE)
    assert (first.log_line, first.pre_context, first.post_context) == (
        13,
        "".join(f"line {n}\n" for n in range(4, 12)),
        "more\n",
    )
    assert (second.log_line, second.pre_context) == (15, "")


LINES = st.sampled_from(
    [DOUBTFUL, FAILURE, ERROR, WARNING, HEADING, "x.foo:1: a", "plain", "Traceback (most recent call last):"]
)


@given(st.lists(LINES, max_size=60))
def test_events_keep_the_order_of_the_log_and_only_headings_are_dropped(lines: list[str]) -> None:
    seen = events(*lines)
    numbers = [event.log_line for event in seen]
    assert numbers == sorted(set(numbers))
    assert all(event.text == lines[event.log_line - 1] for event in seen)
    certain = {number for number, line in enumerate(lines, 1) if line in {DOUBTFUL, FAILURE, ERROR, WARNING}}
    assert certain <= set(numbers)
