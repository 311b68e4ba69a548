"""The recorder: one event, one write; a document of `telemetry.json` is whole and holds no secret at any time."""

import json
from pathlib import Path

import msgspec
import pytest

from buildjob import telemetry
from buildjob.agent import ci_facts
from buildjob.agent.recorder import Recorder, Subject
from buildjob.measure.observer import Observation
from buildjob.outcome import Outcome
from buildjob.spack.install_log import Reader
from buildjob.spack.mirror_faults import FetchReport, SourceFault
from buildjob.telemetry import FirstError, MemoryKill, Phase, Publish, Telemetry, TopProcess

SUBJECT = Subject(
    spec=telemetry.PackageSpec(name="app", version="1.0", hash="a" * 32),
    command="spack install app@1.0",
    reproduce=telemetry.Reproduce(variables={"CFLAGS": "-DKEY=planted-secret"}),
    versions=ci_facts.versions(),
)
SEEN = Observation(
    totals=telemetry.Totals(wall_seconds=9.0),
    phases=[
        Phase(name="build", start_seconds=0.0, wall_seconds=4.0),
        Phase(name="install", start_seconds=4.0, wall_seconds=5.0),
    ],
    samples=telemetry.Samples(time_seconds=[1.0], memory_bytes=[1], cpu_cores=[0.5], processes=[1], late_seconds=[0.0]),
    top_processes=[TopProcess(command="curl planted-secret https://me:planted@host/", memory_peak_bytes=1, cpu_seconds=0.1)],
    memory_kills=[],
)
WHERE = telemetry.Machine(cpus=4, memory_bytes=1 << 30)


class Folder:
    """A run folder that counts how often `telemetry.json` has been written: each write is a new file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = 0

    def read(self) -> Telemetry:
        return telemetry.read(self.path / "telemetry.json")

    def was_written(self) -> bool:
        """Return whether a new document has appeared since the last call."""
        before, self._seen = self._seen, (self.path / "telemetry.json").stat().st_mtime_ns
        return before != self._seen


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def recorder(folder: Folder) -> Recorder:
    return Recorder(folder.path, SUBJECT, secret_values=frozenset({"planted-secret", "interrupted"}))


def finished(recorder: Recorder, outcome: Outcome = Outcome.BUILT, signal_number: int = 0) -> Recorder:
    recorder.begin(WHERE, Reader())
    recorder.finish(SEEN, outcome, signal_number=signal_number)
    return recorder


def test_until_the_end_is_known_the_document_says_what_a_kill_would_have_been(recorder: Recorder, folder: Folder) -> None:
    recorder.begin(WHERE, Reader())
    first = folder.read()
    assert (first.complete, first.outcome, first.exit_code) == (False, "interrupted", 137)
    recorder.checkpoint(SEEN)
    second = folder.read()
    assert (second.complete, second.outcome, second.totals.wall_seconds) == (False, "interrupted", 9.0)
    assert second.started_at == first.started_at


def test_the_end_is_written_with_its_exit_code(recorder: Recorder, folder: Folder) -> None:
    finished(recorder, Outcome.INTERRUPTED, signal_number=15)
    document = folder.read()
    assert (document.complete, document.outcome, document.exit_code) == (True, "interrupted", 143)
    assert recorder.outcome is recorder.result.outcome is Outcome.INTERRUPTED
    assert recorder.result.telemetry == document
    assert json.loads((folder.path / "build.log.index.json").read_bytes())["complete"]


def test_a_run_that_never_began_has_measured_nothing(recorder: Recorder, folder: Folder) -> None:
    recorder.begin(WHERE, Reader())
    recorder.checkpoint(SEEN)
    recorder.finish(None, Outcome.ALREADY_THERE, signal_number=0)
    document = folder.read()
    assert (document.complete, document.outcome, document.exit_code) == (True, "already_there", 0)
    assert (document.totals.wall_seconds, document.phases, document.samples.time_seconds) == (0, [], [])
    assert document.ended_at >= document.started_at
    assert json.loads((folder.path / "build.log.index.json").read_bytes())["complete"]


def test_each_event_is_written_and_an_event_that_changes_nothing_is_not(recorder: Recorder, folder: Folder) -> None:
    finished(recorder)
    assert folder.was_written()
    recorder.explain(None, [])
    assert not folder.was_written()
    recorder.explain(FirstError(line=3, text="error: bad"), [])
    assert folder.was_written()
    recorder.published(Publish(state="published", url="s3://b/x"), recorder.outcome)
    assert folder.was_written()
    document = folder.read()
    assert document.publish
    assert (document.outcome, document.exit_code, document.publish.state) == ("built", 0, "published")
    assert document.first_error, "no event undoes another"


def test_a_document_that_cannot_be_written_is_a_note_until_one_can_be(recorder: Recorder, folder: Folder) -> None:
    recorder.begin(WHERE, Reader())
    (folder.path / "telemetry.json").unlink()
    (folder.path / "telemetry.json").mkdir()
    recorder.checkpoint(SEEN)
    recorder.finish(SEEN, Outcome.BUILT, signal_number=0)
    assert recorder.result.notes == ["telemetry.json could not be written: Is a directory"]
    assert (recorder.outcome, recorder.result.telemetry.totals.wall_seconds) == (Outcome.BUILT, 9.0)
    (folder.path / "telemetry.json").rmdir()
    recorder.published(None, Outcome.BUILT)
    assert recorder.result.notes == []
    assert folder.read().complete


def test_a_run_that_cannot_begin_is_an_error(recorder: Recorder, folder: Folder) -> None:
    (folder.path / "telemetry.json").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        recorder.begin(WHERE, Reader())


def test_nothing_is_written_into_the_folder_of_an_earlier_run(recorder: Recorder, folder: Folder) -> None:
    finished(recorder, Outcome.BUILD_FAILED)
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    later = Recorder(folder.path, SUBJECT, secret_values=frozenset())
    later.skip(Outcome.ALREADY_THERE, writes=False)
    assert later.outcome is Outcome.ALREADY_THERE
    assert {path: path.read_bytes() for path in folder.path.iterdir()} == before


def test_what_the_log_says_of_a_failure_joins_the_document(recorder: Recorder, folder: Folder) -> None:
    finished(recorder, Outcome.BUILD_FAILED)
    kill = MemoryKill(process="cc1plus", inferred=False, limit_bytes=None, at_seconds=1.0)
    recorder.explain(FirstError(line=3, text="error: planted-secret"), [kill])
    document = folder.read()
    assert document.first_error
    assert document.first_error.text == "error: [MASKED]"
    assert document.memory_kills == [kill]
    assert document.outcome == "build_failed"


def test_an_interrupted_publication_keeps_the_measurements(recorder: Recorder, folder: Folder) -> None:
    finished(recorder).published(None, Outcome.INTERRUPTED, signal_number=15)
    document = folder.read()
    assert (document.outcome, document.exit_code, document.publish) == ("interrupted", 143, None)
    assert document.totals.wall_seconds == 9.0


def test_a_run_that_was_skipped_has_no_log_index(recorder: Recorder, folder: Folder) -> None:
    recorder.skip(Outcome.ALREADY_THERE, publish=Publish(state="already_there"))
    document = folder.read()
    assert (document.complete, document.outcome, document.exit_code) == (True, "already_there", 0)
    assert document.started_at == document.ended_at
    assert document.machine.cpus >= 1
    assert not (folder.path / "build.log.index.json").exists()


def test_no_document_holds_a_secret_and_the_outcome_stays_a_word_of_ours(recorder: Recorder, folder: Folder) -> None:
    recorder.begin(WHERE, Reader())
    recorder.checkpoint(SEEN)
    for text in (
        (folder.path / "telemetry.json").read_text(),
        msgspec.json.encode(finished(recorder).result.telemetry).decode(),
    ):
        assert "planted" not in text
        assert "https://[MASKED]@host/" in text
    assert folder.read().reproduce.variables == {"CFLAGS": "-DKEY=[MASKED]"}
    assert Recorder(folder.path, SUBJECT, secret_values=frozenset({"interrupted"})).outcome is Outcome.INTERRUPTED


def test_notes_are_kept_once(recorder: Recorder) -> None:
    recorder.note(["a", "b"])
    recorder.note(["a"])
    assert recorder.result.notes == ["a", "b"]


def test_of_the_addresses_that_gave_no_source_those_that_do_not_have_it_come_last(
    recorder: Recorder, folder: Folder
) -> None:
    finished(recorder, Outcome.FETCH_FAILED)
    tried = [
        SourceFault(url="https://a/x.tar", kind="absent", text="404"),
        SourceFault(url="https://b/x.tar", kind="busy", text="503"),
    ]
    recorder.fetched(FetchReport(text="FetchError: all failed", faults=tried))
    assert [(fault.url, fault.may_pass) for fault in folder.read().fetch_faults] == [
        ("https://b/x.tar", True),
        ("https://a/x.tar", False),
    ]
