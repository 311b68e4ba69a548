r"""Finds where Spack repeats others at the end of a log: the excerpt of the log, and the source of a recipe.

    2 errors found in build log:
      >> 15    broken.c:9:5: error: expected ';'
         16        9 |     printf("%s", width

Source is never an event. A line of an excerpt is one only if the log did not have it before: a log without the build's own
output has nothing else. Knows nothing of rules. Obeys: Spack 1.1 and its develop branch of January 2026,
util/log_parse.py (make_log_context), build_environment.py (write_log_summary, get_package_context).
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ctest_xml.model import Kind, LogEvent

_START = re.compile(rb"\n(?:([0-9]+ (?:error|warning)s? found in [a-z]+ log:)|/[^\s:]*\.py:[0-9]+, in [A-Za-z0-9_<>]+:)\n")
_NUMBERED = re.compile(rb"(?:  >> |     )[0-9]+ *")
_OF_EXCERPT = re.compile(rb"(?:  >> |     )[0-9]+(?: |$)| {10}|     \.\.\.$")
"""Lines of an excerpt: numbered, the rest of a wrapped one, or what stands for lines left out."""
_OF_SOURCE = re.compile(rb"  >> | {5}")
_POINTER = b">>"
"""Points at a line of each excerpt and of each source. It is rare, and found ten times as fast as other words of theirs."""
_TAIL_BYTES = 1 << 14
"""From the beginning of a repetition to its pointer it is never farther."""
_KEY = 40
"""So many characters tell lines apart, and fit into a narrow terminal: Spack wraps an excerpt's lines."""
_REMEMBERED = 10_000
_MOST_EXCERPTS = 50_000
"""Several times those that a block of text has room for: events come soon after their block."""
_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


class SpackExcerpts:
    """What of a log is Spack's repetition, block by block."""

    def __init__(self) -> None:
        self._open = ""  # what the last block ended in: `excerpt`, `source` or neither
        self._excerpts: list[tuple[int, int]] = []
        self._seen: dict[Kind, set[str]] = {"error": set(), "warning": set()}

    def without(self, block: bytes, *, first: int) -> bytes:
        """Return a block of whole lines with as many lines: source empty, an excerpt's lines without their numbers.

        `first`: how many lines the log has before it.
        """
        if not self._open and not _may_have_one(block):  # nearly all blocks
            return block
        text = b"\n" + block  # so that each line begins after a line end
        kept: list[bytes] = []
        at = self._repetition(text, 0, first, kept) if self._open else 0
        while start := _START.search(text, at):
            heading_end = start.end() - 1
            kept.append(text[at:heading_end])
            self._open = "excerpt" if start[1] else "source"
            at = self._repetition(text, heading_end, first, kept)
        return b"".join((*kept, text[at:]))[1:] if kept else block

    def _repetition(self, text: bytes, at: int, first: int, kept: list[bytes]) -> int:
        """Take the lines that belong to it, from the line end at `at` on; return the line end before the first other one."""
        number = start = first + text.count(b"\n", 0, at)
        while at < len(text) - 1:
            end = text.index(b"\n", at + 1)
            line = text[at + 1 : end]
            if line.strip() and not (_OF_SOURCE if self._open == "source" else _OF_EXCERPT).match(line):
                self._open = ""
                break
            numbered = _NUMBERED.match(line) if self._open == "excerpt" else None
            kept.append(b"\n" + (line[numbered.end() :] if numbered else b""))
            number += 1
            at = end
        self._excerpts.append((start + 1, number))
        if len(self._excerpts) > _MOST_EXCERPTS:
            del self._excerpts[: _MOST_EXCERPTS // 2]
        return at

    def events(self, events: Iterable[LogEvent]) -> Iterator[LogEvent]:
        """Yield the events but for those of an excerpt that the log had before."""
        for event in events:
            seen = self._seen[event.kind]
            if self._excerpts and self._is_repeated(event.log_line):
                text = _unnumbered(event.text)
                if text[:_KEY] not in seen:
                    yield replace(event, text=text)
                continue
            if len(seen) < _REMEMBERED:
                seen.add(_plain(event.text)[:_KEY])
            yield event

    def _is_repeated(self, line: int) -> bool:
        """Return whether a line is in an excerpt; of a log with very many, the last ones are known."""
        index = bisect_right(self._excerpts, (line, line)) - 1  # an excerpt has a first and a last line, and no two overlap
        return any(start <= line <= end for start, end in self._excerpts[max(index, 0) : index + 2])


def _may_have_one(block: bytes) -> bool:
    """Return whether a repetition may begin in a block; its pointer may be in the next one."""
    tail = max(0, len(block) - _TAIL_BYTES)
    start = 0 if _POINTER in block else tail
    return block.find(b" found in ", start) >= 0 or block.find(b".py:", start) >= 0


def _plain(text: str) -> str:
    return (_ESCAPE.sub("", text) if "\x1b" in text else text).strip()


def _unnumbered(text: str) -> str:
    plain = _ESCAPE.sub("", text).encode("utf-8", "surrogateescape")
    numbered = _NUMBERED.match(plain)
    return plain[numbered.end() if numbered else 0 :].decode("utf-8", "surrogateescape").strip()
