"""Reads a document as CDash's parser does, piece by piece, and says what is in it: elements that begin and end.

    for event in read(file): ...

Judges nothing: that is `check`. No DTD, no entities but XML's own, no network. Memory stays at one block's events, the open
elements and 4096 characters of each. Obeys: CDash 5.3, app/Utils/SubmissionUtils.php::get_xml_type and the handlers in
app/Http/Submission/Handlers, whose `text()` sets some fields with `=`, so that the last fragment wins.
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
_RUNS = frozenset(
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
_RUN_OF_BUILD = ("NamedMeasurement", "Value")
"""Likewise, in Build.xml."""


@dataclass(slots=True)
class Seen:
    """One element: its name, what is around it, its attributes and the measure of its text, whole once it has ended."""

    document: str
    """The kind CDash takes the document for; empty: none."""
    parent: str
    """`/` for the document's first element."""
    name: str
    attributes: dict[str, str]
    around: dict[str, str]
    """The parent's attributes."""
    line: int = 0
    """Where it begins."""
    is_run: bool = False
    """Whether CDash keeps only the last fragment of its text."""
    children: list[str] = field(default_factory=list)
    siblings: dict[str, str] = field(default_factory=dict)
    """Heads of the children's texts, by name."""
    head: str = ""
    """The first 4096 characters."""
    characters: int = 0
    size: int = 0
    """Bytes of UTF-8."""
    blank: bool = True
    """Whether its text is nothing but spaces and line ends."""
    entities: int = 0
    sections: int = 0
    """CDATA sections."""
    plain: bool = False
    """Whether there is text outside of these; more than one of the three kinds, or of one kind, and CDash keeps the last."""
    packed: Packed | None = None


class Began(NamedTuple):
    """An element begins: name, attributes and surroundings are known."""

    seen: Seen


class Ended(NamedTuple):
    """An element has ended: all is known."""

    seen: Seen
    line: int


class SectionEnded(NamedTuple):
    """A CDATA section has ended in an element."""

    seen: Seen
    characters: int
    line: int


class Broken(NamedTuple):
    """The document is not well-formed: nothing follows."""

    error: str
    line: int


class Declared(NamedTuple):
    """There is a document type declaration: nothing follows, for its entities are not to be resolved."""

    line: int


Event = Began | Ended | SectionEnded | Broken | Declared


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
            yield from handler.taken()
            block = file.read(_BLOCK_BYTES)
        parser.Parse(b"", True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the last two: an encoding that Python or expat lacks
        yield from handler.taken()
        yield Broken(str(error), parser.CurrentLineNumber)
    except _HasDoctype:
        yield from handler.taken()
        yield Declared(parser.CurrentLineNumber)


class _HasDoctype(Exception):  # noqa: N818  no error: the end of reading
    """Raised out of the parser, so that it expands no entity of the declaration."""


class _Handler:
    """Expat's callbacks: they measure the open elements and collect events until these are taken."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._runs = _RUNS | {_RUN_OF_BUILD} if kind == "Build" else _RUNS
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

    def taken(self) -> list[Event]:
        """Return the events since the last call."""
        events, self._events = self._events, []
        return events

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        line = self.parser.CurrentLineNumber
        if self._open:
            parent = self._open[-1]
            parent.children.append(name)
            is_run = (parent.name, name) in self._runs
            seen = Seen(self._kind, parent.name, name, attributes, parent.attributes, line, is_run)
        else:
            seen = Seen(self._kind, "/", name, attributes, {}, line)
        if name in {"Value", "Content"} and attributes.get("encoding") == "base64":
            seen.packed = Packed(compressed="compression" in attributes and seen.parent == "Measurement")
        self._open.append(seen)
        # Where fragments count, expat must hand over each by itself, as PHP's parser does; elsewhere it may join them.
        self.parser.buffer_text = not seen.is_run
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
            self._open[-1].siblings[name] = seen.head
        self._events.append(Ended(seen, self.parser.CurrentLineNumber))

    def _doctype(self, *_: object) -> None:
        raise _HasDoctype
