"""The story of one run: start the build, watch it, and understand how it ended.

Knows one process and one log; what to run and what becomes of the binary is decided elsewhere, and the recorder writes
what is found, also while the build runs.
"""

import contextlib
import functools
import math
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from buildjob.agent.classify import Evidence, classify
from buildjob.agent.disks import DiskWatch, Place
from buildjob.agent.failures import missing_dependencies
from buildjob.agent.package_status import PackageStatus
from buildjob.agent.recorder import Recorder, RunEnd
from buildjob.errors import RequestError
from buildjob.files import reserve
from buildjob.gitlab.sections import PhaseFolds
from buildjob.log import LINE_PREFIX
from buildjob.measure.observer import Cgroup, Observer, find_cgroup, machine
from buildjob.outcome import Outcome
from buildjob.process import child
from buildjob.report.format import format_bytes
from buildjob.report.full_disk import describe_full_disk
from buildjob.run_folder import LOG, ROOM_BYTES
from buildjob.spack.concrete import ConcreteSpec
from buildjob.spack.install_log import Reader
from buildjob.spack.layout import take_fetch_report
from buildjob.telemetry import COMMAND, SPACK_END, SPACK_START, BuildProcess, FullDisk
from status_line.heartbeat import Heartbeat
from status_line.screen import Screen

_SIGBUS = int(signal.SIGBUS)
"""A program gets it that writes to memory which is a file on a full disk."""
_ENDED_WAITING = (Outcome.ALREADY_THERE, Outcome.DEPENDENCY_FAILED, Outcome.TIMED_OUT, Outcome.INTERRUPTED)
"""Outcomes of a run in which Spack need not have begun to build anything."""


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """How to run the build."""

    argv: list[str]
    environment: dict[str, str]
    folder: Path
    """The working folder."""
    writes_to: tuple[Place, ...] = ()
    """The build's own folders: their growth is its use of disk."""
    is_spack: bool = True
    fetch_report: Path | None = None
    """A file that will be there if Spack could not get a source."""
    needs: tuple[ConcreteSpec, ...] = ()
    """What has to be installed for it."""
    pipes: tuple[int, ...] = ()
    """Descriptors that it inherits."""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has around it."""

    stop: child.StopRequest
    deadline: float | None = None
    """A reading of the monotonic clock after which the run is stopped."""
    interval_seconds: float = 1.0
    terminal: int | None = None
    """The descriptor on which the build's bytes are shown live."""
    prestart: Callable[[], None] = lambda: None
    """Called when the build has nothing left to do but to exit, maybe more than once: starts the programs that follow it."""
    standby: Callable[[], frozenset[int]] = frozenset
    """Returns the ids of the processes that `prestart` has started, and of those that the build leaves for what follows."""
    started: Callable[[], None] = lambda: None
    """Called when the build has been started."""
    memory_bytes: int | None = None
    """The most memory that the build may take; None sets no limit."""
    status: PackageStatus
    """What lines that tell how far the call is say of this package."""
    phase_begun: Callable[[str], object] = lambda _phase: None
    """Called with each phase."""
    screen: Screen
    """The terminal with the status line."""
    folds: PhaseFolds | None = None
    """What folds the phases on the terminal; None shows the build's bytes as they are."""


class _Watchers(msgspec.Struct, frozen=True):
    """Who gets the bytes of the log."""

    reader: Reader
    observer: Observer
    disks: DiskWatch
    after: str
    """The phase that follows the last one that the log names."""


def run(process: Process, recorder: Recorder, *, around: Surroundings) -> None:
    """Run the process to its end, watched; the recorder then knows how it ended. Raises OSError if it cannot begin."""
    reader = Reader()
    with contextlib.ExitStack() as stack:
        cgroup = stack.enter_context(find_cgroup() or contextlib.nullcontext())
        if around.memory_bytes:
            limit_memory(cgroup, around.memory_bytes)
        log = stack.enter_context((recorder.folder / LOG).open("xb"))
        # a log that fills the disk must leave room for the documents
        room = stack.enter_context(reserve(recorder.folder, ROOM_BYTES))
        recorder.begin(machine(cgroup), reader)
        disks = stack.enter_context(DiskWatch(_written_places(process, recorder.folder)))
        observer = stack.enter_context(
            Observer(
                cgroup=cgroup,
                checkpoint=recorder.checkpoint,
                interval_seconds=around.interval_seconds,
                watched_folders=tuple(place.folder for place in process.writes_to),
            )
        )
        before, after = (SPACK_START, SPACK_END) if process.is_spack else (COMMAND, COMMAND)
        listen = functools.partial(_listen, _Watchers(reader, observer, disks, after), around)
        shown = around.folds.feed if around.folds else bytes
        output = child.Output(log, terminal=around.terminal, screen=around.screen, shown=shown, listen=listen)

        def started(pid: int) -> None:
            around.started()
            _watch(observer, before, pid)
            around.phase_begun(before)

        program = _program(process, cgroup)
        around.status.phase = lambda: reader.phases[-1].name if reader.phases else before
        around.status.memory_bytes = lambda: observer.memory_bytes
        around.status.begin()
        with Heartbeat(functools.partial(_beat, recorder, output, around)):
            ended = _follow(program, output, around, started=started)
        if around.folds:
            output.show(around.folds.end())
        output.end_line()
        around.status.at("")
        for pid in around.standby():
            if cgroup:
                cgroup.release(pid)  # what the build has left for what follows is not the build's any more
        # at once: what the build leaves is deleted soon
        full = disks.find_full(anywhere=reader.no_space) if ended.exit_code else None
        room.close()
        observation = observer.stop()
    full = (disks.suspected if reader.no_space else None) or full  # that of the moment first: it may have room by now
    report = take_fetch_report(process.fetch_report) if process.fetch_report else None
    missing = [spec for spec in process.needs if not Path(spec.prefix).exists()]
    evidence = Evidence(
        ended=ended,
        memory_kills=len(observation.memory_kills),
        is_spack=process.is_spack,
        began=reader.began,
        lacks_dependency=bool(missing),
        fetch_failed=report is not None,
        no_space=(reader.write_failed or _SIGBUS in {ended.signal_number, ended.exit_code - 128}) and full is not None,
    )
    outcome = classify(evidence)
    if process.is_spack and not reader.began and outcome in _ENDED_WAITING:
        # what was measured is Spack's start and its waiting for a lock, not this package
        recorder.note(_waiting_notes(outcome, missing))
        recorder.blame(missing_dependencies(missing) if outcome is Outcome.DEPENDENCY_FAILED else [])
        recorder.finish(None, outcome, signal_number=ended.stopped_by)
        return
    recorder.note([*_notes(ended, recorder.folder), *_disk_notes(outcome, reader, full), *observer.notes()])
    end = RunEnd(process=_process_end(ended), full_disk=full if outcome is Outcome.DISK_FULL else None)
    recorder.finish(observation, outcome, signal_number=ended.stopped_by, end=end)
    if report and outcome is Outcome.FETCH_FAILED:
        recorder.fetched(report)


def _written_places(process: Process, folder: Path) -> list[Place]:
    """Return every place that a build is known to write to, its own first."""
    variables = process.environment
    return [
        *process.writes_to,
        Place("temporary files", Path(variables.get("TMPDIR") or "/tmp")),  # noqa: S108  looked at, not written to
        Place("run folder", folder),
        Place("working folder", process.folder),
        *([Place("home folder", Path(variables["HOME"]))] if variables.get("HOME") else []),
        # programs that do not ask for TMPDIR; shared memory of processes that talk to each other
        *(Place("temporary files", Path(name)) for name in ("/tmp", "/var/tmp")),  # noqa: S108
        Place("shared memory", Path("/dev/shm")),  # noqa: S108
    ]


def _program(process: Process, cgroup: Cgroup | None) -> child.Program:
    argv = cgroup.joined_by(process.argv) if cgroup else process.argv
    return child.Program(argv=argv, environment=process.environment, folder=process.folder, descriptors=process.pipes)


def _watch(observer: Observer, phase: str, pid: int) -> None:
    """Begin to measure a program. Not before: until then its process is a copy of the agent, and counts with its memory."""
    observer.watch(pid)
    observer.begin_phase(phase, at=-math.inf)


def _follow(
    program: child.Program, output: child.Output, around: Surroundings, *, started: Callable[[int], None]
) -> child.Ended:
    """Start the build and follow it to its end. One that does not start has ended with 127, as in a shell."""
    until = child.Until(stop=around.stop, deadline=around.deadline, standby=around.standby)
    try:
        return child.run(program, output=output, until=until, started=started)
    except OSError as error:
        return child.Ended(exit_code=127, has_started=False, log_error=f"{program.argv[0]} does not start: {error.strerror}")


def require_memory_limit(limit_bytes: int | None) -> None:
    """Raise RequestError if builds here can't have a memory limit of their own: before hours are spent."""
    if limit_bytes is None:
        return
    with find_cgroup() or contextlib.nullcontext() as cgroup:
        limit_memory(cgroup, limit_bytes)


def limit_memory(cgroup: Cgroup | None, limit_bytes: int) -> None:
    """Give the build's cgroup a memory limit. Raises RequestError, with what to do, if that can't be."""
    size = format_bytes(limit_bytes)
    if cgroup is None:
        raise RequestError(
            f"--memory {size}: no cgroup can be made for a build here; run as root on cgroup v1, or in a delegated one: "
            f"systemd-run --user --scope -p MemoryMax={limit_bytes} -p MemorySwapMax=0 spack-farm build …, without --memory"
        )
    try:
        cgroup.limit_memory(limit_bytes)
    except OSError as error:
        raise RequestError(
            f"--memory {size}: the build's cgroup can't be limited here ({error.strerror}); give the container that limit, "
            f"such as docker run --memory {limit_bytes}, and omit --memory"
        ) from error


def _beat(recorder: Recorder, output: child.Output, around: Surroundings, _seconds: float) -> None:
    """Show which package is at what, for how long, and its peak memory so far; not where the status line shows it."""
    if around.screen.is_live and around.screen.at_line_start:
        return
    peak = recorder.result.telemetry.totals.memory_working_set_peak_bytes
    output.show_line(f"{LINE_PREFIX}{around.status.line(peak_bytes=peak)}")


def _listen(watchers: _Watchers, around: Surroundings, chunk: bytes) -> None:
    """Begin the phases that the next bytes of the log name; at the end of the last one, prestart what follows the build."""
    reader, observer, disks = watchers.reader, watchers.observer, watchers.disks
    said_before = reader.no_space_at
    for phase in reader.feed(chunk):
        observer.begin_phase(phase or watchers.after)
        around.phase_begun(phase or watchers.after)
        if not phase:
            around.prestart()
            for pid in around.standby():
                observer.add_standby(pid)
    if reader.no_space_at != said_before:
        disks.suspect()


def _process_end(ended: child.Ended) -> BuildProcess | None:
    if not ended.has_started:
        return None
    if not ended.signal_number:
        return BuildProcess(exit_code=ended.exit_code)
    try:
        name = signal.Signals(ended.signal_number).name
    except ValueError:  # a real-time signal has no name
        name = f"signal {ended.signal_number}"
    return BuildProcess(exit_code=None, signal=name)


def _notes(ended: child.Ended, folder: Path) -> Iterator[str]:
    if ended.leftovers:
        count, names = len(ended.leftovers), ", ".join(ended.leftovers[:5])
        were = "process outlived the build and was" if count == 1 else "processes outlived the build and were"
        yield f"{count} {were} stopped: {names}"
    if not ended.has_started:
        yield ended.log_error
    elif ended.log_error:
        yield f"{folder / LOG} is not complete: {ended.log_error}"


def _waiting_notes(outcome: Outcome, missing: list[ConcreteSpec]) -> list[str]:
    """Return what happened to a package that Spack never began to build."""
    if outcome is Outcome.ALREADY_THERE:
        return ["another process installed it while Spack waited; nothing was built or measured"]
    if outcome is Outcome.DEPENDENCY_FAILED:
        return [f"{spec.title} was installed when this was planned, and is not any more; run it again" for spec in missing]
    return ["Spack had not begun to build it; another process in the same tree may hold its lock"]


def _disk_notes(outcome: Outcome, reader: Reader, full: FullDisk | None) -> Iterator[str]:
    """Yield what is known of the disks, where it is not the reason of the failure."""
    if outcome is not Outcome.BUILD_FAILED:
        return
    if full is not None:
        yield f"the log does not say that the disk is full, but {describe_full_disk(full)}"
    elif reader.no_space:
        yield "the log says that there is no room on disk, but each file system that the build is known to write to has some"
