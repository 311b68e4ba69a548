"""Finds the errors and warnings in a build log: bytes -> LogEvents, streaming, in bounded memory, as many as there are.

    with open("spack-build-out.txt", "rb") as log:
        for event in scan(log, rules="spack"): ...

Knows nothing of XML. Obeys: CMake 3.25 to 4.4, Source/CTest/cmCTestBuildHandler.cxx, step by step where the rules are
`ctest`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Literal

from ctest_xml.blocks import BLOCK_BYTES, blocks
from ctest_xml.engine import Engine, engine_for
from ctest_xml.log_lines import LogLines
from ctest_xml.mark_rules import Mark
from ctest_xml.memory_kills import MEMORY_KILLS
from ctest_xml.model import Kind, LogEvent
from ctest_xml.places import Tree, find_any_place, find_place, find_place_nearby, shorten
from ctest_xml.quoted_texts import QuotedTexts
from ctest_xml.rules import RULES, Rules
from ctest_xml.shown_commands import ShownCommands
from ctest_xml.spack_excerpts import SpackExcerpts
from ctest_xml.text import decode
from ctest_xml.verdicts import Grade, Verdicts

PRE_CONTEXT = POST_CONTEXT = 10
_FULL = b"\nThe maximum number of reported warnings or errors has been reached!!!\n"
_MEMORY_KILL = re.compile("|".join(MEMORY_KILLS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """CTest's own limits: after this many events of a kind, its patterns are not tried any more."""

    errors: int = 50
    warnings: int = 50


def scan(  # noqa: PLR0913  one for each choice that a caller has; all but the log have a default
    log: BinaryIO | Iterable[bytes],
    *,
    rules: Literal["spack", "ctest"] | Rules = "spack",
    tree: Tree | None = None,
    limits: Limits | None = None,
    detailed: int | None = None,
    use_re2: bool = True,
) -> Iterator[LogEvent]:
    """Yield the events of a log, in its order.

    `log`: an open binary file, or chunks of any size. `tree`: shortens paths as CTest does. `limits`: none by default.
    `detailed`: so many events of a kind have a place and contexts, later ones only their line; all by default.
    A line over the rules' limit is cut, with a note at the cut.
    """
    chosen = rules if isinstance(rules, Rules) else RULES[rules]
    chunks = iter(lambda: log.read(BLOCK_BYTES), b"") if hasattr(log, "read") else log
    if not chosen.as_shown:
        yield from _scanned(chunks, chosen, tree, limits, detailed=detailed, use_re2=use_re2)
        return
    lines, excerpts = LogLines(chunks), SpackExcerpts()
    for event in excerpts.events(_scanned(lines, chosen, tree, limits, excerpts, detailed=detailed, use_re2=use_re2)):
        number = lines.number(event.log_line)
        yield event if number == event.log_line else replace(event, log_line=number)


def _scanned(  # noqa: PLR0913  `scan`'s own arguments
    chunks: Iterable[bytes],
    rules: Rules,
    tree: Tree | None,
    limits: Limits | None,
    excerpts: SpackExcerpts | None = None,
    *,
    detailed: int | None,
    use_re2: bool,
) -> Iterator[LogEvent]:
    escapes = re.compile(rules.escapes.encode())
    finder = engine_for(rules, use_re2=use_re2)
    state = _Scan(rules, tree or Tree(), limits, finder, detailed=detailed)
    shown = ShownCommands() if rules.shown_commands else None
    for block in blocks(chunks, line_bytes=rules.line_bytes, last_line=rules.last_line):
        plain = escapes.sub(b"", block) if b"\x1b" in block else block
        plain = excerpts.without(plain, first=state.line) if excerpts else plain
        yield from _events(state, finder, block, plain, shown.ranges(plain) if shown else [])
    yield from state.end()


def is_memory_kill(event: LogEvent) -> bool:
    """Return whether an event reports a process that was killed, or gave up, because memory was short."""
    return bool(_MEMORY_KILL.search(event.text))


@dataclass(slots=True)
class _OpenEvent:
    """An event that may still get lines of context after it."""

    kind: Kind
    grade: Grade
    log_line: int
    text: bytes
    plain: bytes
    before: list[bytes]
    near: list[bytes]
    """The lines before it, also those that are in the context after the event before."""
    after: list[bytes] = field(default_factory=list)
    reaches_limit: bool = False


class _Scan:
    """CTest's state between lines: the line counter, the lines for the next event's context, the open event."""

    def __init__(self, rules: Rules, tree: Tree, limits: Limits | None, finder: Engine, *, detailed: int | None) -> None:
        self._rules = rules
        self._tree = tree
        self._finder = finder
        self._escapes = re.compile(rules.escapes.encode())
        self._verdicts = Verdicts()
        self._marks: list[tuple[Mark, int, bytes]] = []
        """Those behind the open event, which are for after it."""
        self.quoted = QuotedTexts(rules.quotes)
        self.left: dict[Kind, float] = {
            "error": limits.errors if limits else float("inf"),
            "warning": limits.warnings if limits else float("inf"),
        }
        self._detailed = float("inf") if detailed is None else detailed
        self._finished_of: dict[Kind, int] = {"error": 0, "warning": 0}
        self.line = 0
        self._before: list[bytes] = []
        self._after_last: list[bytes] = []
        self._last: _OpenEvent | None = None

    def ordinary(self, gap: "_Gap") -> Iterator[LogEvent]:
        """Take lines that are not events: into the context after the last event, then into the one before the next."""
        self.line += gap.count
        rest = gap.count
        if self._last:
            taken = POST_CONTEXT - len(self._last.after)
            self._last.after += gap.first[:taken]  # a line is in one context only, as in CTest
            if len(self._last.after) < POST_CONTEXT:
                return
            yield from self.flush()
            rest -= taken
        if rest > 0:
            self._before = (self._before + gap.last[-rest:])[-PRE_CONTEXT:]

    def event(self, kind: Kind, grade: Grade, raw: bytes, plain: bytes) -> Iterator[LogEvent]:
        """Take a line that is an event; it ends the context of the one before."""
        if grade == "failure":
            yield from self._explanation()
        yield from self.flush()
        self.line += 1
        self._open(kind, grade, raw, plain, self.line)

    def _open(self, kind: Kind, grade: Grade, raw: bytes, plain: bytes, line: int) -> None:
        self.left[kind] -= 1
        near = (self._after_last + self._before)[-PRE_CONTEXT:]
        self._last = _OpenEvent(kind, grade, line, raw, plain, self._before, near, reaches_limit=not self.left[kind])
        self._before = []

    def _explanation(self) -> Iterator[LogEvent]:
        """Make an event of what explains a failure: the last lines before it with a place, if no error is among them."""
        if self._last and self._last.kind == "error":
            return
        lines = self._last.after if self._last else self._before
        plain = self._plain(lines)
        end = next((at for at in reversed(range(len(plain))) if self._finder.is_unlabelled(plain[at])), None)
        if end is None:
            return
        start = end
        while start and self._finder.is_unlabelled(plain[start - 1]):  # a compiler without words of severity goes on
            start -= 1
        before, after = lines[:start], lines[start + 1 :]
        if self._last:
            self._last.after = before
            yield from self.flush()
            before = []
        self._before = before
        self._open("error", "error", lines[start], plain[start], self.line - len(lines) + start + 1)
        self._last.after = after  # type: ignore[union-attr]  # `_open` has just set it

    def mark(self, mark: Mark, plain: bytes) -> Iterator[LogEvent]:
        """Take what the line that was taken last says of those before it."""
        if self._last:
            self._marks.append((mark, self.line, plain))
        else:
            yield from self._verdicts.mark(mark, self.line, decode(plain))

    def flush(self) -> Iterator[LogEvent]:
        """Close the open event, whose context is now complete; yield the events that are decided."""
        if self._last:
            yield from self._verdicts.take(self._finished(self._last), self._last.grade)
            self._after_last = self._last.after
            self._last = None
            for mark, line, plain in self._marks:
                yield from self._verdicts.mark(mark, line, decode(plain))
            self._marks.clear()

    def end(self) -> Iterator[LogEvent]:
        """Yield the rest at the log's end."""
        yield from self.flush()
        yield from self._verdicts.end(self.line)

    def _finished(self, event: _OpenEvent) -> LogEvent:
        self._finished_of[event.kind] += 1
        if self._finished_of[event.kind] > self._detailed:
            return LogEvent(kind=event.kind, log_line=event.log_line, text=decode(shorten(event.text, self._tree)))
        after = b"\n".join(event.after)
        if event.after and len(event.after) < POST_CONTEXT:  # CTest ends all lines but the tenth
            after += b"\n"
        text = shorten(event.text, self._tree)
        named = self._place(event) if self._rules.plain_places else find_place(text, self._tree)
        return LogEvent(
            kind=event.kind,
            log_line=event.log_line,
            text=decode(text),
            file=decode(named[0]) if named else "",
            file_line=named[1] if named else None,
            pre_context=decode(shorten(b"".join(line + b"\n" for line in event.before), self._tree)),
            post_context=decode(shorten(after, self._tree) + (_FULL if event.reaches_limit else b"")),
        )

    def _place(self, event: _OpenEvent) -> tuple[bytes, int] | None:
        named = find_any_place(shorten(event.plain, self._tree), self._tree)
        if named:
            return named
        before, after = self._plain(event.near), self._plain(event.after)
        return find_place_nearby(event.plain, before=before, after=after, tree=self._tree)

    def _plain(self, lines: list[bytes]) -> list[bytes]:
        return [self._escapes.sub(b"", line) for line in lines]


@dataclass(slots=True)
class _Gap:
    """Lines between two events: how many, the first ten and the last ten."""

    count: int
    first: list[bytes]
    last: list[bytes]


def _gap(text: bytes, count: int) -> _Gap:
    """Split only the lines that a context may take: ten from each end."""
    if count <= POST_CONTEXT + PRE_CONTEXT:
        lines = text.split(b"\n")[:-1]
        return _Gap(count, lines[:POST_CONTEXT], lines[-PRE_CONTEXT:])
    return _Gap(count, text.split(b"\n", POST_CONTEXT)[:-1], text[:-1].rsplit(b"\n", PRE_CONTEXT)[1:])


def _events(state: _Scan, finder: Engine, block: bytes, plain: bytes, shown: list[tuple[int, int]]) -> Iterator[LogEvent]:
    """Yield a block's events. `plain` is the block without escapes; events and contexts have the raw lines.

    `shown`: parts of it that are no output but commands.
    """
    # Without escapes in the block, contexts are cut out of it by position. Else the raw lines are found by their index.
    raw = None if plain is block else block.split(b"\n")
    done = at = seen = 0

    def gap(start: int, index: int) -> _Gap:
        return _gap(plain[at:start], index - done) if raw is None else _raw_gap(raw[done:index])

    for index, start in finder.candidates(plain):
        if any(first <= start < end for first, end in shown):
            continue
        end = plain.index(b"\n", start)
        line = plain[start:end]
        between, seen = plain[seen:start], end + 1
        if state.quoted.goes_on(between, line):
            continue
        state.quoted.begin(line)
        mark = finder.mark(line)
        if state.left["error"] and finder.is_error(line):
            kind: Kind = "error"
            grade = finder.grade(line)
        elif state.left["warning"] and finder.is_warning(line):
            kind = grade = "warning"
        else:
            if mark:  # a line like any other, but for what it says of those before it
                yield from state.ordinary(gap(seen, index + 1))
                yield from state.mark(mark, line)
                done, at = index + 1, seen
            continue
        yield from state.ordinary(gap(start, index))
        yield from state.event(kind, grade, line if raw is None else raw[index], line)
        done, at = index + 1, seen
        if mark:
            yield from state.mark(mark, line)
    state.quoted.goes_on(plain[seen:])
    lines = plain.count(b"\n", at)
    yield from state.ordinary(_gap(plain[at:], lines) if raw is None else _raw_gap(raw[done:-1]))


def _raw_gap(lines: list[bytes]) -> _Gap:
    return _Gap(len(lines), lines[:POST_CONTEXT], lines[-PRE_CONTEXT:])
