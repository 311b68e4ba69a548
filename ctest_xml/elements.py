"""Reads a document as CDash's parser does, piece by piece, as events: elements that begin and end.

    for event in read(file): ...

Does not decide what is a fault: that is `check`. No DTD, no entities but XML's own, no network. Memory holds the events of
one block, the open elements and 4096 characters of each. Obeys: CDash 5.3, app/Utils/SubmissionUtils.php::get_xml_type, and
the handlers in app/Http/Submission/Handlers, whose `text()` sets some fields with `=`, so that they keep the last fragment.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple
from xml.parsers import expat

from ctest_xml.limits import HEAD_BYTES
from ctest_xml.packed import Packed

_MARKERS = (
    *("Update", "Build", "Configure", "Testing", "CoverageLog", "Coverage", "report", "Notes"),
    *("DynamicAnalysis", "Project", "Upload", "testsuite", "Done"),
)
_HEAD_CHARACTERS = 4096
_BLOCK_BYTES = 1 << 15
_ENTITIES = frozenset("&<>\"'")
"""What expat hands over as a piece of its own where it was an entity."""
_LAST_FRAGMENT = frozenset(
    {
        *(("Build", name) for name in ("BuildCommand", "SourceDirectory", "BinaryDirectory")),
        *(
            ("Update", name)
            for name in ("Site", "BuildName", "BuildStamp", "Revision", "PriorRevision", "Path", "UpdateType")
        ),
        ("Labels", "Label"),
        ("Subproject", "Label"),
        ("Command", "Argument"),
    }
)
"""Parent and element of which CDash keeps the last fragment only."""
_LAST_FRAGMENT_IN_BUILD = ("NamedMeasurement", "Value")
"""Likewise, in Build.xml."""


@dataclass(slots=True)
class Seen:
    """One element: its place, its attributes, and the measures of its text, complete once it has ended."""

    document: str
    """The kind CDash takes the document for; empty: none."""
    parent: str
    """`/` for the document's first element."""
    name: str
    attributes: dict[str, str]
    line: int = 0
    """Where it begins."""
    keeps_last_fragment: bool = False
    """Whether CDash keeps only the last fragment of its text."""
    children: list[str] = field(default_factory=list)
    child_texts: dict[str, str] = field(default_factory=dict)
    """Name of a child -> head of its text."""
    head: str = ""
    """The first 4096 characters of its text."""
    characters: int = 0
    size: int = 0
    """Bytes of UTF-8."""
    blank: bool = True
    """Whether its text holds only spaces and line ends."""
    entities: int = 0
    sections: int = 0
    """CDATA sections. Each of them, each entity and other text are fragments."""
    plain: bool = False
    """Whether there is other text."""
    packed: Packed | None = None


class Began(NamedTuple):
    """An element begins: name, attributes and surroundings are known."""

    seen: Seen


class Ended(NamedTuple):
    """An element has ended: its text and children are known."""

    seen: Seen
    line: int


class SectionEnded(NamedTuple):
    """A CDATA section has ended in an element."""

    seen: Seen
    characters: int
    line: int


class NotWellFormed(NamedTuple):
    """The document is not well-formed; no event follows."""

    error: str
    line: int


class HasDoctype(NamedTuple):
    """There is a document type declaration; no event follows, so none of its entities is expanded."""

    line: int


Event = Began | Ended | SectionEnded | NotWellFormed | HasDoctype


def kind_of(head: bytes) -> str:
    """Return the kind CDash takes a document for, by a substring of its first 8192 bytes; empty: none."""
    return next((marker for marker in _MARKERS if b"<" + marker.encode() in head[:HEAD_BYTES]), "")


def read(file: BinaryIO) -> Iterator[Event]:
    """Yield what a document holds, in its order. Raises OSError."""
    block = file.read(HEAD_BYTES)
    handler = _Handler(kind_of(block))
    parser = handler.parser
    try:
        while block:
            parser.Parse(block, False)
            yield from handler.take_events()
            block = file.read(_BLOCK_BYTES)
        parser.Parse(b"", True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the last two: an unknown encoding
        yield from handler.take_events()
        yield NotWellFormed(str(error), parser.CurrentLineNumber)
    except _DoctypeFound:
        yield from handler.take_events()
        yield HasDoctype(parser.CurrentLineNumber)


class _DoctypeFound(Exception):  # noqa: N818  not an error: the end of reading
    """Raised inside the parser, so that it stops before it expands an entity."""


class _Handler:
    """Expat's callbacks: they measure the open elements and collect events until `take_events`."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._last_fragment = _LAST_FRAGMENT | {_LAST_FRAGMENT_IN_BUILD} if kind == "Build" else _LAST_FRAGMENT
        self._open: list[Seen] = []
        self._events: list[Event] = []
        self._in_section = False
        self._section = 0  # characters of the open CDATA section
        self.parser = expat.ParserCreate()
        self.parser.buffer_size = _BLOCK_BYTES
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartCdataSectionHandler = self._section_start
        self.parser.EndCdataSectionHandler = self._section_end
        self.parser.StartDoctypeDeclHandler = self._doctype

    def take_events(self) -> list[Event]:
        """Return the events since the last call."""
        events, self._events = self._events, []
        return events

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        line = self.parser.CurrentLineNumber
        if self._open:
            parent = self._open[-1]
            parent.children.append(name)
            keeps_last_fragment = (parent.name, name) in self._last_fragment
            seen = Seen(self._kind, parent.name, name, attributes, line, keeps_last_fragment)
        else:
            seen = Seen(self._kind, "/", name, attributes, line)
        if name in {"Value", "Content"} and attributes.get("encoding") == "base64":
            seen.packed = Packed(compressed="compression" in attributes and seen.parent == "Measurement")
        self._open.append(seen)
        # Where fragments count, expat must hand over each by itself, as PHP's parser does; elsewhere it may join them.
        self.parser.buffer_text = not seen.keeps_last_fragment
        self._events.append(Began(seen))

    def _text(self, data: str) -> None:
        seen = self._open[-1]
        if self._in_section:
            self._section += len(data)
        elif data in _ENTITIES:
            seen.entities += 1
        elif data != "\n":
            seen.plain = True
        seen.characters += len(data)
        seen.size += len(data.encode())
        if len(seen.head) < _HEAD_CHARACTERS:
            seen.head += data[: _HEAD_CHARACTERS - len(seen.head)]
        if seen.packed:
            seen.packed.feed(data)
        if seen.blank and data.strip(" \t\r\n"):
            seen.blank = False

    def _section_start(self) -> None:
        self._in_section, self._section = True, 0
        self._open[-1].sections += 1

    def _section_end(self) -> None:
        self._in_section = False
        self._events.append(SectionEnded(self._open[-1], self._section, self.parser.CurrentLineNumber))

    def _end(self, name: str) -> None:
        seen = self._open.pop()
        self.parser.buffer_text = True
        if self._open:
            self._open[-1].child_texts[name] = seen.head
        self._events.append(Ended(seen, self.parser.CurrentLineNumber))

    def _doctype(self, *_: object) -> None:
        raise _DoctypeFound
