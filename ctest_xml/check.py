"""Checks a document before it is sent: refuses what CDash would reject, cut or lose, with the reason.

    for fault in check(Path("Build.xml")): print(fault)

Reads as CDash does: SAX, piece by piece, in bounded memory; no DTD, no entities but XML's own, no network. Obeys: CDash 5.3,
app/Utils/SubmissionUtils.php::get_xml_type; `structure` and `losses` name the rest. Needs the standard library only.
"""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from ctest_xml import limits
from ctest_xml.losses import COUNTED, Packed, Seen, is_run, losses
from ctest_xml.structure import DOCUMENTS, Element, is_a

_MARKERS = (
    *("Update", "Build", "Configure", "Testing", "CoverageLog", "Coverage", "report", "Notes"),
    *("DynamicAnalysis", "Project", "Upload", "testsuite", "Done"),
)
_HEAD_CHARACTERS = 4096
_FAULTS = 100
_ENTITIES = frozenset("&<>\"'")
"""What expat hands over as a piece of its own where it was an entity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One reason not to send a document."""

    line: int
    element: str
    reason: str
    of_schema: bool
    """Whether CDash's schema says so too; else only what is stored suffers."""

    def __str__(self) -> str:
        return f"line {self.line}: {self.element}: {self.reason}"


class _Enough(Exception):  # noqa: N818  no error: the end of reading
    """Raised out of the parser when nothing more is to be learned."""


def kind_of(head: bytes) -> str:
    """Return the kind CDash takes a document for, by a substring of its first 8192 bytes; empty: none."""
    return next((marker for marker in _MARKERS if b"<" + marker.encode() in head[: limits.HEAD_BYTES]), "")


def check(document: Path | bytes | BinaryIO) -> list[Fault]:
    """Return the reasons not to send a document, at most a hundred; empty: it is good. Raises OSError."""
    if isinstance(document, Path):
        with document.open("rb") as file:
            return _Reader().read(file)
    return _Reader().read(io.BytesIO(document) if isinstance(document, bytes) else document)


@dataclass(slots=True)
class _Frame:
    """An element that is open."""

    element: Element | None
    """None: inside an element that may hold anything."""
    seen: Seen
    line: int
    blank: bool = True


@dataclass(slots=True)
class _Reader:
    """SAX state: the open elements and what was found."""

    faults: list[Fault] = field(default_factory=list)
    kind: str = ""
    stack: list[_Frame] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    targets: set[str] = field(default_factory=set)
    section: int = 0
    """Characters of the open CDATA section."""
    cdata: bool = False
    parser: expat.XMLParserType = field(default_factory=expat.ParserCreate)

    def read(self, file: BinaryIO) -> list[Fault]:
        head = file.read(limits.HEAD_BYTES)
        self.kind = kind_of(head)
        parser = self.parser
        parser.buffer_size = 1 << 16
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.text
        parser.StartCdataSectionHandler = self.cdata_start
        parser.EndCdataSectionHandler = self.cdata_end
        parser.StartDoctypeDeclHandler = self.doctype
        try:
            chunk = head
            while chunk:
                parser.Parse(chunk, False)
                chunk = file.read(1 << 16)
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            self.fault(
                "document", f"not well-formed ({error}): CDash stops there, answers OK and stores nothing", of_schema=True
            )
        except _Enough:
            pass
        return self.faults

    def fault(self, element: str, reason: str, *, of_schema: bool, line: int = 0) -> None:
        self.faults.append(
            Fault(line=line or self.parser.CurrentLineNumber, element=element, reason=reason, of_schema=of_schema)
        )
        if len(self.faults) == _FAULTS:
            raise _Enough

    def doctype(self, *_: object) -> None:
        self.fault("document", "a document type declaration has no place here", of_schema=False)
        raise _Enough

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self.stack:
            self.root(name, attributes)
            return
        parent = self.stack[-1]
        parent.seen.children.append(name)
        element = None
        if parent.element and not parent.element.anything:
            element = parent.element.children.get(name)
            if element is None:
                self.fault(name, f"not expected in {parent.seen.name}", of_schema=True)
        self.open(name, attributes, element)

    def root(self, name: str, attributes: dict[str, str]) -> None:
        known = DOCUMENTS.get(self.kind)
        if known is None:
            self.fault(
                name,
                f"a document of the kind {self.kind or 'unknown'!r} is not one that package builds send",
                of_schema=True,
            )
            raise _Enough
        if name != known[0]:
            self.fault(name, f"CDash takes this for a {self.kind} document, which begins with {known[0]}", of_schema=True)
            raise _Enough
        self.open(name, attributes, known[1])

    def open(self, name: str, attributes: dict[str, str], element: Element | None) -> None:
        parent = self.stack[-1].seen if self.stack else None
        seen = Seen(self.kind, parent.name if parent else "", name, attributes, parent.attributes if parent else {}, [])
        if seen.name in {"Value", "Content"} and attributes.get("encoding") == "base64":
            seen.packed = Packed(compressed="compression" in attributes and seen.parent == "Measurement")
        if element:
            self.attributes(name, attributes, element)
        self.stack.append(_Frame(element, seen, self.parser.CurrentLineNumber))
        self.parser.buffer_text = not is_run(seen)
        if name in COUNTED and seen.parent in {"Build", "Testing"}:
            self.count(COUNTED[name])
        if name == "Failure":
            self.count("warnings" if attributes.get("type") == "Warning" else "errors")
        if name == "Target":
            self.target(attributes.get("name", ""))

    def attributes(self, name: str, attributes: dict[str, str], element: Element) -> None:
        types = {key.rstrip("!"): kind for key, kind in element.attributes.items()}
        for key, value in attributes.items():
            if key not in types:
                self.fault(name, f"the attribute {key} is not allowed", of_schema=True)
            elif not is_a(types[key], value):
                self.fault(name, f"{key}={value[:40]!r} is no {types[key]}", of_schema=True)
        for key in element.attributes:
            if key.endswith("!") and key[:-1] not in attributes:
                self.fault(name, f"the attribute {key[:-1]} is missing", of_schema=True)

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        if self.counts[what] == limits.SMALLINT + 1:
            self.fault(
                "document",
                f"more than {limits.SMALLINT} {what}: CDash's counter overflows, the file is lost",
                of_schema=False,
            )

    def target(self, name: str) -> None:
        if name in self.targets:
            self.fault("Target", f"the name {name[:80]!r} comes twice: the file would be lost", of_schema=False)
        self.targets.add(name)

    def text(self, data: str) -> None:
        frame = self.stack[-1]
        seen = frame.seen
        if self.cdata:
            self.section += len(data)
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
        if frame.blank and data.strip(" \t\r\n"):
            frame.blank = False

    def cdata_start(self) -> None:
        self.cdata, self.section = True, 0
        self.stack[-1].seen.sections += 1

    def cdata_end(self) -> None:
        self.cdata = False
        if self.section > limits.ATTRIBUTE_BYTES:
            self.fault(self.stack[-1].seen.name, "a CDATA section of over 10 MB: CDash stops parsing there", of_schema=False)

    def end(self, name: str) -> None:
        frame = self.stack.pop()
        self.parser.buffer_text = True
        if self.stack:
            self.stack[-1].seen.siblings[name] = frame.seen.head
        if frame.element:
            self.content(frame, frame.element)
        if frame.element or not self.stack:
            for reason in losses(frame.seen):
                self.fault(name, reason, of_schema=False, line=frame.line)

    def content(self, frame: _Frame, element: Element) -> None:
        seen = frame.seen
        if element.anything:
            return
        if element.order:
            known = [child for child in seen.children if child in element.children]
            if element.misplaced(known):
                self.fault(seen.name, f"wants {element.order}, holds {' '.join(known[:20]) or 'nothing'}", of_schema=True)
            if not frame.blank and not element.mixed:
                self.fault(seen.name, "text between its elements", of_schema=True)
            return
        if not is_a(element.text, seen.head):
            self.fault(seen.name, f"{seen.head[:40]!r} is no {element.text}", of_schema=True)
