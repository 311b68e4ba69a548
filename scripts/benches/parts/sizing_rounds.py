"""The hand-made rounds of Spack's own table: when ours would have moved a package whose peak was published, and to what.

A published peak is the largest of all builds in its window, so it counts as a level that says enough. It is known on the
last day of its window, and of a month named without a day on the month's last day.
"""

import calendar
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

from sizing.observations import Evidence, Level, Observation, PolicySettings, Prior
from sizing.policies.table import sized

_GB = 10**9
_ROUND = 10
_SUFFIXES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One package of one hand-made round."""

    round: date
    package: str
    before_bytes: int
    after_bytes: int
    peak_bytes: int | None
    """Largest published before the round; None: nothing was, and no size can be tested."""
    known: date | None
    """When the newest of these peaks was."""
    ours_bytes: int | None


def moves(data: Path) -> list[Move]:
    """Return what changed in a round of at least ten memory requests, by round and package."""
    peaks = list(_peaks(data / "observed_max_mem.csv"))
    return [
        _move(when, package, before, after, peaks)
        for when, package, before, after in _changes(data / "requests_history.csv")
    ]


def timeline(data: Path, package: str) -> list[tuple[date, float, int]]:
    """Return when peaks of a package were known, with the peak in GB and the size in bytes that ours had from then on."""
    found = sorted((when, gigabytes) for name, when, gigabytes in _peaks(data / "observed_max_mem.csv") if name == package)
    return [
        (when, gigabytes, _sized(found[: number + 1], when, before=16 * _GB))
        for number, (when, gigabytes) in enumerate(found)
    ]


def _move(when: date, package: str, before: int, after: int, peaks: list[tuple[str, date, float]]) -> Move:
    earlier = sorted((known, gigabytes) for name, known, gigabytes in peaks if name == package and known <= when)
    return Move(
        round=when,
        package=package,
        before_bytes=before,
        after_bytes=after,
        peak_bytes=int(max(gigabytes for _, gigabytes in earlier) * _GB) if earlier else None,
        known=earlier[-1][0] if earlier else None,
        ours_bytes=_sized(earlier, when, before=before) if earlier else None,
    )


def _sized(peaks: list[tuple[date, float]], when: date, *, before: int) -> int:
    seen = [
        Observation(
            keys=("",),
            submitted=_unix(known),
            ended=_unix(known),
            outcome="built",
            working_set_peak_bytes=int(gigabytes * _GB),
        )
        for known, gigabytes in peaks
    ]
    evidence = Evidence(levels=(Level(key="", observations=seen),), prior=Prior(memory_bytes=before))
    ladder = sized("max_margin", evidence, now=_unix(when), settings=PolicySettings(accepted_count=1))
    return ladder.memory_bytes[0] if ladder else before


def _changes(path: Path) -> Iterator[tuple[date, str, int, int]]:
    """Yield the packages whose request a large round changed."""
    tables: dict[str, dict[str, int]] = {}
    dates: dict[str, date] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            # in the order of the file: two commits may have one date
            tables.setdefault(row["commit"], {}).setdefault(row["match"], _bytes(row["memory_request"]))
            dates.setdefault(row["commit"], date.fromisoformat(row["date"]))
    commits = list(tables)
    for before, after in pairwise(commits):
        changed = [
            (dates[after], package, tables[before][package], size)
            for package, size in tables[after].items()
            if tables[before].get(package, size) != size
        ]
        if len(changed) >= _ROUND:
            yield from sorted(changed)


def _peaks(path: Path) -> Iterator[tuple[str, date, float]]:
    """Yield package, when its peak was known, and the peak in GB; a package with a question mark is a guess and left out."""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            package = re.split(r"[@ (]", row["package"])[0]
            if not package.endswith("?"):
                yield package, _last_day(row["window"].rpartition("..")[2]), float(row["max_memory_gb"])


def _last_day(text: str) -> date:
    year, month, *day = (int(part) for part in text.split("-"))
    return date(year, month, *day) if day else date(year, month, calendar.monthrange(year, month)[1])


def _unix(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _bytes(text: str) -> int:
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", text)
    if found is None:
        raise ValueError(f"'{text}' is not a memory request")
    return int(float(found[1]) * _SUFFIXES[found[2]])
