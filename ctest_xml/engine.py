"""Finds the lines of a block that may be events, and decides on one line: with RE2 where its wheel is installed, else `re`.

Knows nothing of events and contexts. Both engines give the same answers. RE2 searches a whole block in one pass of an
automaton, so that Python sees only the lines that match a pattern (docs/decisions/0004-regex-engine.md).
"""

import re
from collections.abc import Iterator
from typing import Any, Protocol

from ctest_xml.literal_filter import LiteralFilter
from ctest_xml.mark_rules import Mark
from ctest_xml.rules import Rules
from ctest_xml.verdicts import Grade

_MEMORY_BYTES = 8 << 20
_REPEATED_START = re.compile(r"^\(?(\[(?:\\.|[^\]\\])*\])\+\)?(?![*+?])")
"""A repeated bracket at the start of a pattern, such as `([^:]+)`."""


class Engine(Protocol):
    """A compiled rule set, as `scan` needs it."""

    name: str

    def candidates(self, plain: bytes) -> Iterator[tuple[int, int]]:
        """Yield, in order, index and first byte of a block's lines that match an error or warning pattern."""

    def is_error(self, line: bytes) -> bool:
        """Return whether a line matches an error pattern and no exception."""

    def is_warning(self, line: bytes) -> bool:
        """Return whether a line matches a warning pattern and no exception."""

    def grade(self, line: bytes) -> Grade:
        """Return what kind of error an error is."""

    def mark(self, line: bytes) -> Mark | None:
        """Return what a line says of those before it; None: nothing."""

    def begins_quote(self, line: bytes) -> bool:
        """Return whether a text begins after the line whose lines are no events."""

    def is_unlabelled(self, line: bytes) -> bool:
        """Return whether a line has a place and a text, and is an error only if it explains a failure."""


class _SearchEngine:
    """An engine over any compiled patterns that have `search` for bytes."""

    def __init__(self, name: str, rules: Rules, compiled: Any) -> None:
        self.name = name
        self._any = compiled(rules.looked_at).search
        self._error = compiled(rules.errors).search
        self._error_exception = compiled(rules.error_exceptions).search
        self._warning = compiled(rules.warnings).search
        self._warning_exception = compiled(rules.warning_exceptions).search
        self._heading, self._failure, self._mild, self._attempt, self._doubtful, self._certain, self._quote, self._marks = (
            compiled(patterns).search if patterns else _never
            for patterns in (
                rules.headings,
                rules.failures,
                rules.mild,
                rules.attempts,
                rules.doubtful,
                rules.certain,
                tuple(begin for begin, _ in rules.quotes),
                tuple(pattern for _, of_mark in rules.marks for pattern in of_mark),
            )
        )
        self._each_mark = [(mark, compiled(patterns).search) for mark, patterns in rules.marks]
        self._unlabelled = compiled((rules.unlabelled,)).search if rules.unlabelled else _never
        self._not_unlabelled = compiled((rules.not_unlabelled,)).search if rules.not_unlabelled else _never

    def candidates(self, plain: bytes) -> Iterator[tuple[int, int]]:
        """Search from match to match; a line without one costs no step of Python."""
        index = at = 0
        while match := self._any(plain, at):
            # If the match is in the line at `at`, `rfind` finds no line end: -1 + 1 is 0, and `at` is the line's start.
            start = plain.rfind(b"\n", at, match.start()) + 1 or at
            index += plain.count(b"\n", at, start)
            yield index, start
            # The search goes on after this line's end: a line with several matches is one candidate.
            end = plain.find(b"\n", match.end())
            if end < 0:
                return
            at = end + 1
            index += 1

    def is_error(self, line: bytes) -> bool:
        return bool(self._error(line)) and not self._error_exception(line)

    def is_warning(self, line: bytes) -> bool:
        return bool(self._warning(line)) and not self._warning_exception(line)

    def grade(self, line: bytes) -> Grade:
        if self._failure(line):
            return "failure"
        if self._heading(line):
            return "heading"
        if self._attempt(line):
            return "attempt"
        if self._mild(line) or (self._doubtful(line) and not self._certain(line)):
            return "doubtful"
        return "error"

    def mark(self, line: bytes) -> Mark | None:
        if not self._marks(line):
            return None
        return next(mark for mark, search in self._each_mark if search(line))

    def begins_quote(self, line: bytes) -> bool:
        return bool(self._quote(line))

    def is_unlabelled(self, line: bytes) -> bool:
        return bool(self._unlabelled(line)) and not self._not_unlabelled(line) and not self._error_exception(line)


class _Lazy:
    """A pattern that is compiled when it is first searched: `re` takes a tenth of a second for all of them."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._patterns = patterns
        self._compiled: re.Pattern[bytes] | None = None

    def search(self, line: bytes) -> re.Match[bytes] | None:
        if self._compiled is None:
            self._compiled = re.compile(_alternation(self._patterns))
        return self._compiled.search(line)


class _StandardLibraryEngine(_SearchEngine):
    """The engine without RE2."""

    def __init__(self, rules: Rules) -> None:
        super().__init__("re", rules, _Lazy)
        self._filter = LiteralFilter(tuple(_without_repeated_start(pattern) for pattern in rules.looked_at))

    def candidates(self, plain: bytes) -> Iterator[tuple[int, int]]:
        """Count line ends from one matching line to the next."""
        index = at = 0
        for start in self._filter.starts(plain):
            index += plain.count(b"\n", at, start)
            at = start
            yield index, start


def engine_for(rules: Rules, *, use_re2: bool = True) -> Engine:
    """Compile a rule set; without `use_re2`, or without its wheel, for the standard library."""
    if use_re2:
        try:
            import re2  # noqa: PLC0415  an optional wheel, and 3 MiB that an importer of this package may never need
        except ImportError:
            pass
        else:
            return _SearchEngine("re2", rules, lambda patterns: re2.compile(_alternation(patterns), _options(re2)))
    return _StandardLibraryEngine(rules)


def _never(_line: bytes) -> None:
    """Search for no pattern at all."""


def _alternation(patterns: tuple[str, ...]) -> bytes:
    joined = "|".join(f"(?:{_without_repeated_start(pattern)})" for pattern in patterns)
    return f"(?m)(?:{joined})".encode()  # (?m): `^` and `$` match at each line of a block


def _without_repeated_start(pattern: str) -> str:
    """Return a shorter pattern that matches in the same lines: `[^:]: error` for `([^:]+): error`, `file:` for `.*file:`.

    A search that may start at any byte and repeats from there takes time quadratic in the length of a line.
    """
    return _REPEATED_START.sub(r"\1", pattern.removeprefix(".*"))


def _options(re2: Any) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # a byte is a letter: a log may hold anything, not only UTF-8
    options.never_capture = True  # groups cost a second, slower pass
    options.max_mem = _MEMORY_BYTES
    options.log_errors = False
    return options
