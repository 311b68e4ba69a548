"""Checks a document before it is sent: refuses what CDash would reject, cut or lose, with the reason.

    for fault in check(Path("Build.xml")): print(fault)

Judges what `elements` reads, by `structure` (what CDash's schema wants) and `losses` (what CDash stores), in bounded memory.
Needs the standard library only.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ctest_xml import limits
from ctest_xml.elements import Began, Broken, Declared, Ended, Event, SectionEnded, Seen, read
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
    """Whether CDash's schema says so too; else only what is stored suffers."""

    def __str__(self) -> str:
        return f"line {self.line}: {self.element}: {self.reason}"


def check(document: Path | bytes | BinaryIO) -> list[Fault]:
    """Return the reasons not to send a document, at most a hundred; empty: it is good. Raises OSError."""
    if isinstance(document, Path):
        with document.open("rb") as file:
            return judge(read(file))
    return judge(read(io.BytesIO(document) if isinstance(document, bytes) else document))


def judge(events: Iterable[Event]) -> list[Fault]:
    """Return the faults in what is read of a document; takes no more events once there are a hundred, or none can follow."""
    found = _Judge()
    for event in events:
        found.take(event)
        if found.has_ended or len(found.faults) >= _FAULTS:
            break
    return found.faults[:_FAULTS]


@dataclass(slots=True)
class _Judge:
    """What the schema says of the open elements, what was counted, and the faults found."""

    faults: list[Fault] = field(default_factory=list)
    has_ended: bool = False
    """Whether what follows says nothing more."""
    open: list[Element | None] = field(default_factory=list)
    """What the schema knows of each open element; None: nothing, it stands in one that may hold anything."""
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
            case Broken():
                reason = f"not well-formed ({event.error}): CDash stops there, answers OK and stores nothing"
                self.invalid("document", reason, event.line)
            case Declared():
                self.lost("document", "a document type declaration has no place here", event.line)

    def invalid(self, element: str, reason: str, line: int) -> None:
        """Note what CDash's schema refuses."""
        self.faults.append(Fault(line=line, element=element, reason=reason, of_schema=True))

    def lost(self, element: str, reason: str, line: int) -> None:
        """Note what the schema lets pass and CDash does not store."""
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
        """Return what the document's first element may hold; a document of another kind is not read on."""
        known = DOCUMENTS.get(seen.document)
        if known and known[0] == seen.name:
            return known[1]
        self.has_ended = True
        self.invalid(
            seen.name,
            f"CDash takes this for a {seen.document} document, which begins with {known[0]}"
            if known
            else f"a document of the kind {seen.document or 'unknown'!r} is not one that package builds send",
            seen.line,
        )
        return None

    def expected(self, seen: Seen) -> Element | None:
        """Return what an element may hold, by what it stands in."""
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
                self.invalid(seen.name, f"{key}={value[:40]!r} is no {kind}", seen.line)
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
                self.lost("Target", f"the name {name[:80]!r} comes twice: the file would be lost", seen.line)
            self.targets.add(name)

    def count_one(self, what: str, line: int) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        if self.counts[what] == limits.SMALLINT + 1:
            self.lost("document", f"more than {limits.SMALLINT} {what}: CDash's counter overflows, the file is lost", line)

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
                self.invalid(seen.name, f"wants {element.order}, holds {' '.join(known[:20]) or 'nothing'}", line)
            if not seen.blank and not element.mixed:
                self.invalid(seen.name, "text between its elements", line)
            return
        if not is_a(element.text, seen.head):
            self.invalid(seen.name, f"{seen.head[:40]!r} is no {element.text}", line)
