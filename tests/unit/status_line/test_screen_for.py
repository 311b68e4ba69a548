"""Where lines may be rewritten: on a terminal, and only there."""

import io

import pytest

from status_line.screen import screen_for


class Terminal(io.StringIO):
    encoding = "utf-8"

    def fileno(self) -> int:
        return 2

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "variables",
    [{}, {"TERM": "xterm-256color"}, {"CI": ""}, {"NO_COLOR": "1"}],
    ids=["no", "a terminal's", "empty", "colors"],
)
def test_a_terminal_shows_the_line(variables: dict[str, str]) -> None:
    assert screen_for(Terminal(), variables).is_live
    assert not screen_for(Terminal(), variables, quiet=True).is_live


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"CI": "true"}, {"TERM": "xterm", "CI": "1"}])
def test_a_dumb_terminal_and_the_log_of_a_job_show_no_line(variables: dict[str, str]) -> None:
    assert not screen_for(Terminal(), variables).is_live


def test_what_is_no_terminal_shows_no_line() -> None:
    closed = io.StringIO()
    closed.close()
    assert not any(screen_for(stream, {}).is_live for stream in (None, io.StringIO(), closed))


def test_a_screen_that_shows_nothing_calls_nothing() -> None:
    screen = screen_for(None, {})
    with screen.showing(lambda: pytest.fail("nothing is shown")), screen.cleared():
        screen.refresh()
