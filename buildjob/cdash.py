"""Turns a finished run into CDash's documents, below `cdash/` of its folder: what `spack-farm ctest submit` sends.

The mapping only; how documents look is `ctest_xml`'s business. Configure-like phases become Configure.xml, the others
Build.xml with a timeline that carries memory and CPU; each phase is a test too, so that CDash draws trends of its figures.
"""

import datetime as dt
import platform
from collections.abc import Iterator
from pathlib import Path

from buildjob import telemetry
from buildjob.outcome import Outcome
from buildjob.request import Reporting
from buildjob.run import CDASH, LOG, TELEMETRY, RunResult
from buildjob.telemetry import Telemetry
from ctest_xml import model, naming, scan, write
from ctest_xml.files import whole

# Phases of Spack's build systems that prepare rather than build (spack 1.1, reporters/cdash.py, CDASH_PHASES).
_CONFIGURE = frozenset({
    "stage", "autoreconf", "bootstrap", "cmake", "configure", "edit", "hostconfig", "initconfig",
    "meson", "patch", "preprocess", "qmake", "sip_build", "waf",
})  # fmt: skip
_MOST_SAMPLES = 300
_SLICE_BYTES = 2 << 20
_MIB = 1 << 20


def write_documents(result: RunResult, reporting: Reporting) -> list[Path]:
    """Write the documents of a run and return their paths in the order of sending. Raises OSError."""
    run = _Run(result)
    site = _site(run, reporting)
    folder = result.folder / CDASH
    folder.mkdir(exist_ok=True)
    document, paths = result.telemetry, []

    def path(name: str) -> Path:
        paths.append(folder / name)
        return paths[-1]

    if document.reproduce.packages_commit or document.reproduce.spack_commit:
        with whole(path("Update.xml")) as out:
            write.update(out, site=site, update=_update(run))
    with whole(path("Configure.xml")) as out:
        write.configure(out, site=site, configure=_configure(run))
    with whole(path("Build.xml")) as out, run.log.open("rb") as log:
        write.build(out, site=site, build=_build(run, scan.scan(log, rules="spack")))
    with whole(path("Test.xml")) as out:
        write.testing(out, site=site, testing=_testing(run))
    with whole(path("Notes.xml")) as out:
        write.notes(out, site=site, notes=_notes(run))
    with whole(path("Upload.xml")) as out:
        write.upload(out, site=site, uploads=_uploads(run), time_seconds=run.begun)
    return paths


class _Run:
    """A run with its times as CDash wants them, and its log by phase."""

    def __init__(self, result: RunResult) -> None:
        self.folder, self.outcome = result.folder, result.outcome
        self.document: Telemetry = result.telemetry
        self.log = result.folder / LOG
        self.begun = dt.datetime.fromisoformat(self.document.started_at).timestamp()
        self.ended = max(dt.datetime.fromisoformat(self.document.ended_at).timestamp(), self.begun)
        self.phases = list(self.document.phases)
        self._offsets = [(phase.name, phase.offset) for phase in result.phases]
        self.failed = self.outcome not in {Outcome.BUILT, Outcome.ALREADY_THERE}

    def start(self, phase: telemetry.Phase) -> float:
        return self.begun + phase.start_seconds

    def end(self, phase: telemetry.Phase) -> float:
        return self.start(phase) + phase.wall_seconds

    def is_failed(self, phase: telemetry.Phase) -> bool:
        """A run fails in its last phase."""
        return self.failed and phase is self.phases[-1]

    def log_of(self, name: str) -> bytes:
        """Return the part of the log that a phase wrote, at most 2 MiB of it; empty if it wrote none."""
        places = [offset for phase, offset in self._offsets if phase == name]
        if not places:
            return b""
        later = [offset for _, offset in self._offsets if offset > places[0]]
        size = min(later[0] - places[0], _SLICE_BYTES) if later else _SLICE_BYTES
        with self.log.open("rb") as file:
            file.seek(places[0])
            return file.read(size)

    @property
    def command(self) -> str:
        spec = self.document.spec
        return f"spack install {spec.name}@{spec.version}" + (f" /{spec.hash}" if spec.hash else "")


def _site(run: _Run, reporting: Reporting) -> model.Site:
    document = run.document
    compiler, _, compiler_version = document.spec.compiler.partition("@")
    system = platform.uname()
    return model.Site(
        name=reporting.site,
        build_name=naming.build_name(
            package=document.spec.name, compiler=document.spec.compiler, architecture=document.spec.architecture
        ),
        build_stamp=naming.build_stamp(start_seconds=run.begun, group=reporting.group),
        generator=f"spack-farm-{document.versions.spack_farm}",
        compiler_name=compiler,
        compiler_version=compiler_version,
        os_name=system.system,
        os_release=system.release,
        os_version=system.version,
        os_platform=system.machine,
        logical_cpus=document.machine.cpus,
        memory_bytes=document.machine.memory_bytes or None,
    )


def _update(run: _Run) -> model.Update:
    known = run.document.reproduce
    return model.Update(start_seconds=run.begun, end_seconds=run.begun, revision=known.packages_commit or known.spack_commit)


def _configure(run: _Run) -> model.Configure:
    phases = [phase for phase in run.phases if phase.name in _CONFIGURE]
    log = b"".join(f"### phase: {phase.name}\n".encode() + run.log_of(phase.name) for phase in phases)
    return model.Configure(
        start_seconds=run.start(phases[0]) if phases else run.begun,
        end_seconds=run.end(phases[-1]) if phases else run.begun,
        command=run.command,
        log=log or b"no phase that configures\n",
        errors=int(any(run.is_failed(phase) for phase in phases)),
    )


def _build(run: _Run, events: Iterator[model.LogEvent]) -> model.Build:
    phases = [phase for phase in run.phases if phase.name not in _CONFIGURE]
    spec = run.document.spec
    return model.Build(
        start_seconds=run.start(phases[0]) if phases else run.begun,
        end_seconds=run.end(phases[-1]) if phases else run.ended,
        command=run.command,
        labels=tuple(label for label in (f"{spec.name}@{spec.version}", spec.hash[:7]) if label),
        events=events,
        failures=_failures(run),
        commands=_commands(run),
    )


def _failures(run: _Run) -> Iterator[model.Failure]:
    """Yield what the log does not say itself: a memory kill, or a failure without any error in the log."""
    document = run.document
    for kill in document.memory_kills:
        yield model.Failure(
            arguments=(kill.process or "a process",),
            exit_condition="Killed: out of memory",
            target_name=run.phases[-1].name if run.phases else "build",
            stderr=f"The kernel killed it for memory after {kill.at_seconds:.0f} s"
            + (f"; the limit is {kill.limit_bytes / _MIB:.0f} MiB" if kill.limit_bytes else "")
            + ("; which process it was is inferred from the last sample" if kill.inferred else ""),
        )
    if run.failed and document.first_error is None and not document.memory_kills:
        yield model.Failure(
            arguments=(run.command,),
            exit_condition=f"{document.outcome} ({document.exit_code})",
            target_name=run.phases[-1].name if run.phases else "build",
            stderr=_tail(run.log),
        )


def _tail(log: Path, *, size: int = 4096) -> bytes:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - size))
        return file.read(size)


def _commands(run: _Run) -> Iterator[model.Command]:
    """Yield the timeline: a bar for each phase, and the samples as contiguous bars that draw the memory curve."""
    for phase in run.phases:
        yield model.Command(
            kind="Install" if phase.name == "install" else "Custom",
            command=f"spack phase: {phase.name}",
            start_seconds=run.start(phase),
            duration_seconds=phase.wall_seconds,
            result="1" if run.is_failed(phase) else "0",
            measurements=tuple(_phase_measurements(phase)),
        )
    samples = run.document.samples
    step = max(1, -(-len(samples.time_seconds) // _MOST_SAMPLES))
    before = 0.0
    for first in range(0, len(samples.time_seconds), step):
        chosen = slice(first, first + step)
        at = samples.time_seconds[chosen][-1]
        yield model.Command(
            command="sample",
            start_seconds=run.begun + before,
            duration_seconds=max(at - before, 0.001),
            measurements=(
                model.Measurement(name="BeforeHostMemoryUsed", value=max(samples.memory_bytes[chosen]) // 1024),
                model.Measurement(name="CPUCores", value=max(samples.cpu_cores[chosen])),
            ),
        )
        before = at


def _phase_measurements(phase: telemetry.Phase) -> Iterator[model.Measurement]:
    if phase.memory_working_set_peak_bytes is not None:
        yield model.Measurement(name="PeakWorkingSetMiB", value=round(phase.memory_working_set_peak_bytes / _MIB, 2))
    if phase.cpu_seconds is not None:
        yield model.Measurement(name="CPUSeconds", value=phase.cpu_seconds)
        if phase.wall_seconds > 0:
            yield model.Measurement(name="CPUPercent", value=round(100 * phase.cpu_seconds / phase.wall_seconds, 1))


def _testing(run: _Run) -> model.Testing:
    name = run.document.spec.name
    tests = [
        model.Test(
            name=f"{name}.{phase.name}",
            status="failed" if run.is_failed(phase) else "passed",
            start_seconds=run.start(phase),
            execution_seconds=phase.wall_seconds,
            completion="Completed",
            measurements=tuple(_phase_measurements(phase)),
            output=run.log_of(phase.name),
        )
        for phase in run.phases
    ]
    return model.Testing(start_seconds=run.begun, end_seconds=run.ended, tests=tests)


def _notes(run: _Run) -> Iterator[model.Note]:
    yield model.Note(name=LOG, text=run.log, time_seconds=run.ended)
    spec = run.folder / "spec.json"
    if spec.exists():
        yield model.Note(name="spec.json", text=spec, time_seconds=run.ended)


def _uploads(run: _Run) -> Iterator[model.Upload]:
    yield model.Upload(name="build.log.txt", content=run.log, compress=True)
    yield model.Upload(name=TELEMETRY, content=run.folder / TELEMETRY)
    page = run.folder / "report.html"
    if page.exists():
        yield model.Upload(name="report.html", content=page)
    if isinstance(run.document.job, telemetry.Job) and run.document.job.url:
        yield model.Upload(name="job.url", content=run.document.job.url)
