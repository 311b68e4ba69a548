"""The story of one package: run it, watch it, understand how it ended, and leave log, index and telemetry in a folder.

Knows one run and its folder; what to run and what becomes of the binary is decided elsewhere. The documents are rewritten
by rename while the build runs, so that a kill of everything still leaves the curve.
"""

import contextlib
import datetime as dt
import os
import platform
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from buildjob import telemetry
from buildjob.agent.classify import Evidence, classify
from buildjob.files import write_whole
from buildjob.masking import mask
from buildjob.measure.observer import Cgroup, Observation, Observer, find_cgroup, machine
from buildjob.outcome import Outcome, exit_code
from buildjob.process import child
from buildjob.run_folder import INDEX, LOG, TELEMETRY, Index, RunResult
from buildjob.spack.install_log import Reader
from buildjob.telemetry import Reproduce, Telemetry
from buildjob.version import own_version

NOTHING_YET = Observation(
    totals=telemetry.Totals(), phases=[], samples=telemetry.Samples(), top_processes=[], memory_kills=[]
)


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is built, and what is known about it before it runs."""

    spec: telemetry.PackageSpec
    reproduce: Reproduce
    versions: telemetry.Versions
    job: telemetry.Job | msgspec.UnsetType = msgspec.UNSET
    asked: telemetry.Asked | msgspec.UnsetType = msgspec.UNSET

    @property
    def title(self) -> str:
        """`name@version/hash7`, as people write it."""
        return f"{self.spec.name}@{self.spec.version}" + (f"/{self.spec.hash[:7]}" if self.spec.hash else "")


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """How to run it."""

    argv: list[str]
    environment: dict[str, str]
    folder: Path
    """The working folder."""
    watched: tuple[Path, ...] = ()
    """Folders whose growth is the build's use of disk."""
    is_spack: bool = True


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What every run of one call has around it."""

    stop: child.StopRequest
    deadline: float | None = None
    """A reading of the monotonic clock after which the run is stopped."""
    interval_seconds: float = 1.0
    secret_values: frozenset[str] = frozenset()
    """What no document may contain."""
    terminal: int | None = None
    """The descriptor on which the build's bytes are shown live."""
    when_installed: Callable[[], frozenset[int]] = frozenset
    """Called when the build's output says that nothing is left but to end, maybe more than once. May start processes for
    what comes after; returns their ids: they are neither counted nor ended with the build."""


class Recorder:
    """Writes a run's documents; every call leaves each of them whole."""

    def __init__(self, folder: Path, subject: Subject, reader: Reader, *, secret_values: frozenset[str]) -> None:
        self._folder = folder
        self._subject = subject
        self._reader = reader
        self._secrets = secret_values
        self._started_at = now()
        self._machine = telemetry.Machine(cpus=1, memory_bytes=0)

    def machine(self, found: telemetry.Machine) -> None:
        """Take what is known of the machine."""
        self._machine = found

    def checkpoint(self, observation: Observation) -> None:
        """Write what is known while the build runs: the document a kill of everything would leave."""
        self.write(observation, Outcome.INTERRUPTED, code=128 + 9, complete=False)

    def write(self, observation: Observation, outcome: Outcome, *, code: int, complete: bool = True) -> Telemetry:
        """Write both documents; return the telemetry."""
        document = Telemetry(
            complete=complete,
            started_at=self._started_at,
            ended_at=now(),
            outcome=outcome.value,
            exit_code=code,
            spec=self._subject.spec,
            job=self._subject.job,
            asked=self._subject.asked,
            machine=self._machine,
            totals=observation.totals,
            phases=observation.phases,
            samples=observation.samples,
            top_processes=observation.top_processes,
            memory_kills=observation.memory_kills,
            reproduce=self._subject.reproduce,
            versions=self._subject.versions,
        )
        document = without_secrets(document, self._secrets)
        telemetry.write(document, self._folder / TELEMETRY)
        index = Index(
            complete=complete,
            bytes=self._reader.bytes,
            lines=self._reader.lines,
            phases=[{"name": phase.name, "offset": phase.offset, "line": phase.line} for phase in self._reader.phases],
        )
        write_whole(self._folder / INDEX, msgspec.json.encode(index) + b"\n")
        return document


def run(subject: Subject, process: Process, folder: Path, *, around: Surroundings) -> RunResult:
    """Run the process to its end, watched, and return how it ended; its documents lie in `folder`."""
    reader = Reader()
    recorder = Recorder(folder, subject, reader, secret_values=around.secret_values)
    with find_cgroup() or contextlib.nullcontext() as cgroup, (folder / LOG).open("xb") as log:
        recorder.machine(machine(cgroup))
        recorder.checkpoint(NOTHING_YET)
        with Observer(
            cgroup=cgroup,
            checkpoint=recorder.checkpoint,
            interval_seconds=around.interval_seconds,
            watched_folders=process.watched,
        ) as observer:
            aside: set[int] = set()

            def on_phase(name: str) -> None:
                observer.mark(name)
                if not name:
                    aside.update(around.when_installed())
                    for pid in aside:
                        observer.leave_out(pid)

            reader.on_phase = on_phase
            try:
                ended = child.run(
                    child.Program(
                        argv=_in_group(process.argv, cgroup), environment=process.environment, folder=process.folder
                    ),
                    output=child.Output(log, terminal=around.terminal, listen=reader.feed),
                    stop=around.stop,
                    deadline=around.deadline,
                    started=observer.watch,
                    spared=lambda: frozenset(aside),
                )
            except OSError as error:
                ended = child.Ended(exit_code=127, log_error=f"{process.argv[0]} does not start: {error.strerror}")
            observation = observer.stop()
            notes = observer.notes()
    evidence = Evidence(
        ended=ended,
        memory_kills=len(observation.memory_kills),
        is_spack=process.is_spack,
        began=reader.began,
        fetch_failed=reader.fetch_failed and process.is_spack,
        no_space=(reader.no_space or bool(ended.log_error)) and _is_full((folder, *process.watched)),
    )
    outcome = classify(evidence)
    code = exit_code(outcome, signal_number=ended.stopped_by)
    return RunResult(
        folder=folder,
        telemetry=recorder.write(observation, outcome, code=code),
        outcome=outcome,
        signal_number=ended.stopped_by,
        notes=[*_notes(ended), *notes],
        errors=[mask(line, around.secret_values) for line in reader.errors],
        phases=reader.phases,
    )


def _in_group(argv: list[str], cgroup: Cgroup | None) -> list[str]:
    """Return the command line that first puts itself into the group.

    A shell does it between fork and exec: Python code must not run there while the observer's threads do.
    """
    paths = cgroup.join_paths() if cgroup else []
    if not paths:
        return argv
    joins = "; ".join(f"echo 0 > {shlex.quote(str(path))}" for path in paths)
    return ["/bin/sh", "-c", f'{joins}; exec "$@"', "sh", *argv]


def _notes(ended: child.Ended) -> list[str]:
    notes = []
    if ended.orphans:
        count, names = len(ended.orphans), ", ".join(ended.orphans[:5])
        were = "process outlived the build and was" if count == 1 else "processes outlived the build and were"
        notes.append(f"{count} {were} ended: {names}")
    if ended.log_error:
        notes.append(f"the log is not complete: {ended.log_error}")
    return notes


def _is_full(places: tuple[Path, ...]) -> bool:
    """Say whether a file system that the build writes to has hardly any room left."""
    for place in places:
        standing = next(parent for parent in (place, *place.parents) if parent.exists())
        room = os.statvfs(standing)
        if room.f_bavail * room.f_frsize < 64 << 20 or (room.f_files and not room.f_favail):
            return True
    return False


def without_secrets(document: Telemetry, secret_values: frozenset[str]) -> Telemetry:
    """Return the document with every secret in its texts masked."""
    if not secret_values:
        return document
    encoded = msgspec.json.encode(document).decode()
    return msgspec.json.decode(mask(encoded, secret_values), type=Telemetry)


def now() -> str:
    """Return the time in RFC 3339, UTC, to the millisecond."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def versions(*, spack: str = "") -> telemetry.Versions:
    """Return the versions of the programs that take part."""
    return telemetry.Versions(spack_farm=own_version(), python=platform.python_version(), spack=spack)


def job_facts(variables: Mapping[str, str]) -> telemetry.Job | msgspec.UnsetType:
    """Return the public facts of the CI job, or UNSET outside CI. Source: GitLab, "Predefined CI/CD variables"."""
    if not variables.get("CI_JOB_ID"):
        return msgspec.UNSET
    said = variables.get
    return telemetry.Job(
        id=said("CI_JOB_ID", ""),
        name=said("CI_JOB_NAME", ""),
        url=said("CI_JOB_URL", ""),
        project=said("CI_PROJECT_PATH", ""),
        ref=said("CI_COMMIT_REF_NAME", ""),
        ref_protected=said("CI_COMMIT_REF_PROTECTED", "") == "true",
        pipeline_id=said("CI_PIPELINE_ID", ""),
        stack=said("SPACK_CI_STACK_NAME", ""),
        image=said("CI_JOB_IMAGE", ""),
        runner=said("CI_RUNNER_DESCRIPTION", ""),
        pod=said("SPACK_FARM_POD", "") or said("HOSTNAME", ""),
        node=said("SPACK_FARM_NODE", ""),
    )


def deadline(timeout_seconds: float | None) -> float | None:
    """Return the reading of the monotonic clock after which everything must have ended."""
    return None if timeout_seconds is None else time.monotonic() + timeout_seconds


def not_run(subject: Subject, folder: Path, outcome: Outcome, *, published: telemetry.Publish | None = None) -> RunResult:
    """Write the documents of a package for which nothing was run; return the result."""
    at = now()
    document = Telemetry(
        complete=True,
        started_at=at,
        ended_at=at,
        outcome=outcome.value,
        exit_code=exit_code(outcome),
        spec=subject.spec,
        job=subject.job,
        asked=subject.asked,
        machine=machine(None),
        totals=telemetry.Totals(),
        publish=published,
        reproduce=subject.reproduce,
        versions=subject.versions,
    )
    telemetry.write(document, folder / TELEMETRY)
    return RunResult(folder=folder, telemetry=document, outcome=outcome)


def with_outcome(
    result: RunResult, outcome: Outcome, *, published: telemetry.Publish | None = None, signal_number: int = 0
) -> RunResult:
    """Rewrite a run's telemetry with what became of its binary; return the changed result."""
    code = exit_code(outcome, signal_number=signal_number)
    document = msgspec.structs.replace(result.telemetry, outcome=outcome.value, exit_code=code, publish=published)
    telemetry.write(document, result.folder / TELEMETRY)
    return msgspec.structs.replace(result, telemetry=document, outcome=outcome, signal_number=signal_number)


def with_own_times(result: RunResult, seconds: Mapping[str, float]) -> RunResult:
    """Return the result with the durations that the build tool itself measured; where ours differ, its are more exact."""
    phases = [
        msgspec.structs.replace(phase, wall_seconds=round(seconds[phase.name], 3)) if phase.name in seconds else phase
        for phase in result.telemetry.phases
    ]
    document = msgspec.structs.replace(result.telemetry, phases=phases)
    telemetry.write(document, result.folder / TELEMETRY)
    return msgspec.structs.replace(result, telemetry=document)


def asked_facts(variables: Mapping[str, str]) -> telemetry.Asked | msgspec.UnsetType:
    """Return what the pod was given, from the variables that the Downward API fills; UNSET where there are none."""
    names = ("cpu_millicores", "memory_bytes", "memory_limit_bytes", "disk_bytes")
    said = {name: variables.get(f"SPACK_FARM_ASKED_{name.upper()}", "") for name in names}
    known = {name: int(text) for name, text in said.items() if text.isdecimal()}
    return telemetry.Asked(**known) if known else msgspec.UNSET
