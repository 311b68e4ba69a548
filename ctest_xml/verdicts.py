"""Decides on errors by what follows them: events and marks in, events out, in the same order and a bounded number held.

A *doubtful* line (`cat: VERSION: No such file or directory`) is an error if a failure or the log's end follows at once, else
a warning: the caller went on. An *attempt* (`curl: (6) …`) is an error as well if another error follows at once. A
*heading* (`FAILED: a.o`, `Traceback …`) is dropped for the error that it announces, which gets it as context, and stays if
none follows. A *failure* (`make: *** [all] Error 2`) says that something before it failed. A *mark* (`mark_rules`) says that
something before it did not: what passing tests printed is dropped, what was ignored or repeated is a warning.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from ctest_xml.mark_rules import Mark
from ctest_xml.model import LogEvent

Grade = Literal["error", "attempt", "doubtful", "heading", "failure", "warning"]
DOUBT_LINES = 10
"""A failure that comes later has another cause."""
END_LINES = 5
"""The same for the log's end: programs that give up print little more."""
HEADING_LINES = 100
"""Longer is hardly any traceback, and hardly any output of one compiler."""
MARK_LINES = 30
"""How far back a mark reaches if no line says where its test, or its phase, began."""
MOST_HELD = 200
"""More errors than that are hardly those of a build or a test that has passed."""
_MOST_CHARACTERS = 1 << 20
"""Of all events that are held, contexts included: a log may have long lines."""
_CONTEXT_LINES = 10
_COUNT_LINES = 3
"""From the number of tests to the result."""
_TEST_OF_CTEST = re.compile(r"^ *[0-9]+/[0-9]+ Test +#([0-9]+): ")
_PACKAGE = re.compile(r"^==> (?:\[[^\]]*\] )?([A-Za-z0-9_-]+): ")
Span = Literal["run", "test", "phase"]


@dataclass(slots=True)
class _Held:
    event: LogEvent
    grade: Grade
    is_dropped: bool = False
    is_decided: bool = False

    @property
    def is_open_error(self) -> bool:
        """Whether a mark may still say that this was not a failure."""
        return not self.is_decided and not self.is_dropped and self.grade in {"error", "failure", "attempt", "doubtful"}


class Verdicts:
    """Holds the events from the first undecided one on."""

    def __init__(self) -> None:
        self._held: deque[_Held] = deque()
        self._characters = 0
        self._began: dict[Span, int] = {}
        """The spans that are open, and the line in which each began."""
        self._package = ""
        """Of the open phase."""
        self._boundary = 0
        """The last line that said something of a test."""
        self._counted = 0

    def take(self, event: LogEvent, grade: Grade) -> Iterator[LogEvent]:
        """Take the log's next event; yield those that are decided now."""
        self._expire(event.log_line)
        if grade in {"error", "failure"}:
            self._decide("attempt", "error")
            self._decide("doubtful", "warning" if grade == "error" else "error")
        if grade == "error":
            event = self._with_headings(event)
        if grade == "failure" and not self._began:  # within a test it may be what the test wants to see
            _settle(self._held)
        self._held.append(_Held(event, grade, is_decided=grade == "warning"))
        self._characters += _size(event)
        if len(self._held) > MOST_HELD or self._characters > _MOST_CHARACTERS:
            self._give_up()
        yield from self._decided(event.log_line)

    def mark(self, mark: Mark, line: int, text: str) -> Iterator[LogEvent]:
        """Take a line that says what became of those before it; yield the events that are decided now.

        In order with the events: those of earlier lines were taken.
        """
        self._expire(line)
        self._note_begin(mark, line, text)
        match mark:
            case "passed" | "failed":
                self._end_test(line, text, has_passed=mark == "passed")
            case "run passed" | "run failed":
                self._end_run(line, has_passed=mark == "run passed")
            case "all passed" if self._counted and line - self._counted <= _COUNT_LINES:
                self._end_run(line, has_passed=True)
            case "gave up":
                self._give_up()
            case "done":
                _excuse(self._held_since(self._began.pop("phase", line - MARK_LINES)))
            case "success":
                self._decide("attempt", "warning")
                self._decide("doubtful", "warning")
            case "ignored":
                _excuse(self._held_since(line - MARK_LINES))
            case _:
                pass
        yield from self._decided(line)

    def end(self, line: int) -> Iterator[LogEvent]:
        """Yield what is left at the end of the log, which has so many lines; an end is as good as a failure."""
        self._expire(line, doubt_lines=END_LINES)
        self._decide("attempt", "error")
        self._decide("doubtful", "error")
        self._give_up()
        yield from self._decided(line)

    def _note_begin(self, mark: Mark, line: int, text: str) -> None:
        if mark in ("run", "test"):
            self._began.setdefault(mark, line)
            self._boundary = line
        if mark == "phase":
            self._begin_phase(line, text)
        if mark == "counted":
            self._counted = line

    def _end_test(self, line: int, text: str, *, has_passed: bool) -> None:
        # The output of ctest's tests, which run side by side, has the number of each before each line.
        of_ctest = _TEST_OF_CTEST.match(text)
        if of_ctest:
            printed = [held for held in self._held if held.event.text.startswith(f"{of_ctest[1]}: ")]
        else:
            printed = self._held_since(self._boundary)
        # Outside of a run such a line may mean anything: the sum at its end says more.
        if self._began.keys() & {"run", "test"}:
            if has_passed:
                _drop(printed)
            else:
                _settle(printed)
        self._began.pop("test", None)
        if "run" in self._began:
            self._boundary = line

    def _end_run(self, line: int, *, has_passed: bool) -> None:
        since = self._began["run"] if "run" in self._began else max(line - MARK_LINES, self._boundary)
        printed = self._held_since(since)
        if has_passed:
            _drop(printed)
        else:
            _settle(printed)
        self._began.pop("run", None)
        self._began.pop("test", None)
        self._boundary = line

    def _begin_phase(self, line: int, text: str) -> None:
        named = _PACKAGE.match(text)
        package = named[1] if named else ""
        if "phase" in self._began and package != self._package:
            # The package before has not been installed, or nothing says so.
            _settle(self._held)
            self._began.pop("phase")
        self._package = package
        self._began.setdefault("phase", line)

    def _held_since(self, line: int) -> list[_Held]:
        return [held for held in self._held if held.event.log_line >= line]

    def _give_up(self) -> None:
        """Decide on everything: nothing that comes later excuses it."""
        self._began.clear()
        for held in self._held:
            held.is_decided = True

    def _expire(self, line: int, *, doubt_lines: int = DOUBT_LINES) -> None:
        for held in self._held:
            age = line - held.event.log_line
            if held.grade in {"doubtful", "attempt"} and age > doubt_lines:
                _set_grade(held, "warning")
            if held.grade == "heading" and age > HEADING_LINES:
                held.grade = "error"

    def _decide(self, grade: Grade, verdict: Literal["error", "warning"]) -> None:
        for index, held in enumerate(self._held):
            if held.grade != grade or held.is_dropped:
                continue
            _set_grade(held, verdict)
            if verdict == "error" and grade == "doubtful":
                held.event = self._with_headings(held.event, before=index)

    def _with_headings(self, event: LogEvent, *, before: int | None = None) -> LogEvent:
        """Drop the headings before an error; return it with the last one in its context if nothing is between them."""
        earlier = list(self._held)[:before]
        if earlier and earlier[-1].grade == "heading" and not earlier[-1].is_dropped:
            event = _joined(earlier[-1].event, event)
        for held in earlier:
            if held.grade == "heading":
                held.is_dropped = held.is_decided = True
                held.grade = "error"
        return event

    def _decided(self, line: int) -> Iterator[LogEvent]:
        while self._held and self._is_decided(self._held[0], line):
            held = self._held.popleft()
            self._characters -= _size(held.event)
            if not held.is_dropped:
                yield held.event

    def _is_decided(self, held: _Held, line: int) -> bool:
        if held.is_decided:
            return True
        if held.grade in {"doubtful", "attempt", "heading"}:
            return False
        # No mark reaches back to it any more.
        return line - held.event.log_line > MARK_LINES and not any(
            began <= held.event.log_line for began in self._began.values()
        )


def _set_grade(held: _Held, grade: Literal["error", "warning"]) -> None:
    held.grade = grade
    held.event = replace(held.event, kind=grade)
    held.is_decided = held.is_decided or grade == "warning"


def _settle(errors: Iterable[_Held]) -> None:
    """Decide that errors are errors."""
    for held in errors:
        if held.is_open_error and held.grade in {"error", "failure"}:
            held.is_decided = True


def _drop(printed: Iterable[_Held]) -> None:
    """Decide that what a passing test has printed is nothing."""
    for held in printed:
        if held.is_open_error or held.grade == "heading":
            held.is_dropped = held.is_decided = True


def _excuse(errors: Iterable[_Held]) -> None:
    """Decide that what went wrong did no harm."""
    for held in errors:
        if held.is_open_error or held.grade == "heading":
            _set_grade(held, "warning")


def _size(event: LogEvent) -> int:
    return len(event.text) + len(event.pre_context) + len(event.post_context)


def _joined(heading: LogEvent, event: LogEvent) -> LogEvent:
    """Return the event with the heading and its contexts before its own: the last ten lines of all that."""
    after = heading.post_context
    after += "\n" if after and not after.endswith("\n") else ""
    lines = f"{heading.pre_context}{heading.text}\n{after}{event.pre_context}".split("\n")[:-1]
    return replace(event, pre_context="".join(f"{line}\n" for line in lines[-_CONTEXT_LINES:]))
