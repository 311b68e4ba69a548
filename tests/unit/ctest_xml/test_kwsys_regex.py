import re

import pytest

from ctest_xml.kwsys_regex import translate


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"a: ([^ \t])", "a: this", False),  # the trap: `\t` in brackets is a backslash or the letter t
        (r"a: ([^ \t])", "a: \tx", True),
        (r":[ \t]cannot", ":tcannot", True),
        (r":[ \t]cannot", ":\tcannot", False),
        (r"\'", "'", True),
        (r"\n", "n", True),
        (r"a{2}", "a{2}", True),
        (r"a{2}", "aa", False),
        (r"[]x]", "]", True),
        (r"[^]x]", "]x", False),
        (r"\(x\)", "(x)", True),
        (r"(a|b)+$", "xab", True),
    ],
)
def test_a_pattern_means_what_kwsys_means(pattern: str, text: str, *, found: bool) -> None:
    assert bool(re.search(translate(pattern), text)) is found


def test_tab_can_be_had() -> None:
    assert re.search(translate(r":[ \t]cannot", tab=True), ":\tcannot")
    assert not re.search(translate(r":[ \t]cannot", tab=True), ":tcannot")


def test_a_negated_bracket_never_reaches_into_the_next_line() -> None:
    assert not re.search(translate(r"a[^b]*c"), "a\nc")


@pytest.mark.parametrize("pattern", ["a\\", "[ab", "[]"])
def test_a_pattern_that_is_not_whole_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="in "):
        translate(pattern)
