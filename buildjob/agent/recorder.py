"""The recorder of one run: it owns `telemetry.json` and the log's index, and writes each of them once for each event.

A kill at any instant finds the document of the last event whole. No document leaves here with a secret in it. Knows nothing
of how a run is measured, of its log's text, or of what becomes of a binary.
"""

import contextlib
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from buildjob import telemetry
from buildjob.files import write_whole
from buildjob.masking import mask, mask_document
from buildjob.measure.observer import Observation, machine
from buildjob.outcome import Outcome, exit_code
from buildjob.run_folder import LOG_INDEX, TELEMETRY, LogIndex, RunResult
from buildjob.spack.install_log import Reader
from buildjob.spack.mirror_faults import FetchReport
from buildjob.telemetry import Telemetry

_KILLED = 9
_MOST_FETCH_FAULTS = 20


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What a run builds, and what is known about it before it starts."""

    spec: telemetry.PackageSpec
    command: str
    """What is run, as people write it."""
    is_root: bool = True
    """The user asked for it; all others are dependencies."""
    reproduce: telemetry.Reproduce
    versions: telemetry.Versions
    job: telemetry.Job | msgspec.UnsetType = msgspec.UNSET
    asked: telemetry.Asked | msgspec.UnsetType = msgspec.UNSET

    @property
    def title(self) -> str:
        """`name@version/hash7`, as people write it."""
        return f"{self.spec.name}@{self.spec.version}" + (f"/{self.spec.hash[:7]}" if self.spec.hash else "")


class RunEnd(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the end of a build's own process beside the outcome."""

    process: telemetry.BuildProcess | None = None
    full_disk: telemetry.FullDisk | None = None


class Recorder:
    """Writes one run's documents. `checkpoint` may be called from another thread while the run is followed.

    Once the build has begun, a document that cannot be written is a note: what the build is worth does not depend on it.
    """

    def __init__(self, folder: Path, subject: Subject, *, secret_values: frozenset[str]) -> None:
        self.folder = folder
        self.subject = subject
        self._secret_values = secret_values
        self._reader = Reader()
        self._notes: dict[str, None] = {}
        self._unwritten: dict[str, str] = {}
        self._test_outputs: dict[str, str] = {}
        created_at = now()
        # until the end is known, the document says what a kill of everything would have made of the run
        self._document = Telemetry(
            complete=False,
            started_at=created_at,
            ended_at=created_at,
            outcome=Outcome.INTERRUPTED,
            exit_code=exit_code(Outcome.INTERRUPTED, signal_number=_KILLED),
            spec=subject.spec,
            job=subject.job,
            asked=subject.asked,
            machine=telemetry.Machine(cpus=1, memory_bytes=0),
            totals=telemetry.Totals(),
            reproduce=subject.reproduce,
            versions=subject.versions,
        )

    @property
    def outcome(self) -> Outcome:
        """How the run ended, as far as it is known."""
        return Outcome(self._document.outcome)

    @property
    def result(self) -> RunResult:
        """What is known of the run now."""
        return RunResult(
            folder=self.folder,
            telemetry=self._document,
            command=self.subject.command,
            is_root=self.subject.is_root,
            notes=list(self._notes),
            phases=self._reader.phases,
            test_outputs=self._test_outputs,
        )

    def note(self, sentences: Iterable[str]) -> None:
        """Keep what the reader should know beside the outcome; the same sentence once."""
        self._notes |= dict.fromkeys(sentences)

    def begin(self, where: telemetry.Machine, reader: Reader) -> None:
        """Write the first documents of a run that is about to start; `reader` is asked for the log's index from now on.

        Raises OSError.
        """
        self._reader = reader
        started_at = now()
        self._document = self._masked(replace(self._document, machine=where, started_at=started_at, ended_at=started_at))
        telemetry.write(self._document, self.folder / TELEMETRY)
        self._write_index()

    def checkpoint(self, observation: Observation) -> None:
        """Write what is known while the build runs."""
        with self._noting(TELEMETRY):
            telemetry.write(self._masked(_with(self._document, observation)), self.folder / TELEMETRY)
        self._write_index()

    def finish(
        self, observation: Observation | None, outcome: Outcome, *, signal_number: int, end: RunEnd | None = None
    ) -> None:
        """Write how the run ended and what it used; None if what was observed is not this package's build."""
        measured = (
            _with(self._document, observation)
            if observation
            else replace(self._document, ended_at=max(now(), self._document.started_at))
        )
        known = end or RunEnd()
        document = replace(measured, build_process=known.process, full_disk=known.full_disk)
        self._write(_ended(document, outcome, signal_number=signal_number))
        self._write_index()

    def skip(self, outcome: Outcome, *, publish: telemetry.Publish | None = None, writes: bool = True) -> None:
        """Write that nothing was run, and why. Without `writes` only the result knows it: the folder is an earlier run's."""
        document = replace(_ended(self._document, outcome), machine=machine(None), publish=publish)
        if writes:
            self._write(document)
        else:
            self._document = self._masked(document)

    def blame(self, failed: list[telemetry.FailedDependency]) -> None:
        """Keep which dependencies failed, for the documents that are written from now on."""
        self._document = self._masked(replace(self._document, failed_dependencies=failed))

    def explain(self, first_error: telemetry.FirstError | None, memory_kills: list[telemetry.MemoryKill]) -> None:
        """Write what the log says about a failure: its first error, and memory kills with the names of their victims."""
        self._write_if_new(replace(self._document, first_error=first_error, memory_kills=memory_kills))

    def fetched(self, report: FetchReport) -> None:
        """Write why the source could not be fetched; that an address does not have it says least."""
        tried = sorted(report.faults, key=lambda fault: fault.kind == "absent")[:_MOST_FETCH_FAULTS]
        faults = [
            telemetry.FetchFault(url=fault.url, reason=fault.reason, may_pass=fault.may_pass, kind=fault.kind)
            for fault in tried
        ]
        self._write_if_new(replace(self._document, fetch_faults=faults))

    def tested(self, tests: list[telemetry.StandaloneTest], outputs: Mapping[str, str]) -> None:
        """Write what became of the package's stand-alone tests, and keep what they printed."""
        self._test_outputs = {name: mask(text, self._secret_values) for name, text in outputs.items()}
        self._write_if_new(replace(self._document, tests=tests))

    def published(
        self,
        publish: telemetry.Publish | None,
        outcome: Outcome,
        *,
        signal_number: int = 0,
        full_disk: telemetry.FullDisk | None = None,
    ) -> None:
        """Write what became of the binary; `publish` is None if publishing was interrupted."""
        ended = _ended(self._document, outcome, signal_number=signal_number)
        self._write(replace(ended, publish=publish, full_disk=full_disk))

    def _write_if_new(self, document: Telemetry) -> None:
        if document != self._document:
            self._write(document)

    def _write(self, document: Telemetry) -> None:
        self._document = self._masked(document)
        with self._noting(TELEMETRY):
            telemetry.write(self._document, self.folder / TELEMETRY)

    @contextlib.contextmanager
    def _noting(self, name: str) -> Iterator[None]:
        """Turn an error of the disk into a note, which the next document that can be written takes back."""
        note = self._unwritten.pop(name, "")
        self._notes.pop(note, None)
        try:
            yield
        except OSError as error:
            self._unwritten[name] = f"{name} could not be written: {error.strerror or error}"
            self._notes[self._unwritten[name]] = None

    def _masked(self, document: Telemetry) -> Telemetry:
        # outcomes are from a closed list: a secret with the same text must not make one unknown
        return replace(mask_document(document, self._secret_values), outcome=document.outcome)

    def _write_index(self) -> None:
        reader = self._reader
        index = LogIndex(
            complete=self._document.complete,
            bytes=reader.bytes,
            lines=reader.lines,
            phases=[{"name": phase.name, "offset": phase.offset, "line": phase.line} for phase in reader.phases],
        )
        with self._noting(LOG_INDEX):
            write_whole(self.folder / LOG_INDEX, msgspec.json.encode(index) + b"\n")


def _ended(document: Telemetry, outcome: Outcome, *, signal_number: int = 0) -> Telemetry:
    code = exit_code(outcome, signal_number=signal_number)
    return replace(document, complete=True, outcome=outcome.value, exit_code=code)


def _with(document: Telemetry, observation: Observation) -> Telemetry:
    return replace(
        document,
        # Not the clock: somebody may have set it back since, and a run does not end before it has begun.
        ended_at=_later(document.started_at, observation.totals.wall_seconds),
        totals=observation.totals,
        phases=observation.phases,
        samples=observation.samples,
        top_processes=observation.top_processes,
        memory_kills=observation.memory_kills,
    )


def now() -> str:
    """Return the time in RFC 3339, UTC, to the millisecond."""
    return _rfc_3339(dt.datetime.now(dt.UTC))


def _later(time: str, seconds: float) -> str:
    return _rfc_3339(dt.datetime.fromisoformat(time) + dt.timedelta(seconds=seconds))


def _rfc_3339(time: dt.datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
