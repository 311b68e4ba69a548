"""What changed since earlier builds of the same package: the rule, for the page of one build and that of many. Pure.

A figure has changed if it lies outside the range of the last five comparable builds by more than a tenth (a quarter, if
they are fewer than three), and by at least `LEAST`. Percent are against the last one. Comparable are builds that succeeded,
with the same number of build jobs, on the same kind of machine: family of its target, number of CPUs.
"""

import collections
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from buildjob.outcome import Outcome
from buildjob.report.many.entries import Entry

RULE = (
    "A figure counts as changed if it lies outside the range of the last five good builds of the package, with as many "
    "build jobs on the same kind of machine, by more than 10 % (25 %, if they are fewer than three) and at least 10 s or "
    "64 MiB."
)
COMPARED = 5
_MARGIN, _MARGIN_OF_FEW, _FEW = 0.10, 0.25, 3
LEAST: dict[str, float] = {"wall": 10.0, "CPU": 10.0, "memory": float(64 << 20)}
"""Figure to the least difference that counts: seconds, and bytes."""
FIGURES = tuple(LEAST)


class Change(msgspec.Struct, frozen=True):
    """A figure that has changed."""

    figure: str
    percent: int
    """Above 0 if there is more of it; at most 9,999."""
    since: str
    """The version of the last comparable build, or its hash if the version is the same."""

    def __str__(self) -> str:
        """Return the change as people write it: `memory + 40 % since 1.14.3`."""
        sign = "+" if self.percent > 0 else "−"
        return f"{self.figure} {sign} {abs(self.percent):,} % since {self.since}"


def figure_of(entry: Entry, figure: str) -> float | None:
    """Return a figure of a build; None if it was not measured."""
    match figure:
        case "wall":
            return entry.wall_seconds or None
        case "CPU":
            return entry.cpu_seconds or None
        case _:
            return float(entry.memory_bytes) if entry.memory_bytes else None


def comparable(entry: Entry, others: Iterable[Entry]) -> list[Entry]:
    """Return the builds that an entry is compared with, the last one first, at most `COMPARED`."""
    key = _key(entry)
    earlier = [other for other in others if other is not entry and _key(other) == key and _counts(other, before=entry)]
    return sorted(earlier, key=lambda other: -other.ended)[:COMPARED]


def changes(entry: Entry, compared: Sequence[Entry]) -> list[Change]:
    """Return what changed against comparable builds, the last one first; nothing for a build that did not succeed."""
    if entry.outcome != Outcome.BUILT or not compared:
        return []
    found = []
    for figure in FIGURES:
        now = figure_of(entry, figure)
        before = [
            value
            for each in compared
            if (value := figure_of(each, figure))
            and (figure != "memory" or each.memory_is_estimate == entry.memory_is_estimate)
        ]
        if now and before and _differs(now, before, least=LEAST[figure]):
            percent = round(100 * (now / before[0] - 1))
            # outside of the range and yet as the last one: a drift that the last build had begun
            if percent:
                found.append(Change(figure, min(percent, 9_999), _since(entry, compared[0])))
    return found


def changes_of_all(entries: Sequence[Entry]) -> Mapping[int, list[Change]]:
    """Return what changed in many builds, by their place in `entries`, which are newest first; only where something has."""
    found: dict[int, list[Change]] = {}
    last: dict[tuple[object, ...], collections.deque[Entry]] = {}
    for number in reversed(range(len(entries))):
        entry = entries[number]
        if entry.outcome != Outcome.BUILT or entry.wall_seconds <= 0:
            continue
        before = last.setdefault(_key(entry), collections.deque(maxlen=COMPARED))
        if known := changes(entry, list(before)):
            found[number] = known
        before.appendleft(entry)
    return found


def _key(entry: Entry) -> tuple[object, ...]:
    return entry.name, entry.architecture.rpartition("-")[2], entry.build_jobs, entry.cpus


def _counts(other: Entry, *, before: Entry) -> bool:
    return other.outcome == Outcome.BUILT and other.wall_seconds > 0 and other.ended < before.ended


def _differs(now: float, before: Sequence[float], *, least: float) -> bool:
    margin = _MARGIN if len(before) >= _FEW else _MARGIN_OF_FEW
    low, high = min(before), max(before)
    return (now > high * (1 + margin) and now - high >= least) or (now < low * (1 - margin) and low - now >= least)


def _since(entry: Entry, last: Entry) -> str:
    if last.version != entry.version:
        return last.version
    return f"/{last.hash[:7]}" if last.hash and last.hash != entry.hash else "the build before"
