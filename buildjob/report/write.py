"""The story "report": what people and CDash read of a finished run. Nothing that fails in here changes the outcome.

Takes a run's result and its folder; finds the first error of the log, and writes the page and CDash's documents. The agent
writes the telemetry itself.

`page`, `cdash` and the scanner are imported only when the build has ended: they and lxml would otherwise hold memory of the
pod that the build may need.
"""

import re
import shutil
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from buildjob.files import write_whole
from buildjob.masking import mask
from buildjob.outcome import Outcome
from buildjob.report import log_excerpt
from buildjob.report.cdash_names import CDashNames
from buildjob.report.foreign_text import strip_ansi
from buildjob.report.link import Link, failed_links
from buildjob.report.log_excerpt import LogExcerpt
from buildjob.report.log_page.errors import LogErrors, group
from buildjob.run_folder import CDASH, LOG, LOG_PAGE, PAGE, ROOM_BYTES, SPEC, TELEMETRY, RunResult
from buildjob.telemetry import FirstError, MemoryKill, Telemetry

if typing.TYPE_CHECKING:
    from ctest_xml.model import LogEvent

PAGES = (("report", PAGE), ("log", LOG), ("log page", LOG_PAGE), ("telemetry", TELEMETRY), ("CDash", CDASH))
"""What the terminal table points to: label and name in the run's folder."""
_SUCCESSES = {Outcome.BUILT, Outcome.ALREADY_THERE}
# A run that is ended from outside leaves no error of its own in the log; the log's end shows where it was.
_NO_ERROR_OF_ITS_OWN = {Outcome.INTERRUPTED, Outcome.TIMED_OUT}
_LONGEST_TEXT = 2000
_VICTIM = re.compile(r"Killed signal terminated program (\S+)")
"""What gcc writes when one of its programs got SIGKILL (gcc/gcc.cc, "%s signal terminated program %s")."""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about why a run failed, from its telemetry and its log."""

    first_error: FirstError | None
    """None if the run did not fail by itself, or its log holds no error that we recognize."""
    memory_kills: list[MemoryKill]
    """As in the telemetry; the only kill is named if the log names its victim."""
    faults: list[str] = []
    """Why the log could not be read, in a sentence; empty if it could."""


def find_cause(result: RunResult, *, secret_values: frozenset[str]) -> Cause:
    """Return why a run failed, as far as telemetry and log know."""
    log, known = result.folder / LOG, result.telemetry
    unchanged = Cause(first_error=known.first_error, memory_kills=known.memory_kills)
    if known.first_error or result.outcome in _SUCCESSES | _NO_ERROR_OF_ITS_OWN or not log.exists():
        return unchanged
    try:
        error = first_error(log, result, secret_values)
        return Cause(first_error=error, memory_kills=_named_by(error, known.memory_kills))
    except Exception as error:  # noqa: BLE001  reporting never fails a build
        fault = f"the first error was not found: {type(error).__name__}: {error}"
        return msgspec.structs.replace(unchanged, faults=[fault])


def report(result: RunResult, cdash_names: CDashNames | None, *, secret_values: frozenset[str]) -> list[str]:
    """Write the page, and CDash's documents unless `reporting` is None; return each fault in a sentence."""
    faults: list[str] = []
    errors = None
    try:
        errors = _write_log_page(result, secret_values)
    except Exception as error:  # noqa: BLE001  as above
        faults.append(f"the log's page could not be written: {type(error).__name__}: {error}")
    try:
        _write_page(result, secret_values, errors)
    except Exception as error:  # noqa: BLE001  as above
        faults.append(f"the report could not be written: {type(error).__name__}: {error}")
    if cdash_names is None:
        return faults
    try:
        from buildjob.report import cdash  # noqa: PLC0415  see above

        cdash.write_documents(result, cdash_names)
    except Exception as error:  # noqa: BLE001  as above
        faults.append(f"CDash's documents could not be written: {type(error).__name__}: {error}")
    return faults


def _write_log_page(result: RunResult, secret_values: frozenset[str]) -> LogErrors | None:
    """Write the page of the log if there is room, and return the log's errors; None if there is no log."""
    from buildjob.report.log_page import page, read, windows  # noqa: PLC0415  see above

    log, spec = result.folder / LOG, result.telemetry.spec
    if not log.exists():
        return None
    errors = LogErrors()
    if result.outcome not in _SUCCESSES | _NO_ERROR_OF_ITS_OWN:
        errors = group((event.log_line, _text(event.text, secret_values)) for event in _errors_of(log))
    lines, size_bytes = read.measure(log)
    chosen = windows.choose(
        lines, errors=[error.line for error in errors.kinds], phases=[phase.line for phase in result.phases]
    )
    title = f"{spec.name} {spec.version}" + (f" /{spec.hash[:7]}" if spec.hash else "")
    known = page.Log(title=title, lines=lines, size_bytes=size_bytes, phases=result.phases, errors=errors)
    shown = ((number, mask(text, secret_values), window) for number, text, window in read.lines_of(log, chosen))
    written = page.render(known, shown).encode("utf-8", "backslashreplace")
    if shutil.disk_usage(result.folder).free >= len(written) + ROOM_BYTES:  # else the room is for the other documents
        write_whole(result.folder / LOG_PAGE, written)
    return errors


def _write_page(result: RunResult, secret_values: frozenset[str], errors: LogErrors | None) -> None:
    from buildjob.report import page  # noqa: PLC0415  see above
    from buildjob.report.many.folder import earlier_of  # noqa: PLC0415

    shown = page.render(
        result.telemetry,
        excerpt=_excerpt(result, secret_values),
        links=tuple(_links(result.telemetry, result.folder)),
        reproduce=mask("\n".join(result.telemetry.reproduce.commands), secret_values),
        errors=errors,
        others=earlier_of(result.folder, result.telemetry.spec.name),
    )
    write_whole(result.folder / PAGE, shown.encode("utf-8", "backslashreplace"))


def first_error(log: Path, result: RunResult, secret_values: frozenset[str]) -> FirstError | None:
    """Return the first error of the log, or None if it holds none that we recognize."""
    event = next(_errors_of(log), None)
    if event is None:
        return None
    place = f"{event.file}:{event.file_line}" if event.file and event.file_line is not None else event.file
    return FirstError(
        line=event.log_line,
        text=_text(event.text, secret_values),
        file=_text(place, secret_values),
        phase=next((phase.name for phase in reversed(result.phases) if phase.line <= event.log_line), ""),
    )


def _errors_of(log: Path) -> "Iterator[LogEvent]":
    """Yield the errors of a log, in its order."""
    from ctest_xml.scan import scan  # noqa: PLC0415  see above

    with log.open("rb") as file:
        yield from (event for event in scan(file, rules="spack") if event.kind == "error")


def _named_by(error: FirstError | None, kills: list[MemoryKill]) -> list[MemoryKill]:
    """Return the kills; if there is only one and gcc has seen its victim die, with the victim's name."""
    victim = _VICTIM.search(error.text) if error else None
    if victim is None or len(kills) != 1:
        return kills
    return [msgspec.structs.replace(kills[0], process=victim[1], inferred=False)]


def _text(text: str, secret_values: frozenset[str]) -> str:
    """Return a line of a log as a document may hold it: without escapes, lone surrogates and secrets, and cut."""
    plain = strip_ansi(text).encode("utf-8", "replace").decode()
    return mask(plain, secret_values)[:_LONGEST_TEXT]


def _excerpt(result: RunResult, secret_values: frozenset[str]) -> LogExcerpt | None:
    """Return the lines around the first error, or the end of the log if there is none; nothing after a success."""
    log, error = result.folder / LOG, result.telemetry.first_error
    if result.outcome in _SUCCESSES or not log.exists():
        return None
    taken = log_excerpt.take(log, error_line=error.line) if error else log_excerpt.take_end(log)
    return msgspec.structs.replace(taken, lines=[mask(line, secret_values) for line in taken.lines])


def _links(telemetry: Telemetry, folder: Path) -> Iterable[Link]:
    yield from failed_links(telemetry, folder)
    for name, title in ((LOG_PAGE, "log"), (LOG, "build log"), (TELEMETRY, "telemetry"), (SPEC, "concrete spec")):
        if (folder / name).exists():
            yield Link(label=title, url=name, is_beside=True)
