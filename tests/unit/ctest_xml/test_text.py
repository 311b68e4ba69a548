import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctest_xml.text import clean, clean_name, cut, cut_bytes, decode, decoded, one_line


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain é \U0001f600 \t\n", "plain é \U0001f600 \t\n"),
        ("a\r\nb", "a\nb"),
        ("\x1b[31m", "[NON-XML-CHAR-0x1B][31m"),
        ("\x00\x0b\x1f", "[NON-XML-CHAR-0x0][NON-XML-CHAR-0xB][NON-XML-CHAR-0x1F]"),
        ("\ufffe\uffff", "[NON-XML-CHAR-0xFFFE][NON-XML-CHAR-0xFFFF]"),
        (b"\xff\x80".decode("utf-8", "surrogateescape"), "[NON-UTF-8-BYTE-0xFF][NON-UTF-8-BYTE-0x80]"),
        ("\ud800", "[NON-XML-CHAR-0xD800]"),
        ("\x7f\x85", "\x7f\x85"),  # XML 1.0 allows them
    ],
)
def test_what_xml_forbids_is_named(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
    assert clean(cleaned) == cleaned


@given(st.lists(st.binary(max_size=4)))
def test_a_stream_is_decoded_as_if_it_were_joined(chunks: list[bytes]) -> None:
    assert "".join(decoded(chunks)) == decode(b"".join(chunks))


@given(st.text(), st.integers(0, 20))
def test_a_cut_text_fits_its_column(text: str, width: int) -> None:
    assert len(cut(text, characters=width)) <= width
    assert len(cut_bytes(text, size=width).encode()) <= width
    assert clean(text).startswith(cut(text, characters=width))


def test_a_carriage_return_takes_no_room() -> None:
    assert cut("a\rb\rc", characters=3) == "abc"
    assert cut_bytes("a\rb\rc", size=3) == "abc"


def test_no_character_is_cut_in_two() -> None:
    assert cut_bytes("aéé", size=4) == "aé"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("make\n\n\tall", "make all"),
        ("a]]>b", "a]] >b"),
        ("echo <Build x", "echo < Build x"),
        ("<testsuite", "< testsuite"),
        ("<b>", "<b>"),
        ("x" * 300, "x" * 255),
    ],
)
def test_a_fragment_is_one_short_line_that_nothing_splits(text: str, line: str) -> None:
    assert one_line(text) == line


def test_a_fragment_stays_short_though_spaces_were_put_in() -> None:
    assert len(one_line("]]>" * 100)) == 255


def test_an_identity_has_neither_quotes_nor_outer_spaces() -> None:
    assert clean_name(" o'neil's \"build\"\n") == "o`neil`s `build`"
