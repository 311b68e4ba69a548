"""What changes from old settings to new ones: each figure of the simulated runs before, after, and by how much. Pure.

Runs are compared seed by seed, because both meet the same chances: how far the changes of single seeds lie apart says
whether a change is more than chance. The table is Markdown: it is read in a terminal and in a merge request alike.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from autoscaler.simulator.run import Result

_HOUR = 3600.0
_FIGURES = (
    ("jobs", "jobs", 1.0, 0),
    ("cost", "cost", 1.0, 2),
    ("of it idle", "idle_cost", 1.0, 2),
    ("mean wait s", "mean_wait", 1.0, 0),
    ("p95 wait s", "p95_wait", 1.0, 0),
    ("makespan h", "makespan", _HOUR, 2),
    ("nodes", "launched", 1.0, 1),
    ("removals taken back", "aborted_removals", 1.0, 1),
    ("jobs lost with their nodes", "lost_jobs", 1.0, 1),
    ("jobs killed for memory", "memory_kills", 1.0, 1),
    ("jobs killed by us", "killed_by_us", 1.0, 1),
)
"""In words, name in a Result, what it is divided by in a table, digits there."""
HEADINGS = ("", "old", "new", "change", "%", "change of each seed")


@dataclass(frozen=True, slots=True)
class Change:
    """One figure, as means over the seeds, in the Result's unit."""

    words: str
    figure: str
    """Name in a Result."""
    unit: float
    """What it is divided by in a table."""
    digits: int
    old: float
    new: float
    least: float
    """The smallest change of a seed, new less old."""
    greatest: float
    """The greatest one."""

    @property
    def change(self) -> float:
        """Return new less old."""
        return self.new - self.old

    @property
    def percent(self) -> float | None:
        """Return the change in percent of the old figure; None if that is 0."""
        return 100 * self.change / self.old if self.old else None

    def cells(self) -> tuple[str, ...]:
        """Return the row of a table; see `HEADINGS`."""
        percent = "" if self.percent is None else _signed(self.percent, 1)
        values = (f"{value / self.unit:.{self.digits}f}" for value in (self.old, self.new))
        change, least, greatest = (
            _signed(value / self.unit, self.digits) for value in (self.change, self.least, self.greatest)
        )
        return (self.words, *values, change, percent, f"{least} to {greatest}")


def difference(old: Sequence[Result], new: Sequence[Result]) -> list[Change]:
    """Return each figure's change. The runs of both are of the same seeds, in the same order, at least one."""
    found = []
    for words, figure, unit, digits in _FIGURES:
        before, after = ([float(getattr(one, figure)) for one in runs] for runs in (old, new))
        changes = [is_now - was for was, is_now in zip(before, after, strict=True)]
        found.append(
            Change(
                words, figure, unit, digits, statistics.fmean(before), statistics.fmean(after), min(changes), max(changes),
            )
        )  # fmt: skip
    return found


def document(changes: Sequence[Change]) -> dict[str, dict[str, float | None]]:
    """Return the changes by the figures' names, for `--json`."""
    return {
        one.figure: {
            "old": one.old, "new": one.new, "change": one.change, "change_percent": one.percent,
            "least_change": one.least, "greatest_change": one.greatest,
        }
        for one in changes
    }  # fmt: skip


def markdown(changes: Sequence[Change]) -> str:
    """Return the table."""
    rows = [HEADINGS, *(one.cells() for one in changes)]
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(HEADINGS))]
    lines = [_line([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    rule = _line(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _signed(value: float, digits: int) -> str:
    """Return a number with its sign; one that rounds to nothing is 0."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else "0"
