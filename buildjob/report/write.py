"""The story "report": what people and CDash read of a finished run. Nothing that fails in here changes the verdict.

Takes a run's result and its folder; finds the first error of the log, rewrites the telemetry with it, and writes the page
and CDash's documents beside it.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from buildjob import telemetry
from buildjob.files import write_whole
from buildjob.masking import mask
from buildjob.outcome import Outcome
from buildjob.report import log_excerpt
from buildjob.report.log_excerpt import Link, LogExcerpt
from buildjob.report.reporting import Reporting
from buildjob.run_folder import CDASH, LOG, PAGE, SPEC, TELEMETRY, RunResult
from buildjob.telemetry import FirstError, MemoryKill, Telemetry

PAGES = (("report", PAGE), ("log", LOG), ("telemetry", TELEMETRY), ("CDash", CDASH))
"""What the summary points to: label and name in the run's folder."""
_SUCCESSES = {Outcome.BUILT, Outcome.ALREADY_THERE}
# What ends a run from outside leaves no error of its own in the log: then the log's end says where it was.
_NO_ERROR_OF_ITS_OWN = {Outcome.INTERRUPTED, Outcome.TIMED_OUT}
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[@-_])")
_LONGEST_TEXT = 2000
_VICTIM = re.compile(r"Killed signal terminated program (\S+)")
"""What gcc says when one of its programs got SIGKILL (gcc/gcc.cc, "%s signal terminated program %s")."""


def report(result: RunResult, reporting: Reporting | None, *, secret_values: frozenset[str], reproduce: str) -> RunResult:
    """Write the page, and CDash's documents unless `reporting` is None; a fault becomes a note.

    Returns the result with the first error in its telemetry.
    """
    try:
        result = _report(result, secret_values, reproduce)
    except Exception as error:  # noqa: BLE001  reporting never fails a build
        result = _with_note(result, f"the report could not be written: {type(error).__name__}: {error}")
    if reporting is None:
        return result
    try:
        from buildjob.report import cdash  # noqa: PLC0415  lxml and the scanner are loaded when the build has ended

        cdash.write_documents(result, reporting)
    except Exception as error:  # noqa: BLE001  as above
        result = _with_note(result, f"CDash's documents could not be written: {type(error).__name__}: {error}")
    return result


def _with_note(result: RunResult, note: str) -> RunResult:
    return msgspec.structs.replace(result, notes=list(dict.fromkeys([*result.notes, note])))


def _report(result: RunResult, secret_values: frozenset[str], reproduce: str) -> RunResult:
    log = result.folder / LOG
    document = result.telemetry
    if document.first_error is None and result.outcome not in _SUCCESSES | _NO_ERROR_OF_ITS_OWN and log.exists():
        document = msgspec.structs.replace(document, first_error=first_error(log, result, secret_values))
        document = msgspec.structs.replace(document, memory_kills=_named_by(document.first_error, document.memory_kills))
        telemetry.write(document, result.folder / TELEMETRY)
    from buildjob.report import page  # noqa: PLC0415  loaded when the build has ended

    shown = page.render(
        document,
        excerpt=_excerpt(log, document, result.outcome, secret_values),
        links=tuple(_links(result.folder)),
        reproduce=mask(reproduce, secret_values),
    )
    write_whole(result.folder / PAGE, shown.encode("utf-8", "backslashreplace"))
    return msgspec.structs.replace(result, telemetry=document)


def first_error(log: Path, result: RunResult, secret_values: frozenset[str]) -> FirstError | None:
    """Return the first error of the log, or None if it holds none that we recognize."""
    from ctest_xml.scan import scan  # noqa: PLC0415  the scanner's engine is loaded when the build has ended

    with log.open("rb") as file:
        event = next((event for event in scan(file, rules="spack") if event.kind == "error"), None)
    if event is None:
        return None
    place = f"{event.file}:{event.file_line}" if event.file and event.file_line is not None else event.file
    return FirstError(
        line=event.log_line,
        text=_text(event.text, secret_values),
        file=_text(place, secret_values),
        phase=next((phase.name for phase in reversed(result.phases) if phase.line <= event.log_line), ""),
    )


def _named_by(error: FirstError | None, kills: list[MemoryKill]) -> list[MemoryKill]:
    """Return the kills, the only one named by the compiler driver that saw its program die, if it did."""
    victim = _VICTIM.search(error.text) if error else None
    if victim is None or len(kills) != 1:
        return kills
    return [msgspec.structs.replace(kills[0], process=victim[1], inferred=False)]


def _text(text: str, secret_values: frozenset[str]) -> str:
    """Return a line of a log as a document may hold it: no escapes, no lone surrogates, no secret, not endless."""
    plain = _ESCAPES.sub("", text).encode("utf-8", "replace").decode()
    return mask(plain, secret_values)[:_LONGEST_TEXT]


def _excerpt(log: Path, document: Telemetry, outcome: Outcome, secret_values: frozenset[str]) -> LogExcerpt | None:
    """Return the lines around the first error; of a failure without one the end of the log; of a success nothing."""
    if outcome in _SUCCESSES or not log.exists():
        return None
    error = document.first_error
    taken = log_excerpt.take(log, error_line=error.line, phase=error.phase) if error else log_excerpt.take_end(log)
    return msgspec.structs.replace(taken, lines=[mask(line, secret_values) for line in taken.lines])


def _links(folder: Path) -> Iterable[Link]:
    for name, title in ((LOG, "build log"), (TELEMETRY, "telemetry"), (SPEC, "concrete spec")):
        if (folder / name).exists():
            yield Link(label=title, url=name, is_beside=True)


def reproduce_with_spack(document: Telemetry) -> str:
    """Return the commands that build the same package again."""
    known = document.reproduce
    lines = [
        f"# Spack {document.versions.spack}" + (f", commit {known.spack_commit}" if known.spack_commit else ""),
        *([f"# package repository at commit {known.packages_commit}"] if known.packages_commit else []),
        "# spec.json lies beside this page",
        f"spack-farm build -j{document.spec.build_jobs} ./spec.json",
        "# or with Spack alone:",
        f"spack install -j{document.spec.build_jobs} ./spec.json",
    ]
    return "\n".join(lines)
