"""The errors of a build log, the same ones together: what the pages list and jump to. Pure."""

import re
from collections.abc import Iterable

import msgspec

from buildjob.report.foreign_text import strip_ansi

MOST_KINDS = 200
MOST_EVENTS = 100_000
MOST_MARKED = 20_000
_LONGEST_TEXT = 1_000
_PLACE = re.compile(r"^\s*(?:\S{1,300}?:\d+(?::\d+)?:\s*|\S{1,300}?\(\d+\):\s*)")
"""Source file and line, as compilers write them before a message."""


class LogError(msgspec.Struct, frozen=True, kw_only=True):
    """An error of a log, and how often it is there."""

    text: str
    """The line where it is first."""
    line: int
    """Of the log, from 1."""
    count: int = 1
    """Lines that say the same, wherever in the sources."""


class LogErrors(msgspec.Struct, frozen=True, kw_only=True):
    """The errors of a log."""

    kinds: tuple[LogError, ...] = ()
    """Each once, in the order of the log; at most `MOST_KINDS`."""
    lines: int = 0
    """All lines that are errors."""
    at: frozenset[int] = frozenset()
    """Their numbers; of at most `MOST_MARKED`."""
    is_whole: bool = True
    """False if there are more than were looked at or kept."""


def group(events: Iterable[tuple[int, str]]) -> LogErrors:
    """Return the errors of a log from their lines and texts, in its order."""
    kinds: dict[str, LogError] = {}
    at: set[int] = set()
    lines, is_whole = 0, True
    for line, raw in events:
        if lines == MOST_EVENTS:
            is_whole = False
            break
        lines += 1
        if lines <= MOST_MARKED:
            at.add(line)
        text = " ".join(strip_ansi(raw[:_LONGEST_TEXT]).split())
        key = _PLACE.sub("", text)
        if known := kinds.get(key):
            kinds[key] = msgspec.structs.replace(known, count=known.count + 1)
        elif len(kinds) < MOST_KINDS:
            kinds[key] = LogError(text=text, line=line)
        else:
            is_whole = False
    return LogErrors(kinds=tuple(kinds.values()), lines=lines, at=frozenset(at), is_whole=is_whole)
