"""Checks a document before it is sent: finds what CDash would reject, cut or lose, with the reason.

    for fault in check(Path("Build.xml")): print(fault)

Takes what `elements` reads and compares it with `structure` (CDash's schema) and `losses` (what CDash stores).
Memory is bounded. Needs the standard library only.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ctest_xml import limits
from ctest_xml.elements import Began, Ended, Event, HasDoctype, NotWellFormed, SectionEnded, Seen, read
from ctest_xml.losses import COUNTED, losses
from ctest_xml.structure import DOCUMENTS, Element, is_a

_FAULTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One reason not to send a document."""

    line: int
    element: str
    reason: str
    of_schema: bool
    """Whether the document violates CDash's schema; else CDash accepts it and does not store all of it."""

    def __str__(self) -> str:
        return f"line {self.line}: {self.element}: {self.reason}"


def check(document: Path | bytes | BinaryIO) -> list[Fault]:
    """Return the reasons not to send a document, at most a hundred; empty: it is good. Raises OSError."""
    if isinstance(document, Path):
        with document.open("rb") as file:
            return faults_in(read(file))
    return faults_in(read(io.BytesIO(document) if isinstance(document, bytes) else document))


def faults_in(events: Iterable[Event]) -> list[Fault]:
    """Return the faults in what is read of a document; stop reading when there are a hundred, or when no more can follow."""
    found = _Check()
    for event in events:
        found.take(event)
        if found.has_ended or len(found.faults) >= _FAULTS:
            break
    return found.faults[:_FAULTS]


@dataclass(slots=True)
class _Check:
    """One check: what the schema allows in the open elements, what was counted, and the faults."""

    faults: list[Fault] = field(default_factory=list)
    has_ended: bool = False
    """Whether the rest of the document is not checked."""
    open: list[Element | None] = field(default_factory=list)
    """What the schema allows in each open element; None: it is unknown, or in an element that may hold anything."""
    counts: dict[str, int] = field(default_factory=dict)
    targets: set[str] = field(default_factory=set)

    def take(self, event: Event) -> None:
        match event:
            case Began():
                self.begin(event.seen)
            case Ended():
                self.end(event.seen, event.line)
            case SectionEnded():
                if event.characters > limits.ATTRIBUTE_BYTES:
                    self.lost(event.seen.name, "a CDATA section of over 10 MB: CDash stops parsing there", event.line)
            case NotWellFormed():
                reason = f"its XML is broken ({event.error}): CDash stops there, answers OK and stores nothing"
                self.invalid("document", reason, event.line)
            case HasDoctype():
                self.lost("document", "a document type declaration is not allowed", event.line)

    def invalid(self, element: str, reason: str, line: int) -> None:
        """Add what violates CDash's schema."""
        self.faults.append(Fault(line=line, element=element, reason=reason, of_schema=True))

    def lost(self, element: str, reason: str, line: int) -> None:
        """Add what the schema allows and CDash does not store."""
        self.faults.append(Fault(line=line, element=element, reason=reason, of_schema=False))

    def begin(self, seen: Seen) -> None:
        element = self.expected(seen) if self.open else self.root(seen)
        if self.has_ended:
            return
        if element:
            self.attributes(seen, element)
        self.open.append(element)
        self.count(seen)

    def root(self, seen: Seen) -> Element | None:
        """Return what the document's first element may hold; of another kind of document, nothing more is checked."""
        known = DOCUMENTS.get(seen.document)
        if known and known[0] == seen.name:
            return known[1]
        self.has_ended = True
        self.invalid(
            seen.name,
            f"CDash takes this for a document of the kind {seen.document}, which begins with {known[0]}"
            if known
            else f"a document of the kind {seen.document or 'unknown'!r} is not one that package builds send",
            seen.line,
        )
        return None

    def expected(self, seen: Seen) -> Element | None:
        """Return what an element may hold, by the element around it."""
        parent = self.open[-1]
        if parent is None or parent.anything:
            return None
        element = parent.children.get(seen.name)
        if element is None:
            self.invalid(seen.name, f"not expected in {seen.parent}", seen.line)
        return element

    def attributes(self, seen: Seen, element: Element) -> None:
        for key, value in seen.attributes.items():
            kind = element.types.get(key)
            if kind is None:
                self.invalid(seen.name, f"the attribute {key} is not allowed", seen.line)
            elif not is_a(kind, value):
                self.invalid(seen.name, f"{key}={value[:40]!r} is not of the type {kind}", seen.line)
        for key in element.required:
            if key not in seen.attributes:
                self.invalid(seen.name, f"the attribute {key} is missing", seen.line)

    def count(self, seen: Seen) -> None:
        """Count what CDash counts in columns, and targets, whose names are keys."""
        if seen.name in COUNTED and seen.parent in {"Build", "Testing"}:
            self.count_one(COUNTED[seen.name], seen.line)
        if seen.name == "Failure":
            self.count_one("warnings" if seen.attributes.get("type") == "Warning" else "errors", seen.line)
        if seen.name == "Target":
            name = seen.attributes.get("name", "")
            if name in self.targets:
                self.lost("Target", f"the name {name[:80]!r} comes twice: CDash would lose the file", seen.line)
            self.targets.add(name)

    def count_one(self, what: str, line: int) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        if self.counts[what] == limits.SMALLINT + 1:
            self.lost(
                "document", f"more than {limits.SMALLINT} {what}: CDash's counter overflows and the file is lost", line
            )

    def end(self, seen: Seen, line: int) -> None:
        element = self.open.pop()
        if element:
            self.content(seen, element, line)
        if element or not self.open:
            for reason in losses(seen):
                self.lost(seen.name, reason, seen.line)

    def content(self, seen: Seen, element: Element, line: int) -> None:
        if element.anything:
            return
        if element.order:
            known = [child for child in seen.children if child in element.children]
            if element.misplaced(known):
                self.invalid(seen.name, f"needs {element.order}, holds {' '.join(known[:20]) or 'nothing'}", line)
            if not seen.blank and not element.mixed:
                self.invalid(seen.name, "there is text between its elements", line)
            return
        if not is_a(element.text, seen.head):
            self.invalid(seen.name, f"{seen.head[:40]!r} is not of the type {element.text}", line)
