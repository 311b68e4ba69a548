"""Why a run failed is found in its log; what is written of it never fails the run and holds no secret."""

from pathlib import Path

import msgspec
import pytest

from buildjob.outcome import Outcome
from buildjob.report.cdash_names import CDashNames
from buildjob.report.write import Cause, find_cause, report
from buildjob.run_folder import CDASH, LOG, PAGE, SPEC, TELEMETRY, PhaseStart, RunResult
from buildjob.telemetry import FirstError, MemoryKill, Reproduce
from tests.labs.telemetry_samples import sample

_KILL = MemoryKill(process=None, inferred=False, limit_bytes=1 << 30, at_seconds=3.0)
_SECRETS = frozenset({"s3cr3t"})
_PHASES = [PhaseStart("configure", 0, 1), PhaseStart("build", 50, 3)]


def _result(
    folder: Path, outcome: Outcome = Outcome.BUILD_FAILED, *, log: str | None = None, **changes: object
) -> RunResult:
    if log is not None:
        (folder / LOG).write_text(log, errors="surrogateescape")
    reproduce = Reproduce(commands=["spack install --token s3cr3t x"])
    document = sample(outcome=outcome, first_error=None, reproduce=reproduce, **changes)
    return RunResult(folder=folder, telemetry=document, command="x", is_root=True, phases=_PHASES)


def _cause(result: RunResult) -> Cause:
    return find_cause(result, secret_values=_SECRETS)


def _page(folder: Path) -> str:
    return (folder / PAGE).read_text("utf-8")


def test_the_first_error_of_the_log_is_the_cause(tmp_path: Path) -> None:
    log = "checking for gcc... yes\nok\nsrc/a.c:12: error: bad\nb.c:1: error: worse\n"
    assert _cause(_result(tmp_path, log=log)).first_error == FirstError(
        line=3, text="src/a.c:12: error: bad", file="src/a.c:12", phase="build"
    )


def test_an_error_before_the_first_phase_has_none(tmp_path: Path) -> None:
    result = msgspec.structs.replace(_result(tmp_path, log="a.c:1: error: bad\n"), phases=_PHASES[1:])
    assert _cause(result).first_error == FirstError(line=1, text="a.c:1: error: bad", file="a.c:1", phase="")


def test_an_error_that_names_no_file_has_none(tmp_path: Path) -> None:
    error = _cause(_result(tmp_path, log="make: *** [all] Error 2\n")).first_error
    assert error is not None
    assert error.file == ""


@pytest.mark.parametrize("log", [None, "", "all is well\n"])
def test_a_log_without_an_error_names_no_cause(tmp_path: Path, log: str | None) -> None:
    cause = _cause(_result(tmp_path, log=log, memory_kills=[_KILL]))
    assert cause == Cause(first_error=None, memory_kills=[_KILL])


@pytest.mark.parametrize("outcome", [Outcome.BUILT, Outcome.ALREADY_THERE, Outcome.INTERRUPTED, Outcome.TIMED_OUT])
def test_the_log_of_a_run_that_did_not_fail_by_itself_is_not_searched(tmp_path: Path, outcome: Outcome) -> None:
    assert _cause(_result(tmp_path, outcome, log="a.c:1: error: bad\n")).first_error is None


def test_an_error_that_is_known_already_stays(tmp_path: Path) -> None:
    known = FirstError(line=7, text="known")
    result = _result(tmp_path, log="a.c:1: error: bad\n")
    result = msgspec.structs.replace(result, telemetry=msgspec.structs.replace(result.telemetry, first_error=known))
    assert _cause(result).first_error == known


def test_gcc_names_the_victim_of_the_only_kill(tmp_path: Path) -> None:
    log = "g++: fatal error: Killed signal terminated program cc1plus\n"
    named = msgspec.structs.replace(_KILL, process="cc1plus", inferred=False)
    assert _cause(_result(tmp_path, log=log, memory_kills=[_KILL])).memory_kills == [named]
    assert _cause(_result(tmp_path, log=log, memory_kills=[_KILL, _KILL])).memory_kills == [_KILL, _KILL]
    assert _cause(_result(tmp_path, log=log, memory_kills=[])).memory_kills == []


def test_a_first_error_holds_no_escape_no_secret_no_broken_character_and_has_an_end(tmp_path: Path) -> None:
    log = f"\x1b[31ma.c:1: error:\x1b[0m s3cr3t \udcff {'x' * 9000}\n"
    error = _cause(_result(tmp_path, log=log)).first_error
    assert error is not None
    assert error.text.startswith("a.c:1: error: [MASKED] ")
    assert len(error.text) == 2000
    error.text.encode()


def test_a_log_that_cannot_be_read_is_a_fault_and_no_failure(tmp_path: Path) -> None:
    (tmp_path / LOG).mkdir()
    cause = _cause(_result(tmp_path))
    assert cause.first_error is None
    assert len(cause.faults) == 1
    assert "IsADirectoryError" in cause.faults[0]


def test_the_page_shows_the_error_in_its_log_and_links_what_lies_beside_it(tmp_path: Path) -> None:
    result = _result(tmp_path, log="one s3cr3t\ntwo\na.c:1: error: bad\nfour\n")
    for name in (TELEMETRY, SPEC):
        (tmp_path / name).write_text("{}")
    error = FirstError(line=3, text="a.c:1: error: bad")
    result = msgspec.structs.replace(result, telemetry=msgspec.structs.replace(result.telemetry, first_error=error))
    assert report(result, None, secret_values=_SECRETS) == []
    page = _page(tmp_path)
    assert "one [MASKED]" in page
    assert "spack install --token [MASKED] x" in page
    assert "s3cr3t" not in page
    assert all(f'href="{name}"' in page for name in (LOG, TELEMETRY, SPEC))
    assert not (tmp_path / CDASH).exists()


@pytest.mark.parametrize(
    ("outcome", "shown"), [(Outcome.BUILD_FAILED, True), (Outcome.INTERRUPTED, True), (Outcome.BUILT, False)]
)
def test_a_failure_without_an_error_shows_the_end_of_its_log(tmp_path: Path, outcome: Outcome, *, shown: bool) -> None:
    report(_result(tmp_path, outcome, log="first\nlast line\n"), None, secret_values=_SECRETS)
    assert ("last line" in _page(tmp_path)) is shown


def test_a_run_without_a_log_has_a_page(tmp_path: Path) -> None:
    assert report(_result(tmp_path), None, secret_values=_SECRETS) == []
    assert "Build failed" in _page(tmp_path)


def test_the_documents_for_cdash_are_written_where_a_site_is_named(tmp_path: Path) -> None:
    faults = report(_result(tmp_path, log="a.c:1: error: bad\n"), CDashNames(site="x"), secret_values=_SECRETS)
    assert faults == []
    assert (tmp_path / CDASH / "Build.xml").exists()


def test_what_cannot_be_written_is_named_and_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / PAGE).mkdir()
    faults = report(_result(tmp_path), CDashNames(site="x"), secret_values=_SECRETS)
    assert [fault.partition(":")[0] for fault in faults] == [
        "the report could not be written",
        "CDash's documents could not be written",  # the page is one of them
    ]


def test_documents_that_cannot_be_written_leave_the_page(tmp_path: Path) -> None:
    result = _result(tmp_path)
    undated = msgspec.structs.replace(result.telemetry, started_at="yesterday")
    faults = report(msgspec.structs.replace(result, telemetry=undated), CDashNames(site="x"), secret_values=_SECRETS)
    assert [fault.partition(":")[0] for fault in faults] == ["CDash's documents could not be written"]
    assert "Build failed" in _page(tmp_path)
