"""Decides on errors by what follows them: events in, events out, in the same order and a bounded number of them held.

A *doubtful* line (`cat: VERSION: No such file or directory`) is an error if a failure or the log's end follows at once, else
a warning: the caller went on. A *heading* (`FAILED: a.o`, `Traceback …`) is dropped for the error that it announces, which
gets it as context, and stays if none follows. A *failure* (`make: *** [all] Error 2`) says that something before it failed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from ctest_xml.model import LogEvent

Grade = Literal["error", "doubtful", "heading", "failure", "warning"]
DOUBT_LINES = 10
"""A failure that comes later has another cause."""
HEADING_LINES = 100
"""Longer is hardly any traceback, and hardly any output of one compiler."""
_CONTEXT_LINES = 10


@dataclass(slots=True)
class _Held:
    event: LogEvent
    grade: Grade
    is_dropped: bool = False


class Verdicts:
    """Holds the events from the first undecided one on."""

    def __init__(self) -> None:
        self._held: list[_Held] = []

    def take(self, event: LogEvent, grade: Grade) -> Iterator[LogEvent]:
        """Take the log's next event; yield those that are decided now."""
        self._expire(event.log_line)
        if grade == "error":
            self._doubts_are("warning")
            event = self._with_headings(event)
        if grade == "failure":
            self._doubts_are("error")
        if not self._held and grade not in {"doubtful", "heading"}:
            yield event
            return
        self._held.append(_Held(event, grade))
        yield from self._decided()

    def end(self, line: int) -> Iterator[LogEvent]:
        """Yield what is left at the end of the log, which has so many lines; an end is as good as a failure."""
        self._expire(line)
        self._doubts_are("error")
        for held in self._held:
            held.grade = "error" if held.grade == "heading" else held.grade
        yield from self._decided()

    def _expire(self, line: int) -> None:
        for held in self._held:
            if held.grade == "doubtful" and line - held.event.log_line > DOUBT_LINES:
                _decide(held, "warning")
            if held.grade == "heading" and line - held.event.log_line > HEADING_LINES:
                held.grade = "error"

    def _doubts_are(self, grade: Literal["error", "warning"]) -> None:
        for index, held in enumerate(self._held):
            if held.grade != "doubtful":
                continue
            _decide(held, grade)
            if grade == "error":
                held.event = self._with_headings(held.event, before=index)

    def _with_headings(self, event: LogEvent, *, before: int | None = None) -> LogEvent:
        """Drop the headings before an error; return it with the last one in its context if nothing is between them."""
        earlier = self._held[:before]
        if earlier and earlier[-1].grade == "heading":
            event = _joined(earlier[-1].event, event)
        for held in earlier:
            if held.grade == "heading":
                held.is_dropped, held.grade = True, "error"
        return event

    def _decided(self) -> Iterator[LogEvent]:
        while self._held and self._held[0].grade not in {"doubtful", "heading"}:
            held = self._held.pop(0)
            if not held.is_dropped:
                yield held.event


def _decide(held: _Held, grade: Literal["error", "warning"]) -> None:
    held.grade = grade
    held.event = replace(held.event, kind=grade)


def _joined(heading: LogEvent, event: LogEvent) -> LogEvent:
    """Return the event with the heading and its contexts before its own: the last ten lines of all that."""
    after = heading.post_context
    after += "\n" if after and not after.endswith("\n") else ""
    lines = f"{heading.pre_context}{heading.text}\n{after}{event.pre_context}".split("\n")[:-1]
    return replace(event, pre_context="".join(f"{line}\n" for line in lines[-_CONTEXT_LINES:]))
