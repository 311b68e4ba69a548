"""Escaping is no choice: a plain string can't become markup, in no place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.report.foreign_text import escape_and_cut
from buildjob.report.markup import Html, element, format_number, join, link, path, text
from tests.labs.html_reader import read_html

ANY_TEXT = st.text(st.characters())


def test_children_and_attributes_are_escaped_and_markup_passes() -> None:
    inner = element("b", "1 < 2 & 3")
    outer = element("p", inner, '"quoted"', class_='a" onclick="x', aria_label="it's")
    assert inner == "<b>1 &lt; 2 &amp; 3</b>"
    assert outer == ('<p class="a&quot; onclick=&quot;x" aria-label="it&#x27;s"><b>1 &lt; 2 &amp; 3</b>"quoted"</p>')


def test_attributes_of_none_are_left_out_and_numbers_are_written_short() -> None:
    assert element("rect", x=None, y=0, width=12.50, rx=1 / 3) == '<rect y="0" width="12.5" rx="0.33"></rect>'


def test_void_elements_have_no_end() -> None:
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'


@given(ANY_TEXT)
def test_any_text_comes_back_from_a_parser_as_the_escapes_that_people_see(foreign: str) -> None:
    node = read_html(element("p", foreign, title=foreign)).one("p")
    shown = escape_and_cut(foreign, limit=300)
    assert node.text() == shown
    assert node.attributes == {"title": shown}
    assert [inner.tag for inner in node.walk()] == ["p"]


def test_foreign_text_is_cut_with_a_note() -> None:
    assert text("x" * 301) == "x" * 300 + " … (cut: 301 characters)"
    assert text("x" * 301, limit=301) == "x" * 301


def test_the_data_of_a_path_is_not_cut() -> None:
    data = "M" + "L".join(["1 2"] * 1000)
    assert read_html(path(data, class_="line")).one("path").attributes == {"class": "line", "d": data}


def test_joining_escapes_what_is_plain() -> None:
    assert join(Html("<br>"), "<br>") == "<br>&lt;br&gt;"
    assert isinstance(join("a"), Html)


@pytest.mark.parametrize(
    "url", ["https://example.org/a?b=c&d=%20#e", "http://10.0.0.1:8080/x", "https://[::1]/x", "HTTPS://example.org"]
)
def test_a_plain_http_url_becomes_a_link(url: str) -> None:
    anchor = read_html(link("the label", url)).one("a")
    assert anchor.attributes == {"href": url, "rel": "noopener noreferrer nofollow"}
    assert anchor.text() == "the label"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "\x01javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "s3://bucket/key",
        "//example.org/x",
        "https:example.org",
        "https://",
        "https://exa\tmple.org/",
        "https://example.org/\u202egpj",
        "https://example.org/a b",
        "https://[broken",
        "https://example.org/" + "x" * 400,
        "build.log",
        "",
    ],
)
def test_any_other_url_is_shown_as_text(url: str) -> None:
    root = read_html(link("label", url))
    assert root.all("a") == []
    assert root.text() == f"label {escape_and_cut(url, limit=300)}"


def test_a_url_with_a_password_is_no_link_and_loses_it() -> None:
    root = read_html(link("job", "https://user:secret@example.org/x"))
    assert root.all("a") == []
    assert root.text() == "job https://***@example.org/x"


@given(ANY_TEXT)
def test_no_text_becomes_a_link_to_something_else_than_http(url: str) -> None:
    for anchor in read_html(link("label", url)).all("a"):
        assert anchor.attributes["href"].lower().startswith(("http://", "https://"))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (1.0, "1"),
        (1.5, "1.5"),
        (1.005, "1"),
        (99.999, "100"),
        (1e-9, "0"),
        (-0.001, "0"),
        (1e15, "1000000000000000"),
    ],
)
def test_coordinates_are_short_and_have_no_exponent(value: float, written: str) -> None:
    assert format_number(value) == written
