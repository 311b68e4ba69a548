"""The story of one run: start the build, watch it, and understand how it ended.

Knows one process and one log; what to run and what becomes of the binary is decided elsewhere, and the recorder writes
what is found, also while the build runs.
"""

import contextlib
import functools
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from buildjob.agent.classify import Evidence, classify
from buildjob.agent.recorder import Recorder
from buildjob.measure.observer import Cgroup, Observer, find_cgroup, machine
from buildjob.outcome import Outcome
from buildjob.process import child
from buildjob.run_folder import LOG
from buildjob.spack.install_log import Reader

_LITTLE_BYTES = 64 << 20
_ENDED_WAITING = (Outcome.ALREADY_THERE, Outcome.DEPENDENCY_FAILED, Outcome.TIMED_OUT, Outcome.INTERRUPTED)
"""Outcomes of a run in which Spack need not have begun to build anything."""


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """How to run the build."""

    argv: list[str]
    environment: dict[str, str]
    folder: Path
    """The working folder."""
    watched: tuple[Path, ...] = ()
    """Folders whose growth is the build's use of disk."""
    is_spack: bool = True
    needs: tuple[Path, ...] = ()
    """What has to be installed for it: the prefixes of dependencies."""


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
    """Returns the ids of the processes that `prestart` has started."""


def run(process: Process, recorder: Recorder, *, around: Surroundings) -> None:
    """Run the process to its end, watched; the recorder then knows how it ended."""
    reader = Reader()
    with find_cgroup() or contextlib.nullcontext() as cgroup, (recorder.folder / LOG).open("xb") as log:
        recorder.begin(machine(cgroup), reader)
        with Observer(
            cgroup=cgroup,
            checkpoint=recorder.checkpoint,
            interval_seconds=around.interval_seconds,
            watched_folders=process.watched,
        ) as observer:
            listen = functools.partial(_listen, reader, observer, around)
            output = child.Output(log, terminal=around.terminal, listen=listen)
            ended = _follow(_program(process, cgroup), output, observer, around)
            observation = observer.stop()
    missing = [prefix for prefix in process.needs if not prefix.exists()]
    evidence = Evidence(
        ended=ended,
        memory_kills=len(observation.memory_kills),
        is_spack=process.is_spack,
        began=reader.began,
        lacks_dependency=bool(missing),
        fetch_failed=reader.fetch_failed and process.is_spack,
        no_space=(reader.no_space or bool(ended.log_error)) and _is_full((recorder.folder, *process.watched)),
    )
    outcome = classify(evidence)
    if process.is_spack and not reader.began and outcome in _ENDED_WAITING:
        # what was measured is Spack's start and its waiting for a lock, not this package
        recorder.note(_waiting_notes(outcome, missing))
        recorder.finish(None, outcome, signal_number=ended.stopped_by)
        return
    recorder.note([*_notes(ended), *observer.notes()])
    recorder.finish(observation, outcome, signal_number=ended.stopped_by)


def _program(process: Process, cgroup: Cgroup | None) -> child.Program:
    argv = cgroup.joined_by(process.argv) if cgroup else process.argv
    return child.Program(argv=argv, environment=process.environment, folder=process.folder)


def _follow(program: child.Program, output: child.Output, observer: Observer, around: Surroundings) -> child.Ended:
    """Start the build and follow it to its end. One that does not start has ended with 127, as in a shell."""
    until = child.Until(stop=around.stop, deadline=around.deadline, standby=around.standby)
    try:
        return child.run(program, output=output, until=until, started=observer.watch)
    except OSError as error:
        return child.Ended(exit_code=127, log_error=f"{program.argv[0]} does not start: {error.strerror}")


def _listen(reader: Reader, observer: Observer, around: Surroundings, chunk: bytes) -> None:
    """Begin the phases that the next bytes of the log name; at the end of the last one, prestart what follows the build."""
    for phase in reader.feed(chunk):
        observer.begin_phase(phase)
        if not phase:
            around.prestart()
            for pid in around.standby():
                observer.add_standby(pid)


def _notes(ended: child.Ended) -> list[str]:
    notes = []
    if ended.leftovers:
        count, names = len(ended.leftovers), ", ".join(ended.leftovers[:5])
        were = "process outlived the build and was" if count == 1 else "processes outlived the build and were"
        notes.append(f"{count} {were} stopped: {names}")
    if ended.log_error:
        notes.append(f"the log is not complete: {ended.log_error}")
    return notes


def _waiting_notes(outcome: Outcome, missing: list[Path]) -> list[str]:
    """Return what happened to a package that Spack never began to build."""
    if outcome is Outcome.ALREADY_THERE:
        return ["another process installed it while Spack waited; nothing was built or measured"]
    if outcome is Outcome.DEPENDENCY_FAILED:
        return [f"no longer installed, though it was before: {prefix}" for prefix in missing]
    return ["Spack had not begun to build it; another process in the same tree may hold its lock"]


def _is_full(folders: tuple[Path, ...]) -> bool:
    """Return whether a file system that the build writes to has hardly any room left."""
    for folder in folders:
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        room = os.statvfs(existing)
        if room.f_bavail * room.f_frsize < _LITTLE_BYTES or (room.f_files and not room.f_favail):
            return True
    return False
