"""What `spack-farm report index` prints: how many builds of each outcome, what failed and why, where a pipeline's time went.

Lines for a terminal or a job's log, of plain ASCII and without anything that a terminal acts on. Pure.
"""

import collections
import shlex
from collections.abc import Iterator, Sequence

from buildjob.report import foreign_text
from buildjob.report.format import format_seconds
from buildjob.report.many.entries import Entry
from buildjob.report.many.folder import Collection
from buildjob.report.many.newest import failing
from buildjob.report.many.timing import JobTime, PipelineTime
from buildjob.report.many.timing_section import PARTS, summary, times, title

_FAILING, _PATH = 10, 20
_NAME, _ERROR, _WHY = 48, 160, 300
_LONGEST_COMMAND = 4096
_ABSENT = "-"


def lines(collection: Collection, pipelines: Sequence[PipelineTime], *, folder: str = "") -> Iterator[str]:
    """Yield the lines; the time of the first pipeline only.

    `folder` is the one that was read, as its user named it; "" if the builds lie in none.
    """
    yield _counts(collection)
    broken = failing(collection.entries)
    if broken:
        yield "failed at their last run:"
    for entry in broken[:_FAILING]:
        yield from _failure(entry, folder)
    if len(broken) > _FAILING:
        yield f"  and {len(broken) - _FAILING:,} more"
    if pipelines:
        yield from _time(pipelines[0])


def _counts(collection: Collection) -> str:
    counted = collections.Counter(entry.headline for entry in collection.entries)
    kinds = ", ".join(f"{count:,} {_plain(headline.lower(), _NAME)}" for headline, count in counted.most_common())
    left = f"; {collection.left_out:,} older ones are left out" if collection.left_out else ""
    return f"{len(collection.entries):,} build{'s' * (len(collection.entries) != 1)}: {kinds or 'none'}{left}"


def _failure(entry: Entry, folder: str) -> Iterator[str]:
    needs = ", ".join(f"{each.name}@{each.version}" for each in entry.failed)
    reason = f": {_plain(needs, _WHY)}" if needs else ""
    yield f"  {_title(entry)}: {_plain(entry.headline.lower(), _NAME)}{reason}"
    if entry.error:
        line = f"line {entry.error_line:,}: " if entry.error_line else ""
        yield f"    {line}{_plain(entry.error, _ERROR)}"
    if entry.job and entry.job.url:
        yield f"    {_plain(entry.job.url, _WHY)}"
    if command := _again(entry, folder):
        yield f"    help: {command}"


def _again(entry: Entry, folder: str) -> str:
    """Return the command that builds a failed package again; "" where that is not known, or another one has to be built."""
    if not entry.hash or entry.failed or entry.is_driver_s:
        return ""
    words = ["--reproduce", f"{folder.rstrip('/')}/{entry.place}"] if folder and entry.place else []
    if not words and entry.job and entry.job.url.startswith(("https://", "http://")):
        words = ["--reproduce", entry.job.url, "--hash", entry.hash[:7]]
    command = shlex.join(["spack-farm", "build", *words])
    # a command with a letter replaced would name something else
    return command if words and _plain(command, _LONGEST_COMMAND) == command else ""


def _title(entry: Entry) -> str:
    short = f"/{entry.hash[:7]}" if entry.hash else ""
    return _plain(f"{entry.name}@{entry.version}{short}" if entry.version else entry.name, 2 * _NAME)


def _time(pipeline: PipelineTime) -> Iterator[str]:
    yield f"where the time went: {_plain(title(pipeline), _WHY)}"
    yield f"  {_plain(summary(pipeline), _WHY)}"
    shown = pipeline.path[-_PATH:]
    rows: list[tuple[str, ...]] = [("critical path", *PARTS)]
    if len(pipeline.path) > len(shown):
        rows.append((f"{len(pipeline.path) - len(shown):,} earlier jobs", *[""] * len(PARTS)))
    rows += [_row(job) for job in shown]
    rows.append(("sum of the path", *map(format_seconds, pipeline.sums(pipeline.path))))
    rows.append(("sum of all jobs", *map(format_seconds, pipeline.sums(pipeline.jobs))))
    widths = [max(len(row[column]) for row in rows) for column in range(len(PARTS) + 1)]
    for row in rows:
        cells = (
            f"{cell:<{width}}" if not at else f"{cell:>{width}}"
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield f"  {'  '.join(cells)}".rstrip()


def _row(job: JobTime) -> tuple[str, ...]:
    return _plain(job.name, _NAME), *(_ABSENT if seconds is None else format_seconds(seconds) for seconds in times(job))


def _plain(text: str, limit: int) -> str:
    return foreign_text.to_ascii(foreign_text.cut(foreign_text.strip_ansi(text), limit=limit))
