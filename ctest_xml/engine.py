"""Finds the lines of a block that may be events, and decides about one line: RE2 where its wheel is installed, else `re`.

Knows nothing of events and contexts. Both engines give the same answers; RE2 goes over a whole block in one pass of an
automaton and hands only the lines that match anything to Python (docs/decisions/0004-regex-engine.md).
"""

import re
from collections.abc import Iterator
from typing import Any, Protocol

from ctest_xml.literal_filter import Needles
from ctest_xml.rules import Rules

_MEMORY_BYTES = 8 << 20
_LEAD = re.compile(r"^\(?(\[(?:\\.|[^\]\\])*\])\+\)?(?![*+?])")


class Engine(Protocol):
    """What `scan` needs of a rule set made ready."""

    name: str

    def hits(self, plain: bytes) -> Iterator[tuple[int, int]]:
        """Yield, in order, index and first byte of a block's lines that match an error or warning pattern."""

    def is_error(self, line: bytes) -> bool:
        """Tell whether a line matches an error pattern and no exception."""

    def is_warning(self, line: bytes) -> bool:
        """Tell whether a line matches a warning pattern and no exception."""


class _Searching:
    """An engine over any compiled patterns that have `search` for bytes."""

    def __init__(self, name: str, rules: Rules, compiled: Any) -> None:
        self.name = name
        self._any = compiled((*rules.errors, *rules.warnings)).search
        self._error = compiled(rules.errors).search
        self._error_exception = compiled(rules.error_exceptions).search
        self._warning = compiled(rules.warnings).search
        self._warning_exception = compiled(rules.warning_exceptions).search

    def hits(self, plain: bytes) -> Iterator[tuple[int, int]]:
        """Search on from line to line; lines without a match cost no step of Python."""
        index = at = 0
        while match := self._any(plain, at):
            start = plain.rfind(b"\n", at, match.start()) + 1 or at
            index += plain.count(b"\n", at, start)
            yield index, start
            end = plain.find(b"\n", match.end())
            if end < 0:
                return
            at = end + 1
            index += 1

    def is_error(self, line: bytes) -> bool:
        return bool(self._error(line)) and not self._error_exception(line)

    def is_warning(self, line: bytes) -> bool:
        return bool(self._warning(line)) and not self._warning_exception(line)


class _Slow(_Searching):
    """The engine without RE2."""

    def __init__(self, rules: Rules) -> None:
        super().__init__("re", rules, lambda patterns: re.compile(_alternation(patterns)))
        self._needles = Needles(tuple(_without_lead(pattern) for pattern in (*rules.errors, *rules.warnings)))

    def hits(self, plain: bytes) -> Iterator[tuple[int, int]]:
        """Count on from matching line to matching line."""
        index = at = 0
        for start in self._needles.starts(plain):
            index += plain.count(b"\n", at, start)
            at = start
            yield index, start


def engine(rules: Rules, *, slow: bool = False) -> Engine:
    """Make a rule set ready; `slow` takes the standard library although RE2 is there."""
    if not slow:
        try:
            import re2  # noqa: PLC0415  an optional wheel, and 3 MiB that an importer of this package may never need
        except ImportError:
            pass
        else:
            return _Searching("re2", rules, lambda patterns: re2.compile(_alternation(patterns), _options(re2)))
    return _Slow(rules)


def _alternation(patterns: tuple[str, ...]) -> bytes:
    joined = "|".join(f"(?:{_without_lead(pattern)})" for pattern in patterns)
    return f"(?m)(?:{joined})".encode()


def _without_lead(pattern: str) -> str:
    """Take off what a search need not repeat: `([^:]+): error` is found where `[^:]: error` is, `.*file:` where `file:` is.

    Without this the standard library takes time quadratic in the length of a line.
    """
    return _LEAD.sub(r"\1", pattern.removeprefix(".*"))


def _options(re2: Any) -> Any:
    """Bytes are letters (logs are no UTF-8), groups are not wanted, a bound on the automaton's memory."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = True
    options.max_mem = _MEMORY_BYTES
    options.log_errors = False
    return options
