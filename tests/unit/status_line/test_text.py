"""How a status line is written, at any width and in any encoding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from status_line.text import cells, counted, elapsed, fitting, shortened, shown, size

FORMS = ["[3/5] hdf5@1.14.3 (build, 2:31, 3.1 GiB)", "[3/5] hdf5@1.14.3 (build, 2:31)", "[3/5] hdf5@1.14.3"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.9, "0:59"), (151, "2:31"), (3600, "1:00:00"), (86399, "23:59:59")]
)
def test_a_time_is_written_as_a_clock_shows_it(seconds: float, text: str) -> None:
    assert elapsed(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1023, "1.0 KiB"),
        (3_328_599_655, "3.1 GiB"),
        (10 << 20, "10 MiB"),
        (640 << 20, "640 MiB"),
        (1023 << 20, "1.0 GiB"),
        (1 << 70, "1024 EiB"),
    ],
)
def test_a_size_has_two_or_three_digits(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 retries"), (1, "1 retry"), (1200, "1,200 retries")])
def test_a_number_of_things_is_written_with_their_name(number: int, text: str) -> None:
    assert counted(number, "retry", "retries") == text


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (200, FORMS[0]),
        (40, FORMS[0]),
        (39, FORMS[1]),
        (31, FORMS[1]),
        (30, FORMS[2]),
        (17, FORMS[2]),
        (16, "[3/5] hdf5@1...."),
        (7, "[3/5..."),
        (6, "[3/5]"),
        (1, "["),
        (0, ""),
    ],
)
def test_the_richest_form_that_fits_is_shown_and_the_last_one_is_cut(columns: int, line: str) -> None:
    assert fitting(FORMS, columns) == line


@given(st.lists(st.text(), max_size=4), st.integers(min_value=0, max_value=50))
def test_no_line_is_wider_than_the_terminal(forms: list[str], columns: int) -> None:
    assert cells(fitting([shown(form, "utf-8") for form in forms], columns)) <= columns


@pytest.mark.parametrize(
    ("text", "encoding", "line"),
    [
        ("hdf5", "ascii", "hdf5"),
        ("größe", "utf-8", "größe"),
        ("größe", "iso-8859-1", "größe"),
        ("größe", "ascii", "gr\\xf6\\xdfe"),
        ("名", "iso-8859-1", "\\u540d"),
        ("a\x1b[2Jb\r\n\tc", "utf-8", "a\\x1b[2Jb\\x0d\\x0a\\x09c"),
        ("\udcff", "utf-8", "\\xdcff"),
    ],
)
def test_foreign_text_is_shown_in_the_terminals_encoding_and_moves_no_cursor(text: str, encoding: str, line: str) -> None:
    assert shown(text, encoding) == line


@pytest.mark.parametrize(("text", "columns"), [("", 0), ("hdf5", 4), ("größe", 5), ("名前", 4), ("e\u0301", 1)])
def test_wide_characters_take_two_columns(text: str, columns: int) -> None:
    assert cells(text) == columns


@pytest.mark.parametrize(
    ("facts", "forms"),
    [
        (["build", "2:31", "3.1 GiB"], ["x (build, 2:31, 3.1 GiB)", "x (build, 2:31)", "x (build)", "x"]),
        (["", "0:01", ""], ["x (0:01)", "x"]),
        ([], ["x"]),
    ],
)
def test_the_last_facts_are_dropped_first(facts: list[str], forms: list[str]) -> None:
    assert shortened("x", facts) == forms
