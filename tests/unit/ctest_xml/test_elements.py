import io
import itertools
from typing import Any

import pytest

from ctest_xml.elements import Began, Ended, Event, HasDoctype, NotWellFormed, SectionEnded, kind_of, read


def events(body: str | bytes) -> list[Event]:
    return list(read(io.BytesIO(body.encode() if isinstance(body, str) else body)))


def ended(body: str, name: str) -> Any:
    return next(event.seen for event in events(body) if isinstance(event, Ended) and event.seen.name == name)


def test_elements_begin_and_end_in_order_with_their_lines() -> None:
    found = events('<Site a="b">\n<Build>\n</Build></Site>')
    assert [(type(event), event.seen.name, event.seen.line) for event in found if isinstance(event, Began | Ended)] == [
        (Began, "Site", 1),
        (Began, "Build", 2),
        (Ended, "Build", 2),
        (Ended, "Site", 1),
    ]
    assert [event.line for event in found if isinstance(event, Ended)] == [3, 3]


def test_an_element_knows_what_is_around_and_in_it() -> None:
    site = ended('<Site a="b"><Notes c="d"><Text>one</Text><Time>2</Time></Notes></Site>', "Site")
    notes = ended('<Site a="b"><Notes c="d"><Text>one</Text><Time>2</Time></Notes></Site>', "Notes")
    assert (site.parent, site.attributes, site.children, site.blank) == ("/", {"a": "b"}, ["Notes"], True)
    assert (notes.document, notes.parent) == ("Notes", "Site")
    assert (notes.attributes, notes.children) == ({"c": "d"}, ["Text", "Time"])
    assert notes.child_texts == {"Text": "one", "Time": "2"}


def test_a_text_is_measured_and_only_its_head_is_kept() -> None:
    text = ended(f"<Site><Notes><Text>{'é' * 100_000}</Text></Notes></Site>", "Text")
    assert (text.characters, text.size, len(text.head), text.blank) == (100_000, 200_000, 4096, False)


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("plain", (0, 0, True)),
        ("a &amp; b", (1, 0, True)),
        ("&lt;&gt;", (2, 0, False)),
        ("<![CDATA[a & b]]>", (0, 1, False)),
        ("a<![CDATA[b]]>", (0, 1, True)),
        ("\n", (0, 0, False)),
    ],
)
def test_fragments_are_counted_as_cdash_reads_them(text: str, fragments: tuple[int, int, bool]) -> None:
    command = ended(f"<Site><Build><BuildCommand>{text}</BuildCommand></Build></Site>", "BuildCommand")
    assert command.keeps_last_fragment
    assert (command.entities, command.sections, command.plain) == fragments


@pytest.mark.parametrize(
    ("body", "name", "keeps_last"),
    [
        ("<Site><Build><BuildCommand/></Build></Site>", "BuildCommand", True),
        ("<Site><Configure><BuildCommand/></Configure></Site>", "BuildCommand", False),
        ("<Site><Build><NamedMeasurement><Value/></NamedMeasurement></Build></Site>", "Value", True),
        ("<Site><Testing><NamedMeasurement><Value/></NamedMeasurement></Testing></Site>", "Value", False),
        ("<Update><Site/></Update>", "Site", True),
        ("<Site><Labels><Label/></Labels><Notes/></Site>", "Label", True),
    ],
)
def test_a_field_that_keeps_its_last_fragment_is_known_by_its_place(body: str, name: str, *, keeps_last: bool) -> None:
    assert ended(body, name).keeps_last_fragment is keeps_last


@pytest.mark.parametrize(
    ("body", "name", "is_packed"),
    [
        ('<Site><Upload><File><Content encoding="base64">eA==</Content></File></Upload></Site>', "Content", True),
        ("<Site><Upload><File><Content>eA==</Content></File></Upload></Site>", "Content", False),
        ('<Site><Notes><Text encoding="base64">eA==</Text></Notes></Site>', "Text", False),
    ],
)
def test_packed_content_is_followed(body: str, name: str, *, is_packed: bool) -> None:
    assert (ended(body, name).packed is not None) is is_packed


def test_the_length_of_a_section_is_known() -> None:
    found = events("<Site><Build><Log><![CDATA[abc]]>\n<![CDATA[]]></Log></Build></Site>")
    sections = [event for event in found if isinstance(event, SectionEnded)]
    assert [(event.seen.name, event.characters, event.line) for event in sections] == [("Log", 3, 1), ("Log", 0, 2)]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "no element found"),
        (b"<Site><Build></Site>", "mismatched tag"),
        (b"<Site>\xff</Site>", "not well-formed"),
        (b'<?xml version="1.0" encoding="nope"?><Site/>', "unknown encoding"),
        (b'<?xml version="1.0" encoding="utf-7"?><Site/>', "multi-byte encodings"),
    ],
)
def test_what_is_not_well_formed_ends_the_reading(body: bytes, error: str) -> None:
    last = events(body)[-1]
    assert isinstance(last, NotWellFormed)
    assert error in last.error


def test_what_came_before_a_fault_is_still_read() -> None:
    assert [type(event) for event in events("<Site><Build/>\x1b")] == [Began, Began, Ended, NotWellFormed]


def test_no_entity_of_a_document_type_declaration_is_expanded() -> None:
    bomb = '<!DOCTYPE Site [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>\n<Site>&b;</Site>'
    assert events(bomb) == [HasDoctype(1)]


def test_a_long_document_is_read_in_blocks() -> None:
    read_bytes = []

    class File(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            read_bytes.append(size)
            return super().read(size)

    walk = read(File(b"<Site><Build>" + b"<Error/>" * 100_000))
    assert sum(1 for _ in itertools.islice(walk, 100)) == 100
    assert read_bytes == [8192]


@pytest.mark.parametrize(
    ("head", "kind"), [(b"<Site><Build>", "Build"), (b"<!-- <Update --><Site><Build>", "Update"), (b"x", "")]
)
def test_the_kind_is_guessed_as_cdash_guesses(head: bytes, kind: str) -> None:
    assert kind_of(head) == kind
