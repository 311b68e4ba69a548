"""Finds lines that match any of many patterns, with the standard library alone: it searches literals, then tries patterns.

One alternation of 80 patterns costs Python's `re` a microsecond for each byte. Most patterns contain a literal, and
`bytes.find` finds that at the speed of memory. Pure; knows nothing of logs. Patterns are those of `kwsys_regex` and `rules`:
without look-around and back-references.
"""

import re
from collections.abc import Iterator
from functools import cache

_SHORTEST = 3
"""A shorter literal occurs in too many lines to be useful."""
_QUANTIFIERS = "?*+{"
_SPECIAL = "^$.|?*+()[]{}"


class LiteralFilter:
    """Many compiled patterns, each with the literal that every match contains."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        by_start: dict[bytes, list[str]] = {}
        by_literal: dict[bytes, list[str]] = {}
        self._others: list[bytes] = []
        for pattern in (part for whole in patterns for part in alternatives(whole)):
            literal = literal_of(pattern)
            if start := start_of(pattern):
                by_start.setdefault(start.encode(), []).append(pattern)
            elif len(literal) < _SHORTEST:
                self._others.append(_joined([pattern]))
            else:
                by_literal.setdefault(literal.encode(), []).append(pattern)
        self._starts = {start: _joined(found) for start, found in by_start.items()}
        self._patterns = {literal: _joined(found) for literal, found in _merged(by_literal).items()}

    def starts(self, block: bytes) -> list[int]:
        """Return where the matching lines of a block begin, in order."""
        found = set(_lines_starting(block, self._starts))
        for literal, pattern in self._patterns.items():
            found.update(_lines_with(block, literal, pattern))
        for other in self._others:
            found.update(_lines_of(block, other))
        return sorted(found)


def _joined(patterns: list[str]) -> bytes:
    return "(?m)(?:{})".format("|".join(f"(?:{pattern})" for pattern in patterns)).encode()


@cache
def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    """Compile a pattern whose literal has been seen: most are not, and compiling all takes longer than a short scan."""
    return re.compile(pattern)


def _lines_starting(block: bytes, patterns: dict[bytes, bytes]) -> Iterator[int]:
    """Look up each line's first letters: one step for a line costs less than a search of the block for each pattern."""
    at = 0
    for line in block.split(b"\n"):
        if (start := line[:_SHORTEST]) in patterns and _compiled(patterns[start]).match(line):
            yield at
        at += len(line) + 1


def _merged(by_literal: dict[bytes, list[str]]) -> dict[bytes, list[str]]:
    """Move the patterns of a literal to a shorter one within it: each literal costs a search of the whole block."""
    merged: dict[bytes, list[str]] = {}
    for literal in sorted(by_literal, key=len):
        shorter = next((known for known in merged if known in literal), literal)
        merged.setdefault(shorter, []).extend(by_literal[literal])
    return merged


def _lines_with(block: bytes, literal: bytes, pattern: bytes) -> Iterator[int]:
    at = block.find(literal)
    while at >= 0:
        start = block.rfind(b"\n", 0, at) + 1
        end = block.find(b"\n", at)
        end = len(block) if end < 0 else end
        if _compiled(pattern).search(block, start, end):
            yield start
        at = block.find(literal, end)


def _lines_of(block: bytes, pattern: bytes) -> Iterator[int]:
    at = 0
    while match := _compiled(pattern).search(block, at):
        yield block.rfind(b"\n", 0, match.start()) + 1
        at = block.find(b"\n", match.end()) + 1
        if not at:
            return


def alternatives(pattern: str) -> list[str]:
    """Return patterns that together match what the pattern matches, without plain alternations: `ab`, `ac` for `a(b|c)`.

    Each of them has a longer literal than the pattern as a whole. Other groups are left as they are.
    """
    for start, end in _groups(pattern):
        inner = pattern[start + 1 : end - 1].removeprefix("?:")
        if (
            "|" not in inner
            or "(" in inner
            or "[" in inner
            or "\\" in inner
            or pattern[end : end + 1] in tuple(_QUANTIFIERS)
        ):
            continue
        return [part for choice in inner.split("|") for part in alternatives(pattern[:start] + choice + pattern[end:])]
    return [pattern]


def literal_of(pattern: str) -> str:
    """Return the longest literal that each match of the pattern contains; empty: none that is easy to find."""
    best = run = ""  # `run`: the literal letters just before `at`
    at = 0
    groups = dict(_groups(pattern))
    while at < len(pattern):
        letter, after = pattern[at], at + 1
        literal = ""
        if letter == "|":  # an alternation at the top: no literal is in all of it
            return ""
        if letter == "(":
            after = groups[at]
        elif letter == "[":
            after = _bracket_end(pattern, at)
        elif letter == "\\":
            after = at + 2
            literal = "" if pattern[at + 1].isalnum() else pattern[at + 1]  # `\b`, `\d` … are not literals
        elif letter not in "^$.":
            literal = letter
        quantified = pattern[after : after + 1] in tuple(_QUANTIFIERS)
        while pattern[after : after + 1] in tuple(_QUANTIFIERS):
            after = pattern.index("}", after) + 1 if pattern[after] == "{" else after + 1
        run = run + literal if literal and not quantified else ""  # `x?` may be absent, `x+` may be longer
        best = max(best, run, key=len)
        at = after
    return best


def start_of(pattern: str) -> str:
    """Return the letters that a pattern wants at the start of a line, as many as are looked up; empty: it does not."""
    start = ""
    at = 1
    while pattern.startswith("^") and at < len(pattern) and len(start) < _SHORTEST:
        escaped = pattern[at] == "\\"
        letter = pattern[at + escaped : at + escaped + 1]
        at += 1 + escaped
        if (letter.isalnum() if escaped else letter in _SPECIAL) or pattern[at : at + 1] in tuple(_QUANTIFIERS):
            return ""
        start += letter
    return start if len(start) == _SHORTEST else ""


def _groups(pattern: str) -> list[tuple[int, int]]:
    """Return begin and end of each outermost group."""
    found = []
    depth = start = at = 0
    while at < len(pattern):
        letter = pattern[at]
        if letter == "\\":
            at += 2
            continue
        if letter == "[":
            at = _bracket_end(pattern, at)
            continue
        if letter == "(":
            start = at if not depth else start
            depth += 1
        if letter == ")":
            depth -= 1
            if not depth:
                found.append((start, at + 1))
        at += 1
    return found


def _bracket_end(pattern: str, at: int) -> int:
    at += 2 if pattern[at + 1] == "^" else 1
    first = True
    while pattern[at] != "]" or first:
        first = False
        at += 2 if pattern[at] == "\\" else 1
    return at + 1
