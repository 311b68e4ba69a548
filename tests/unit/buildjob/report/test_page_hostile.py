"""Whatever stands in a document, a log or a link: it stays text on the page."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildjob.report.foreign_text import escape_and_cut, escape_controls
from buildjob.report.link import Link
from buildjob.report.log_excerpt import LogExcerpt
from buildjob.report.page import render
from buildjob.telemetry import FirstError, MemoryKill, Telemetry
from tests.labs.html_reader import Node, outline, read_html
from tests.labs.telemetry_samples import map_texts, sample

_WHOLE = sample(
    first_error=FirstError(line=2, text="text", file="file", phase="phase"),
    memory_kills=[MemoryKill(process="process", inferred=True, limit_bytes=1, at_seconds=1.0)],
)


def _page_of(text: str) -> tuple[str, Node]:
    """Return a page in which each foreign text is the given one."""
    document = map_texts(_WHOLE, lambda _: text)
    excerpt = LogExcerpt(first_line=1, lines=[text] * 3, error_line=2)
    page = render(document, excerpt=excerpt, links=(Link(label=text, url=text),), reproduce=text)
    return page, read_html(page)


@pytest.mark.parametrize(
    "payload",
    [
        "<script>alert(1)</script>",
        "</style><script>alert(1)</script>",
        "</title></head><body onload=alert(1)>",
        '"><img src=x onerror=alert(1)>',
        "' onmouseover='alert(1)",
        '" style="background:url(//evil)" x="',
        "</svg><foreignObject><iframe src=javascript:alert(1)>",
        "<!-- --!> <![CDATA[ ]]> <?xml ?>",
        "javascript:alert(1)",
        "&lt;script&gt; &#60;script&#62; &amp;",
        "\x00<\x00script>",
        "\x1b[31mred\x1b]0;title\x07",
        "\ud800\udcff\U0010ffff\ufffe",
        "\u202eevil\u2066\u200b\ufeff",
        "<scr\u200bipt>",
        "{{constructor}} ${7*7} <%= 7 %>",
    ],
)
def test_a_payload_in_every_text_leaves_the_page_as_it_is(payload: str) -> None:
    """The same elements with the same attributes as on a page of plain words, and the payload where the words were."""
    text, page = _page_of(payload)
    plain = "x" * len(payload)
    assert outline(page) == outline(_page_of(plain)[1])
    shown = escape_controls(payload)
    assert page.one("h1").text() == f"{shown} {shown} /{escape_controls(payload[:7])}"
    assert page.one("h1").one("code").attributes["title"] == shown
    assert text.isprintable() or set(filter(lambda character: not character.isprintable(), text)) == {"\n"}
    text.encode("utf-8")


@pytest.mark.long
@given(st.text(st.characters(), min_size=1, max_size=400))
@settings(max_examples=25, deadline=None)
def test_any_text_in_every_field_comes_back_as_people_see_it(foreign: str) -> None:
    text, page = _page_of(foreign)
    assert "<script" not in text.lower()
    assert len(page.all("style")) == 1
    assert page.one("head").one("title").text().startswith(escape_and_cut(f"{foreign} {foreign}", limit=120)[:120])
    assert page.one("h1").one("span", "version").text() == escape_and_cut(foreign, limit=60)
    commands = [cell.one("code").text() for cell in page.all("th") if cell.all("code")]
    assert commands == [escape_and_cut(foreign, limit=240)] * len(_WHOLE.top_processes)
    hrefs = [anchor.attributes["href"] for anchor in page.all("a")]
    assert all(href in {"build.log", "telemetry.json"} or href.startswith(("http://", "https://")) for href in hrefs)


_FIELDS: list[str] = [name for name in Telemetry.__struct_fields__ if isinstance(getattr(_WHOLE, name), str)]


@pytest.mark.parametrize("name", _FIELDS)
def test_one_hostile_field_alone_changes_nothing_else(name: str) -> None:
    payload = "</p></div><script>alert(1)</script>"
    hostile = msgspec.structs.replace(_WHOLE, **{name: payload})
    plain = msgspec.structs.replace(_WHOLE, **{name: "x" * len(payload)})
    pages = [read_html(render(document, excerpt=None, links=(), reproduce="")) for document in (hostile, plain)]
    assert outline(pages[0]) == outline(pages[1])
