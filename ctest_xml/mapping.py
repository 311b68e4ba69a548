"""Writes one Spack package build as CDash's documents. Only this module and `phases` know what a Spack build looks like.

    report = write_documents(folder, PackageBuild(...))

Phases become the timeline with its memory curve, tests with trends, and Configure.xml's log. A scan of the log gives errors
and warnings. The whole log, the spec and other files become notes and uploads. Obeys: CDash 5.3,
resources/js/vue (instrumentation page: memory in KiB), app/cdash/app/Model/Build.php (trends: equal site, name and group).
"""

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ctest_xml import write
from ctest_xml.content import excerpt, texts
from ctest_xml.files import write_whole
from ctest_xml.limits import NOTE_BYTES
from ctest_xml.model import (
    Build,
    Configure,
    Content,
    Failure,
    LogEvent,
    Measurement,
    Note,
    Part,
    Phase,
    Sample,
    Site,
    Test,
    Testing,
    Update,
    Upload,
)
from ctest_xml.phases import PhaseLog, phase_logs
from ctest_xml.scan import is_memory_kill, scan
from ctest_xml.timeline import phase_command, phase_test, sample_commands

CONFIGURE_PHASES = frozenset(
    {
        "autoreconf",
        "bootstrap",
        "cmake",
        "configure",
        "edit",
        "initconfig",
        "meson",
        "prepare",
        "qmake",
        "setup",
        "sip_prepare",
    }
)
"""Phases whose log goes into Configure.xml."""
_TAIL_BYTES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageBuild:
    """One `spack install` of one package, as it was measured."""

    site: Site
    package: str
    start_seconds: float
    end_seconds: float
    command: str
    """The command line, for display."""
    log: Path | None = None
    """spack-build-out.txt; None: the build failed before it had one."""
    exit_condition: str = "0"
    """`0` for success, else the exit code or a text such as `Killed: out of memory`; shown if the log has no error."""
    early_failure: str = ""
    """What failed before the first phase (concretize, fetch, stage, patch); shown as a failed configure step."""
    memory_kill: str = ""
    """The figures of a memory kill, such as `limit 512.0 MiB, peak 511.9 MiB`; shown first. Empty: there was none."""
    working_directory: str = ""
    phases: tuple[Phase, ...] = ()
    samples: tuple[Sample, ...] = ()
    labels: tuple[str, ...] = ()
    """Hash, version and other facts that change from build to build."""
    notes: tuple[Note, ...] = ()
    """Besides the log: spec, environment, a table of measurements."""
    uploads: tuple[Upload, ...] = ()
    """Besides the log: telemetry, plots, `job.url`."""
    images: tuple[Measurement, ...] = ()
    """Plots for the pages of the phases' tests."""
    phase_tests: bool = True
    """Whether each phase is also reported as a test: CDash then draws trends, and counts more tests."""
    tests: tuple[Test, ...] = ()
    """Tests of the package itself, beside those that stand for phases."""
    revision: str = ""
    """Commit of the package repository."""
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What the documents report, for the caller's own table."""

    counts: write.Counts
    first_error: LogEvent | None = None
    killed_for_memory: bool = False
    """Whether the log or the kernel reports a memory kill."""


def write_documents(folder: Path, build: PackageBuild) -> Reported:
    """Write all documents of a build into a folder, each whole or not at all. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = phase_logs(build.log) if build.log else []
    watch = _Watch()

    def document(name: str, writer: Callable[[BinaryIO], write.Counts | int | None]) -> write.Counts | int | None:
        with write_whole(folder / name) as out:
            return writer(out)

    site = build.site
    if build.revision:
        update = Update(start_seconds=build.start_seconds, end_seconds=build.start_seconds, revision=build.revision)
        document("Update.xml", lambda out: write.update(out, site=site, update=update))
    configure = _configure(build, parts)
    if configure:
        document("Configure.xml", lambda out: write.configure(out, site=site, configure=configure))
    counts = document(
        "Build.xml", lambda out: write.build(out, site=site, build=_build(build, parts, watch), limit=build.limit)
    )
    if build.tests or (build.phase_tests and any(phase.is_step for phase in build.phases)):
        document("Test.xml", lambda out: write.testing(out, site=site, testing=_testing(build, parts)))
    notes = tuple(_notes(build))
    if notes:
        document("Notes.xml", lambda out: write.notes(out, site=site, notes=notes))
    uploads = tuple(_uploads(build))
    if uploads:
        document("Upload.xml", lambda out: write.upload(out, site=site, uploads=uploads, time_seconds=build.end_seconds))
    assert isinstance(counts, write.Counts)
    return Reported(counts=counts, first_error=watch.first_error, killed_for_memory=watch.killed or bool(build.memory_kill))


class _Watch:
    """Finds the first error and memory kills among the events, while they are written into Build.xml."""

    def __init__(self) -> None:
        self.first_error: LogEvent | None = None
        self.killed = False
        self.errors = 0

    def over(self, events: Iterable[LogEvent]) -> Iterator[LogEvent]:
        for event in events:
            if event.kind == "error":
                self.errors += 1
                self.first_error = self.first_error or event
                self.killed = self.killed or is_memory_kill(event)
            yield event


def _configure(build: PackageBuild, parts: list[PhaseLog]) -> Configure | None:
    """Return Configure.xml's content: the configure phases, or what failed before any phase; None: there is neither."""
    phases = [phase for phase in build.phases if phase.is_step and phase.name in CONFIGURE_PHASES]
    if build.early_failure:
        end = phases[0].start_seconds if phases else build.end_seconds
        return Configure(
            start_seconds=build.start_seconds, end_seconds=end, command=build.command, log=build.early_failure, errors=1
        )
    if not phases:
        return None
    return Configure(
        start_seconds=phases[0].start_seconds,
        end_seconds=phases[-1].start_seconds + phases[-1].wall_seconds,
        command=build.command,
        log=_joined(part for part in parts if part.name in {phase.name for phase in phases}),
        errors=int(any(phase.exit_code for phase in phases)),
    )


def _joined(parts: Iterable[PhaseLog]) -> Content:
    """Return the phases' logs as one content."""
    found = [part.part for part in parts]
    if not found:
        return ""
    # Phases that follow each other are one part of the file, which is streamed; else head and tail of each are read.
    if all(left.end == right.start for left, right in itertools.pairwise(found)):
        return Part(path=found[0].path, start=found[0].start, end=found[-1].end)
    return "".join(piece for part in found for piece in excerpt(part, limit_bytes=NOTE_BYTES // len(found)))


def _build(build: PackageBuild, parts: list[PhaseLog], watch: _Watch) -> Build:
    later = [phase for phase in build.phases if phase.is_step and phase.name not in CONFIGURE_PHASES]
    bars = (phase_command(phase, build.working_directory) for phase in build.phases)
    commands = (*bars, *sample_commands(build.samples, end_seconds=build.end_seconds))
    return Build(
        start_seconds=later[0].start_seconds if later else build.start_seconds,
        end_seconds=build.end_seconds,
        command=build.command,
        source_directory=build.working_directory,
        labels=(build.package, *build.labels),
        events=_events(build, parts, watch),
        failures=_killed(build),
        commands=commands,
    )


def _events(build: PackageBuild, parts: list[PhaseLog], watch: _Watch) -> Iterator[LogEvent | Failure]:
    """Yield the log's events, without the warnings of configure phases: CDash counts these itself, in Configure.xml.

    If a build failed and its log has no error, a failure shows how the build ended, and the log's last lines.
    """
    if build.log:
        with build.log.open("rb") as log:
            for event in watch.over(scan(log)):
                if event.kind == "error" or not _in_configure(event.log_line, parts):
                    yield event
    if build.exit_condition != "0" and not watch.errors and not build.memory_kill:
        text = build.early_failure or f"{build.command}: {build.exit_condition}"
        watch.first_error = LogEvent(kind="error", log_line=1, text=text)
        yield _failure(build, text)


def _in_configure(line: int, parts: list[PhaseLog]) -> bool:
    here = [part for part in parts if part.first_line <= line]
    return bool(here) and here[-1].name in CONFIGURE_PHASES


def _killed(build: PackageBuild) -> Iterator[Failure]:
    if build.memory_kill:
        yield _failure(build, f"Killed: out of memory ({build.memory_kill})")


def _failure(build: PackageBuild, exit_condition: str) -> Failure:
    return Failure(
        arguments=tuple(build.command.split()) or ("?",),
        exit_condition=exit_condition,
        working_directory=build.working_directory,
        target_name=build.package,
        stderr=_tail(build.log),
        labels=(build.package,),
    )


def _tail(log: Path | None) -> str:
    if log is None:
        return ""
    size = log.stat().st_size
    return "".join(texts(Part(path=log, start=max(0, size - _TAIL_BYTES), end=size)))


def _testing(build: PackageBuild, parts: list[PhaseLog]) -> Testing:
    """Return each step as a test; a name that appears again gets a number, since CDash knows a test by its name."""
    logs: dict[str, list[Part]] = {}
    for part in parts:
        logs.setdefault(part.name, []).append(part.part)
    seen: collections.Counter[str] = collections.Counter()
    tests = [*build.tests]
    for phase in build.phases if build.phase_tests else ():
        if phase.is_step:
            log = next(iter(logs.get(phase.name, [])[seen[phase.name] :]), "")
            seen[phase.name] += 1
            tests.append(phase_test(phase, build.package, phase.log or log, build.images, number=seen[phase.name]))
    return Testing(start_seconds=build.start_seconds, end_seconds=build.end_seconds, tests=tests)


def _notes(build: PackageBuild) -> Iterator[Note]:
    if build.log and build.log.stat().st_size:
        yield Note(name=build.log.name, text=build.log, time_seconds=build.end_seconds)
    yield from build.notes


def _uploads(build: PackageBuild) -> Iterator[Upload]:
    if build.log:
        yield Upload(name=build.log.name, content=build.log, compress=True)
    yield from build.uploads
