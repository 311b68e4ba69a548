"""Hands a finished run to `ctest_xml`, which writes CDash's documents to `cdash/` in the run's folder.

Only names change here: `ctest_xml.mapping` chooses how phases, samples, logs and kills appear on CDash's pages.
"""

import datetime as dt
import platform
from collections.abc import Iterator

from buildjob import telemetry
from buildjob.outcome import Outcome
from buildjob.report.cdash_names import CDashNames
from buildjob.report.clamp import clamp_document
from buildjob.report.explain import describe_failed
from buildjob.report.format import format_bytes, format_seconds
from buildjob.report.limits import limit_bytes
from buildjob.run_folder import CDASH, LOG, PAGE, SPEC, TELEMETRY, RunResult
from buildjob.telemetry import Telemetry
from ctest_xml import naming
from ctest_xml.mapping import PackageBuild
from ctest_xml.mapping import write_documents as write
from ctest_xml.model import Note, Phase, Sample, Site, Test, TestStatus, Upload

_BEFORE_THE_PACKAGE = telemetry.SURROUNDING_PHASES | {"stage"}
"""Phases before the first one that the package itself names."""
_EARLY_FAILURES = {
    Outcome.FETCH_FAILED: "a source could not be fetched",
    Outcome.SPACK_UNUSABLE: "Spack could not be used",
    Outcome.DEPENDENCY_FAILED: "a dependency failed",
}


_TEST_STATUS: dict[str, TestStatus] = {"passed": "passed", "failed": "failed"}
"""All else was not run."""


def write_documents(result: RunResult, cdash_names: CDashNames) -> None:
    """Write the documents of a run. Raises OSError."""
    write(result.folder / CDASH, package_build(result, cdash_names))


def package_build(result: RunResult, cdash_names: CDashNames) -> PackageBuild:
    """Return the run as `ctest_xml` takes it; its files are named, not read."""
    document = clamp_document(result.telemetry)
    begun = dt.datetime.fromisoformat(document.started_at).timestamp()
    ended = max(dt.datetime.fromisoformat(document.ended_at).timestamp(), begun)
    spec, log = document.spec, result.folder / LOG
    return PackageBuild(
        site=_site(document, cdash_names, begun),
        package=spec.name,
        start_seconds=begun,
        end_seconds=ended,
        command=result.command,
        log=log if log.exists() else None,
        exit_condition=_exit_condition(document, result.outcome),
        early_failure=_early_failure(document, result.outcome),
        memory_kill=_memory_kill(document),
        phases=tuple(_phase(document, phase, begun, result.outcome) for phase in document.phases),
        samples=tuple(_samples(document.samples, begun)),
        labels=tuple(label for label in (f"{spec.name}@{spec.version}", spec.hash[:7]) if label),
        notes=tuple(_notes(result, ended)),
        uploads=tuple(_uploads(result)),
        tests=tuple(_test(test, spec.name, result.test_outputs.get(test.name, "")) for test in document.tests),
        revision=document.reproduce.packages_commit or document.reproduce.spack_commit,
    )


def _site(document: Telemetry, cdash_names: CDashNames, begun: float) -> Site:
    compiler, _, compiler_version = document.spec.compiler.partition("@")
    system = platform.uname()
    return Site(
        name=cdash_names.site,
        build_name=cdash_names.build_name
        or naming.build_name(
            package=document.spec.name, compiler=document.spec.compiler, architecture=document.spec.architecture
        ),
        build_stamp=cdash_names.build_stamp or naming.build_stamp(start_seconds=begun, group=cdash_names.group),
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


def _early_failure(document: Telemetry, outcome: Outcome) -> str:
    began = any(phase.name not in _BEFORE_THE_PACKAGE for phase in document.phases)
    if began:
        return ""
    if outcome is Outcome.DEPENDENCY_FAILED and document.failed_dependencies:
        return f"not built, since {describe_failed(document.failed_dependencies)}"
    return _EARLY_FAILURES.get(outcome, "")


def _exit_condition(document: Telemetry, outcome: Outcome) -> str:
    if document.exit_code == 0:
        return "0"
    return "Killed: out of memory" if outcome is Outcome.MEMORY_KILLED else f"{document.outcome} ({document.exit_code})"


def _memory_kill(document: Telemetry) -> str:
    """Return what the kernel killed, as part of a sentence; empty if nothing."""
    if not document.memory_kills:
        return ""
    kill = document.memory_kills[0]
    at = f"{kill.at_seconds:.0f} s" if kill.at_seconds >= 1 else format_seconds(kill.at_seconds)
    facts = [f"{kill.process or 'a process'} after {at}"]
    if limit := limit_bytes(kill.limit_bytes):
        facts.append(f"limit {format_bytes(limit)}")
    if document.totals.memory_working_set_peak_bytes:
        facts.append(f"peak {format_bytes(document.totals.memory_working_set_peak_bytes)}")
    if kill.inferred:
        facts.append("which process is inferred from the last sample")
    return ", ".join(facts)


def _phase(document: Telemetry, phase: telemetry.Phase, begun: float, outcome: Outcome) -> Phase:
    """Return a phase; a run that failed did so in its last one."""
    failed = phase is document.phases[-1] and outcome not in {Outcome.BUILT, Outcome.ALREADY_THERE, Outcome.PUBLISH_FAILED}
    return Phase(
        name=phase.name,
        start_seconds=begun + phase.start_seconds,
        wall_seconds=phase.wall_seconds,
        exit_code=1 if failed else 0,
        memory_peak_bytes=phase.memory_working_set_peak_bytes,
        cpu_seconds=phase.cpu_seconds,
        is_step=phase.name not in telemetry.SURROUNDING_PHASES,
    )


def _test(test: telemetry.StandaloneTest, package: str, output: str) -> Test:
    """Return a stand-alone test of the installed package."""
    status = _TEST_STATUS.get(test.status, "notrun")
    return Test(
        name=f"{package}.test.{test.name}",
        status=status,
        execution_seconds=test.wall_seconds,
        completion="Completed" if status != "notrun" else "No tests to run",
        exit_code="Failed" if status == "failed" else "",
        output=output,
        labels=(package,),
    )


def _samples(samples: telemetry.Samples, begun: float) -> Iterator[Sample]:
    for row in samples.rows():
        if row.memory_bytes is not None:
            yield Sample(time_seconds=begun + row.time_seconds, memory_bytes=row.memory_bytes, cpu_cores=row.cpu_cores)


def _notes(result: RunResult, ended: float) -> Iterator[Note]:
    for name in (SPEC, TELEMETRY):
        if (result.folder / name).exists():
            yield Note(name=name, text=result.folder / name, time_seconds=ended)


def _uploads(result: RunResult) -> Iterator[Upload]:
    for name in (TELEMETRY, PAGE):
        if (result.folder / name).exists():
            yield Upload(name=name, content=result.folder / name)
    job = result.telemetry.job
    if isinstance(job, telemetry.Job) and job.url:
        yield Upload(name="job.url", content=job.url)
