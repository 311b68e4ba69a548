"""A run in the words of the CTest library: what each of its documents will say."""

import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from buildjob.outcome import Outcome, exit_code
from buildjob.report.cdash import package_build, write_documents
from buildjob.report.cdash_names import CDashNames
from buildjob.run_folder import CDASH, LOG, PAGE, SPEC, TELEMETRY, RunResult
from buildjob.telemetry import MemoryKill, Samples, Telemetry
from ctest_xml.mapping import PackageBuild
from tests.labs.telemetry_samples import GIB, MIB, change, sample

_REPORTING = CDashNames(site="farm-x86", group="Nightly")
_BEGUN = 1763975642.0  # 2025-11-24T09:14:02Z


def _result(folder: Path, document: Telemetry) -> RunResult:
    return RunResult(folder=folder, telemetry=document, command="spack install /h6t3q2l", is_root=True)


def _build(folder: Path, **changes: object) -> PackageBuild:
    return package_build(_result(folder, sample(**changes)), _REPORTING)


def _failed(outcome: Outcome, **changes: object) -> dict[str, object]:
    return {"outcome": outcome, "exit_code": exit_code(outcome), **changes}


def test_a_run_keeps_its_names_and_times(tmp_path: Path) -> None:
    build = _build(tmp_path)
    assert (build.package, build.command, build.exit_condition) == ("ncurses", "spack install /h6t3q2l", "0")
    assert build.start_seconds == _BEGUN
    assert build.end_seconds == pytest.approx(_BEGUN + 151, abs=1)
    assert build.labels == ("ncurses@6.5", "h6t3q2l")
    assert build.revision == sample().reproduce.packages_commit
    assert (build.site.name, build.site.compiler_name, build.site.compiler_version) == ("farm-x86", "gcc", "12.2.0")
    assert build.site.build_stamp.endswith("-Nightly")


def test_a_command_build_has_its_version_as_its_only_label(tmp_path: Path) -> None:
    spec = change(sample().spec, hash="", compiler="")
    assert _build(tmp_path, spec=spec).labels == ("ncurses@6.5",)


def test_without_a_commit_of_the_packages_spacks_own_is_the_revision(tmp_path: Path) -> None:
    known = sample().reproduce
    build = _build(tmp_path, reproduce=change(known, packages_commit=""))
    assert build.revision == known.spack_commit


def test_a_clock_that_was_set_back_makes_no_build_of_negative_length(tmp_path: Path) -> None:
    build = _build(tmp_path, ended_at="2025-11-24T09:00:00Z")
    assert build.end_seconds == build.start_seconds


def test_phases_and_samples_have_absolute_times(tmp_path: Path) -> None:
    document = sample()
    build = _build(tmp_path)
    assert [(phase.name, phase.is_step) for phase in build.phases] == [
        ("spack-start", False),
        ("stage", True),
        ("configure", True),
        ("build", True),
        ("install", True),
        ("spack-end", False),
    ]
    assert build.phases[1].start_seconds == _BEGUN + document.phases[1].start_seconds
    assert build.phases[1].memory_peak_bytes == document.phases[1].memory_working_set_peak_bytes
    assert len(build.samples) == len(document.samples.time_seconds)
    first = build.samples[0]
    assert (first.time_seconds, first.memory_bytes, first.cpu_cores) == (
        _BEGUN + document.samples.time_seconds[0],
        document.samples.memory_bytes[0],
        document.samples.cpu_cores[0],
    )


def test_a_sample_without_memory_is_left_out_and_one_without_cpu_is_not(tmp_path: Path) -> None:
    gaps = Samples(time_seconds=[1.0, 2.0, 3.0], memory_bytes=[5, None, 6], cpu_cores=[0.5, 0.5])
    assert [(row.memory_bytes, row.cpu_cores) for row in _build(tmp_path, samples=gaps).samples] == [(5, 0.5), (6, None)]


@pytest.mark.parametrize(
    ("outcome", "codes"),
    [
        (Outcome.BUILT, [0, 0, 0, 0, 0]),
        (Outcome.PUBLISH_FAILED, [0, 0, 0, 0, 0]),  # the build itself is good
        (Outcome.BUILD_FAILED, [0, 0, 0, 0, 1]),
        (Outcome.MEMORY_KILLED, [0, 0, 0, 0, 1]),
        (Outcome.TIMED_OUT, [0, 0, 0, 0, 1]),
    ],
)
def test_a_run_that_failed_did_so_in_its_last_phase(tmp_path: Path, outcome: Outcome, codes: list[int]) -> None:
    phases = sample().phases[:-1]
    assert [phase.exit_code for phase in _build(tmp_path, outcome=outcome, phases=phases).phases] == codes


@pytest.mark.parametrize(
    ("outcome", "condition"),
    [
        (Outcome.BUILT, "0"),
        (Outcome.MEMORY_KILLED, "Killed: out of memory"),
        (Outcome.BUILD_FAILED, "build_failed (1)"),
        (Outcome.TIMED_OUT, "timed_out (124)"),
    ],
)
def test_the_exit_condition_names_the_outcome(tmp_path: Path, outcome: Outcome, condition: str) -> None:
    assert _build(tmp_path, **_failed(outcome)).exit_condition == condition


def test_what_fails_before_any_phase_is_an_early_failure(tmp_path: Path) -> None:
    assert "fetched" in _build(tmp_path, **_failed(Outcome.FETCH_FAILED, phases=[])).early_failure
    early = sample().phases[:2]  # Spack's own start, and the fetching and unpacking of sources
    assert "fetched" in _build(tmp_path, **_failed(Outcome.FETCH_FAILED, phases=early)).early_failure
    assert "Spack" in _build(tmp_path, **_failed(Outcome.SPACK_UNUSABLE, phases=early[:1])).early_failure
    assert _build(tmp_path, **_failed(Outcome.FETCH_FAILED)).early_failure == ""
    assert _build(tmp_path, **_failed(Outcome.BUILD_FAILED, phases=[])).early_failure == ""


def test_a_memory_kill_is_described_with_what_is_known_of_it(tmp_path: Path) -> None:
    kill = MemoryKill(process="cc1plus", inferred=True, limit_bytes=2 * GIB, at_seconds=75.4)
    totals = change(sample().totals, memory_working_set_peak_bytes=2040 * MIB)
    described = _build(tmp_path, memory_kills=[kill], totals=totals).memory_kill
    assert described.split(", ")[:3] == ["cc1plus after 75 s", "limit 2 GiB", "peak 1.99 GiB"]
    assert "inferred" in described
    bare = MemoryKill(process=None, inferred=False, limit_bytes=None, at_seconds=1.0)
    totals = change(totals, memory_working_set_peak_bytes=None)
    assert _build(tmp_path, memory_kills=[bare], totals=totals).memory_kill == "a process after 1 s"
    assert _build(tmp_path).memory_kill == ""


def test_only_files_that_exist_are_attached(tmp_path: Path) -> None:
    job = change(sample().job, url="")
    empty = _build(tmp_path, job=job)
    assert (empty.log, empty.notes, empty.uploads) == (None, (), ())
    for name in (LOG, SPEC, TELEMETRY, PAGE):
        (tmp_path / name).write_text("x")
    full = _build(tmp_path)
    assert full.log == tmp_path / LOG
    assert [note.name for note in full.notes] == [SPEC, TELEMETRY]
    assert [upload.name for upload in full.uploads] == [TELEMETRY, PAGE, "job.url"]
    assert [upload.name for upload in _build(tmp_path, job=msgspec.UNSET).uploads] == [TELEMETRY, PAGE]


def test_the_documents_lie_below_the_run_folder(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text("==> ncurses: Executing phase: 'build'\na.c:1: error: bad\n")
    write_documents(_result(tmp_path, sample(**_failed(Outcome.BUILD_FAILED))), _REPORTING)
    documents = {path.name: ET.parse(path).getroot() for path in (tmp_path / CDASH).glob("*.xml")}
    assert {"Build.xml", "Update.xml"} <= set(documents)
    assert documents["Build.xml"].get("Name") == "farm-x86"
    assert documents["Build.xml"].findall(".//Error/Text")[0].text == "a.c:1: error: bad"
