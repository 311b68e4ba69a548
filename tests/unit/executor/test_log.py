import os
from pathlib import Path

import pytest

from executor.log import Log, shows_color, write_all


def lines(tmp_path: Path, *, color: bool) -> str:
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    log = Log(descriptor, color=color)
    log.step("Preparing")
    log.all(["a note"], ["a warning"])
    log.error("it failed\nsecond line")
    os.close(descriptor)
    return path.read_text()


def test_lines_say_what_they_are_without_color(tmp_path: Path) -> None:
    expected = "Preparing\na note\nWARNING: a warning\nERROR: it failed\nsecond line\n"
    assert lines(tmp_path, color=False) == expected


def test_each_line_of_a_message_is_colored_and_notes_are_not(tmp_path: Path) -> None:
    text = lines(tmp_path, color=True)
    assert "\x1b[36;1mPreparing\x1b[0m\na note\n\x1b[33;1mWARNING: a warning\x1b[0m\n" in text
    assert text.endswith("\x1b[31;1mERROR: it failed\x1b[0m\n\x1b[31;1msecond line\x1b[0m\n")


def test_a_message_is_bounded_and_may_hold_what_utf_8_does_not(tmp_path: Path) -> None:
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    Log(descriptor).note("x" * 10_000)
    Log(descriptor).note("a \udcff b")
    os.close(descriptor)
    first, second = path.read_text().splitlines()
    assert (len(first), second) == (4002, r"a \udcff b")


@pytest.mark.parametrize(
    ("variables", "colored"), [({"CI": "true"}, True), ({"CI": "true", "NO_COLOR": "1"}, False), ({"NO_COLOR": "1"}, False)]
)
def test_the_job_log_shows_colors_unless_they_are_unwanted(variables: dict[str, str], colored: bool) -> None:  # noqa: FBT001
    assert shows_color(variables) is colored


def test_a_reader_that_is_gone_is_an_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        write_all(writing, b"x")
    os.close(writing)


@pytest.mark.parametrize(
    ("output", "expected"), [(b"no end", "no end\na note\n"), (b"end\n", "end\na note\n"), (b"", "a note\n")]
)
def test_a_message_begins_a_line_of_its_own_whatever_a_script_has_printed(
    tmp_path: Path, output: bytes, expected: str
) -> None:
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    log = Log(descriptor)
    write_all(descriptor, output)
    log.note("a note")
    os.close(descriptor)
    assert path.read_text() == expected
