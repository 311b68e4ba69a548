import pytest

from ctest_xml.engine import engine_for
from ctest_xml.rules import CTEST, SPACK, Rules

BLOCK = b"plain\na.c:1: error: x\n\nplain\nb.c:2: warning: y\nmake: *** [all] Error 2\nlast: error: no end"


@pytest.mark.parametrize("rules", [CTEST, SPACK], ids=lambda rules: rules.name)
@pytest.mark.parametrize("use_re2", [True, False])
def test_candidates_are_found_by_line_and_byte(rules: Rules, *, use_re2: bool) -> None:
    found = list(engine_for(rules, use_re2=use_re2).candidates(BLOCK))
    assert [index for index, _ in found] == [1, 4, 5, 6]
    assert all(start == 0 or BLOCK[start - 1 : start] == b"\n" for _, start in found)
    assert [BLOCK.count(b"\n", 0, start) for _, start in found] == [1, 4, 5, 6]


@pytest.mark.parametrize("use_re2", [True, False])
def test_an_exception_outweighs_a_pattern(*, use_re2: bool) -> None:
    finder = engine_for(SPACK, use_re2=use_re2)
    assert finder.is_error(b"a.c:1: error: x")
    assert not finder.is_error(b"a.c:1:1: note: error: see here")
    assert finder.is_warning(b"a.c:1: warning: x")
    assert not finder.is_warning(b"warning:  Clock skew detected.  Your build may be incomplete.")


def test_the_engine_says_what_it_is_made_of() -> None:
    assert engine_for(SPACK, use_re2=False).name == "re"
    assert engine_for(SPACK).name in {"re", "re2"}
