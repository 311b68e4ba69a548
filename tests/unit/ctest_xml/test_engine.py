import pytest

from ctest_xml.engine import engine
from ctest_xml.rules import CTEST, SPACK, Rules

BLOCK = b"plain\na.c:1: error: x\n\nplain\nb.c:2: warning: y\nmake: *** [all] Error 2\nlast: error: no end"


@pytest.mark.parametrize("rules", [CTEST, SPACK], ids=lambda rules: rules.name)
@pytest.mark.parametrize("slow", [False, True])
def test_candidates_are_found_by_line_and_byte(rules: Rules, *, slow: bool) -> None:
    found = list(engine(rules, slow=slow).hits(BLOCK))
    assert [index for index, _ in found] == [1, 4, 5, 6]
    assert all(start == 0 or BLOCK[start - 1 : start] == b"\n" for _, start in found)
    assert [BLOCK.count(b"\n", 0, start) for _, start in found] == [1, 4, 5, 6]


@pytest.mark.parametrize("slow", [False, True])
def test_an_exception_outweighs_a_pattern(*, slow: bool) -> None:
    finder = engine(SPACK, slow=slow)
    assert finder.is_error(b"a.c:1: error: x")
    assert not finder.is_error(b"a.c:1:1: note: error: see here")
    assert finder.is_warning(b"a.c:1: warning: x")
    assert not finder.is_warning(b"warning:  Clock skew detected.  Your build may be incomplete.")


def test_the_engine_says_what_it_is_made_of() -> None:
    assert engine(SPACK, slow=True).name == "re"
    assert engine(SPACK).name in {"re", "re2"}
