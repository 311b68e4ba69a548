import re

import pytest

from ctest_xml.literal_filter import LiteralFilter, alternatives, literal_of
from ctest_xml.rules import CTEST, SPACK


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        (r"^[Bb]us [Ee]rror", "rror"),
        (r"[^:]: \*\*\* No", ": *** No"),
        (r"ab+cd", "cd"),
        (r"abx?cdef", "cdef"),
        (r"a|b", ""),
        (r"(?:abc|d)ef", "ef"),
        (r"\bFAILED\b", "FAILED"),
        (r"[]x]abc[^]\\]de", "abc"),
    ],
)
def test_the_literal_that_every_match_holds(pattern: str, literal: str) -> None:
    assert literal_of(pattern) == literal


def test_alternations_are_taken_apart() -> None:
    assert alternatives("a(b|c)(?:d|e)f") == ["abdf", "abef", "acdf", "acef"]
    assert alternatives("a(b|c)+d") == ["a(b|c)+d"]
    assert alternatives("a([bc]|d)") == ["a([bc]|d)"]


def test_almost_every_pattern_of_the_rules_has_a_literal() -> None:
    parts = [part for rules in (CTEST, SPACK) for whole in (*rules.errors, *rules.warnings) for part in alternatives(whole)]
    assert sum(len(literal_of(part)) < 3 for part in parts) <= 6


def test_lines_are_found_where_the_patterns_match() -> None:
    patterns = ("^abc", "d.f$", "x[0-9]: y", "^[0-9]")
    block = b"abc\nzabc\ndef\ndefg\nx1: y\n7\n\nabcdef"
    lines = block.split(b"\n")
    wanted = [index for index, line in enumerate(lines) if any(re.search(pattern.encode(), line) for pattern in patterns)]
    assert [block.count(b"\n", 0, start) for start in LiteralFilter(patterns).starts(block)] == wanted
