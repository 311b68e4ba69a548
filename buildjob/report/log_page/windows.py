"""Which lines of a log its page shows: all of a short one; else its ends, where phases begin, what surrounds errors.

Pure: numbers in, ranges out.
"""

import enum
from collections.abc import Iterable, Sequence

import msgspec

MOST_LINES = 20_000
_HEAD, _TAIL = 1_000, 4_000
_BEFORE_PHASE, _AFTER_PHASE = 5, 60
_AROUND_ERROR = 120
_ERRORS = 40
_PHASES = 40
_LAST, _NEAR, _FIRST_ERRORS = 100, 10, 20


class Weight(enum.IntEnum):
    """How much a line matters where room is short."""

    ORDINARY = 0
    USEFUL = 1
    """Around errors, and near the end."""
    NEEDED = 2
    """The errors themselves, and the last lines: there are few of them."""


class Window(msgspec.Struct, frozen=True):
    """Consecutive lines."""

    first: int
    """From 1."""
    last: int
    """Included."""
    weight: Weight


def choose(lines: int, *, errors: Sequence[int], phases: Sequence[int]) -> list[Window]:
    """Return the lines to show, in order, apart from each other; at most `MOST_LINES`."""
    needed = [Window(lines - _LAST + 1, lines, Weight.NEEDED)]
    needed += [Window(at - _NEAR, at + _NEAR, Weight.NEEDED) for at in errors[:_FIRST_ERRORS]]
    useful = [Window(lines - _TAIL + 1, lines, Weight.USEFUL)]
    useful += [Window(at - _AROUND_ERROR, at + _AROUND_ERROR, Weight.USEFUL) for at in errors[:_ERRORS]]
    if lines <= MOST_LINES:
        ordinary = [Window(1, lines, Weight.ORDINARY)]
    else:
        ordinary = [Window(1, _HEAD, Weight.ORDINARY)]
        ordinary += [Window(at - _BEFORE_PHASE, at + _AFTER_PHASE, Weight.ORDINARY) for at in phases[:_PHASES]]
    chosen: list[Window] = []
    for wanted in (needed, useful, ordinary):
        pieces = [piece for each in _unions(wanted, lines) for piece in _without(each, chosen)]
        chosen = sorted([*chosen, *pieces], key=lambda each: each.first)
    return chosen


def _unions(windows: Iterable[Window], lines: int) -> list[Window]:
    """Return windows of one weight, within the log, with those joined that meet."""
    joined: list[Window] = []
    bounded = (Window(max(each.first, 1), min(each.last, lines), each.weight) for each in windows)
    for each in sorted(bounded, key=lambda window: window.first):
        if each.last < each.first:
            continue
        if joined and each.first <= joined[-1].last + 1:
            joined[-1] = Window(joined[-1].first, max(joined[-1].last, each.last), each.weight)
        else:
            joined.append(each)
    return joined


def _without(window: Window, taken: Sequence[Window]) -> list[Window]:
    """Return the parts of a window that no other has."""
    pieces, first = [], window.first
    for each in taken:
        if each.last < first or each.first > window.last:
            continue
        if each.first > first:
            pieces.append(Window(first, each.first - 1, window.weight))
        first = each.last + 1
    if first <= window.last:
        pieces.append(Window(first, window.last, window.weight))
    return pieces
