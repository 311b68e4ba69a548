"""Which lines of a log are shown: all of a short one, and of a long one what people look for."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.report.log_page.windows import MOST_LINES, Weight, Window, choose


def _lines(windows: list[Window]) -> int:
    return sum(window.last - window.first + 1 for window in windows)


@pytest.mark.parametrize("lines", [1, 2, 3_999, 4_000, 4_001, MOST_LINES])
def test_of_a_short_log_every_line_is_shown(lines: int) -> None:
    windows = choose(lines, errors=[1, lines], phases=[1])
    assert _lines(windows) == lines
    assert (windows[0].first, windows[-1].last) == (1, lines)


def test_an_empty_log_has_no_window() -> None:
    assert choose(0, errors=[], phases=[]) == []


def test_of_a_long_log_its_ends_errors_and_phases_are_shown() -> None:
    windows = choose(1_000_000, errors=[500_000], phases=[1, 300_000])
    assert windows == [
        Window(1, 1_000, Weight.ORDINARY),
        Window(299_995, 300_060, Weight.ORDINARY),
        Window(499_880, 499_989, Weight.USEFUL),
        Window(499_990, 500_010, Weight.NEEDED),
        Window(500_011, 500_120, Weight.USEFUL),
        Window(996_001, 999_900, Weight.USEFUL),
        Window(999_901, 1_000_000, Weight.NEEDED),
    ]


@given(st.integers(1, 300_000), st.lists(st.integers(-5, 400_000)), st.lists(st.integers(-5, 400_000)))
def test_windows_are_apart_in_order_bounded_and_have_the_first_errors(
    lines: int, errors: list[int], phases: list[int]
) -> None:
    windows = choose(lines, errors=errors, phases=phases)
    assert all(1 <= window.first <= window.last <= lines for window in windows)
    assert all(one.last < other.first for one, other in itertools.pairwise(windows))
    assert _lines(windows) <= MOST_LINES
    for error in errors[:40]:
        if 1 <= error <= lines:
            assert any(window.first <= error <= window.last and window.weight for window in windows)
