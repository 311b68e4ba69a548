"""Foreign text can neither move a cursor nor turn a line around."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.report.foreign_text import count_cells, cut, escape_and_cut, escape_controls, strip_ansi, to_ascii

ANY_TEXT = st.text(st.characters())  # with surrogates


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("größer 東京", "größer 東京"),
        ("\x00", "\\x00"),
        ("a\tb\r\n", "a\\tb\\r\\n"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x7f\x9b", "\\x7f\\x9b"),
        ("user\u202egpj.exe", "user\\u202egpj.exe"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("line\u2028end", "line\\u2028end"),
        ("\U000e0041", "\\U000e0041"),
        ("\udcff", "\\xff"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_is_not_to_be_seen_becomes_an_escape(text: str, shown: str) -> None:
    assert escape_controls(text) == shown


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("\x1b[01;31m\x1b[Kerror:\x1b[m\x1b[K x", "error: x"),
        ("\x1b[38;2;255;0;0mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("\x1b(Btext\x1b7\x1b8\x1bc", "text"),
        ("\x1b[2J\x1b[H", ""),
        ("\x1b]0;a string without an end", "\x1b]0;a string without an end"),
        ("no sequence", "no sequence"),
    ],
)
def test_terminal_sequences_are_dropped(text: str, plain: str) -> None:
    assert strip_ansi(text) == plain


def test_a_sequence_that_appears_by_dropping_another_does_not_get_through() -> None:
    assert escape_controls(strip_ansi("\x1b\x1b[m[31mred")) == "\\x1b[31mred"


@given(ANY_TEXT)
def test_any_text_becomes_printable(text: str) -> None:
    assert escape_controls(text).isprintable()
    assert to_ascii(text).isascii()
    assert to_ascii(text).isprintable()


@given(st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" ")))
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert escape_controls(text) == text


def test_a_cut_says_how_long_the_text_was() -> None:
    assert escape_and_cut("abc", limit=3) == "abc"
    assert escape_and_cut("x" * 1_000_000, limit=3) == "xxx … (cut: 1,000,000 characters)"
    assert escape_and_cut("\x00b", limit=5) == "\\x00b"
    assert escape_and_cut("\x00bc", limit=5) == "\\x00b … (cut: 3 characters)"
    assert cut("abcdef", limit=6) == "abcdef"
    assert cut("abcdefg", limit=6) == "abc..."


def test_cells_are_counted_as_terminals_draw_them() -> None:
    assert [count_cells(text) for text in ("abc", "東京", "e\u0301", "")] == [3, 4, 1, 0]
