"""Runs one program in a session of its own, passes its bytes on live and unchanged, and stops it and all that it started.

The agent is made child subreaper, so whatever the program starts and abandons becomes the agent's child and is stopped
before `run` returns. Knows processes and pipes, not what runs in them.
Source: prctl(2) PR_SET_CHILD_SUBREAPER and PR_SET_DUMPABLE, pidfd_open(2), credentials(7).
"""

import contextlib
import ctypes
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, BinaryIO, Protocol, Self

import msgspec
import psutil

from status_line.screen import Screen

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_READ_BYTES = 1 << 16
GRACE_SECONDS = 10.0
"""Between TERM and KILL."""
_LEFTOVER_GRACE_SECONDS = 2.0
_SETTLE_SECONDS = 1.0
"""After the program's end: what ends by itself within it has not outlived the program."""
_REAP_SECONDS = 1.0
_POLL_SECONDS = 0.01


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended."""

    exit_code: int
    """Its own; 128 + n if signal n ended it."""
    signal_number: int = 0
    """The signal that ended it; 0 if it exited by itself."""
    has_started: bool = True
    timed_out: bool = False
    stopped_by: int = 0
    """The signal that the agent received and passed on; 0 if none."""
    leftovers: list[str] = []
    """Names of the processes that outlived the program and were stopped; none that were ending by themselves."""
    log_error: str = ""
    """Why the log could not be written to its end; empty if it could."""


class StopRequest:
    """Holds the first TERM, INT or HUP that the agent received; a context manager that catches them while it is entered."""

    SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def __init__(self) -> None:
        self.signal_number = 0
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        for number in self.SIGNALS:
            self._before[number] = signal.signal(number, self._caught)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        os.close(self._reader)
        os.close(self._writer)

    def fileno(self) -> int:
        """Return a descriptor that becomes readable with the first signal."""
        return self._reader

    def _caught(self, number: int, _frame: FrameType | None) -> None:
        self.signal_number = self.signal_number or number
        with contextlib.suppress(BlockingIOError):  # the pipe is full of signals that have not been looked at
            os.write(self._writer, b"!")


def become_subreaper() -> None:
    """Make this process the parent of whatever its descendants abandon. Raises OSError."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def seclude() -> None:
    """Hide this process's memory, environment and open files from all other processes of its user. Raises OSError.

    The kernel then lets only CAP_SYS_PTRACE read them or trace this process. A program that it starts is not hidden.
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "prctl")


class Output:
    """Where a program's bytes go: the log file, the terminal, and a callback."""

    def __init__(
        self,
        log: BinaryIO,
        *,
        terminal: int | None = None,
        screen: Screen | None = None,
        shown: Callable[[bytes], bytes] = lambda chunk: chunk,
        listen: Callable[[bytes], None] = lambda _chunk: None,
    ) -> None:
        """`shown` returns what the terminal shows of the next bytes. `screen` has a status line that they must not meet."""
        self._log: BinaryIO | None = log
        self._terminal = terminal
        self._shown = shown
        self._listen = listen
        self._screen = screen or Screen()
        self._is_on_screen = terminal is not None and os.isatty(terminal)
        self._showing = threading.Lock()
        self._is_at_line_start = True
        self.error = ""
        """Why the log could not be written; empty while it can."""

    def write(self, chunk: bytes) -> None:
        """Pass the bytes on. A full disk ends the log only, a terminal that was closed the terminal only."""
        if self._log is not None:
            try:
                self._log.write(chunk)
                self._log.flush()
            except OSError as error:
                self.error, self._log = error.strerror or str(error), None
        self.show(self._shown(chunk))
        self._listen(chunk)

    def show(self, text: bytes) -> None:
        """Write bytes to the terminal only."""
        with self._showing:
            self._write_terminal(text)

    def show_line(self, line: str) -> None:
        """Write a line to the terminal only, from any thread; a line of the program that has no end yet is ended before."""
        with self._showing:
            self._write_terminal(b"" if self._is_at_line_start else b"\n")
            self._write_terminal(f"{line}\n".encode(errors="backslashreplace"))

    def end_line(self) -> None:
        """End a line of the program that has no end yet, on the terminal only: what follows begins on its own."""
        with self._showing:
            self._write_terminal(b"" if self._is_at_line_start else b"\n")

    def _write_terminal(self, text: bytes) -> None:
        if self._terminal is None or not text:
            return
        with self._screen.cleared():
            try:
                view = memoryview(text)
                while view:
                    view = view[os.write(self._terminal, view) :]
            except OSError:
                self._terminal = None
            self._is_at_line_start = text.endswith(b"\n")
            if self._is_on_screen:
                self._screen.at_line_start = self._is_at_line_start or self._terminal is None


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """What to start."""

    argv: Sequence[str | Path]
    environment: Mapping[str, str]
    folder: Path
    """Its working folder."""
    descriptors: tuple[int, ...] = ()
    """What it inherits beside the standard streams."""


class Followed(Protocol):
    """A process that can be followed: a child of ours."""

    @property
    def pid(self) -> int:
        """Its id, and that of its process group."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """What it prints."""

    @property
    def returncode(self) -> int:
        """Its exit code, or minus the signal that ended it; meaningless before `poll` has returned one."""

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""

    def __enter__(self) -> Self:
        """Give it."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Close what it prints, and wait for its end."""


class Until(msgspec.Struct, frozen=True, kw_only=True):
    """How long a program is followed, and which processes are not stopped with it."""

    stop: StopRequest
    deadline: float | None = None
    """A reading of the monotonic clock after which the program is stopped."""
    standby: Callable[[], frozenset[int]] = frozenset
    """Returns the ids of prestarted processes: children of the agent, but not leftovers of the program."""


def run(program: Program, *, output: Output, until: Until, started: Callable[[int], None] = lambda _pid: None) -> Ended:
    """Run a program to its end and return how it ended; `started` receives its process id. Raises OSError."""
    child = start(program)
    started(child.pid)
    return follow(child, output=output, until=until)


def start(program: Program, *, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
    """Start a program in a session of its own. Raises OSError."""
    return subprocess.Popen(
        program.argv,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(program.environment),
        cwd=program.folder,
        pass_fds=program.descriptors,
        start_new_session=True,
        bufsize=0,
    )


def follow(child: Followed, *, output: Output, until: Until) -> Ended:
    """Follow a program that was started to its end, stop what it left, and return how it ended.

    A stop request or the deadline sends TERM to its process group, and KILL after 10 s.
    """
    with child, _process_descriptor(child.pid) as exited:
        assert child.stdout is not None
        timed_out, kill_at = _pass_on(child, exited, output, until)
        pipe = child.stdout.fileno()
        os.set_blocking(pipe, False)
        ending = _Ending(standby=until.standby(), between=lambda: _read_some(pipe, output, at_most=16))
        if kill_at is not None:  # the grace period of a stop counts from its TERM, which the whole process group received
            grace = max(kill_at - time.monotonic(), 0.0)
            ending = msgspec.structs.replace(ending, grace_seconds=grace, group=child.pid)
        leftovers = stop_descendants(ending)
        # nothing writes to the pipe any more: every descendant has ended
        while _read_some(pipe, output, at_most=16):
            pass
    code = child.returncode
    return Ended(
        exit_code=code if code >= 0 else 128 - code,
        signal_number=max(-code, 0),
        timed_out=timed_out,
        stopped_by=until.stop.signal_number,
        leftovers=leftovers,
        log_error=output.error,
    )


@contextlib.contextmanager
def _process_descriptor(pid: int) -> Iterator[int]:
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _pass_on(child: Followed, exited: int, output: Output, until: Until) -> tuple[bool, float | None]:
    """Pass output on until the child has exited; return whether its deadline passed, and when what is left may be killed."""
    assert child.stdout is not None
    pipe, stop, deadline = child.stdout.fileno(), until.stop, until.deadline
    timed_out = False
    kill_at: float | None = None
    with selectors.DefaultSelector() as selector:
        # the pipe alone does not say when the child has exited: a daemon that it left may hold it open for ever
        for descriptor in (pipe, exited, stop.fileno()):
            selector.register(descriptor, selectors.EVENT_READ)
        while child.poll() is None:
            now = time.monotonic()
            timed_out = timed_out or (deadline is not None and now >= deadline)
            if kill_at is None and (timed_out or stop.signal_number):
                _signal_group(child.pid, signal.SIGTERM)
                kill_at = now + GRACE_SECONDS
                selector.unregister(stop.fileno())  # it stays readable, and would end every wait at once
            elif kill_at is not None and now >= kill_at:
                _signal_group(child.pid, signal.SIGKILL)
                kill_at = now + 1.0  # and again: a process that was being forked may have missed it
            wake_at = kill_at if kill_at is not None else deadline
            # not longer: an abandoned process that exits does not wake the selector, and stays a zombie until it is reaped
            pause = _REAP_SECONDS if wake_at is None else min(max(wake_at - now, 0.0), _REAP_SECONDS)
            for key, _ in selector.select(pause):
                if key.fd == pipe:
                    chunk = os.read(pipe, _READ_BYTES)
                    if chunk:
                        output.write(chunk)
                    else:  # closed: it would be readable for ever
                        selector.unregister(pipe)
            _reap(but={child.pid, *until.standby()})
    return timed_out, kill_at


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _read_some(pipe: int, output: Output, *, at_most: int) -> bool:
    """Pass on what so many readings of the pipe give; return whether there may be more."""
    with contextlib.suppress(BlockingIOError):
        for _ in range(at_most):
            chunk = os.read(pipe, _READ_BYTES)
            if not chunk:
                return False
            output.write(chunk)
        return True
    return False


class _Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How the descendants that are left are stopped."""

    standby: frozenset[int] = frozenset()
    """The ids of those that are not stopped."""
    grace_seconds: float = _LEFTOVER_GRACE_SECONDS
    """Between TERM and KILL."""
    group: int = 0
    """The process group that has received TERM already; 0 if none has."""
    between: Callable[[], object] = lambda: None
    """Called in each round: what is ending may still write, and would wait for a reader."""


def stop_descendants(ending: _Ending) -> list[str]:
    """Stop every descendant but those on standby; return the names of those that outlived the program.

    Each has a second to end by itself. TERM follows, and KILL after the grace period. Who ends in that second has
    not outlived the program; who appears after it was started by the ending of another. Of a group that has received TERM
    only those count that need KILL.
    """
    begun = time.monotonic()
    settled_at = begun + min(_SETTLE_SECONDS, ending.grace_seconds)
    kill_at = (begun if ending.group else settled_at) + ending.grace_seconds
    names: dict[int, str] = {}
    told: set[int] = set()
    settled: frozenset[int] | None = None
    # round after round until none is left: a process may start others while it is being stopped
    while True:
        ending.between()
        _reap(but=ending.standby)
        # a zombie whose parent lives is its parent's to reap, and does nothing any more
        alive = [process for process in _descendants(ending.standby) if _is_running(process)]
        if not alive:
            _reap(but=ending.standby)  # what has ended since the round began
            return list(names.values())
        now = time.monotonic()
        if now >= settled_at:
            settled = settled if settled is not None else frozenset(process.pid for process in alive)
            for process in alive:
                with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):  # it has ended since the list was made
                    is_ending = bool(ending.group) and os.getpgid(process.pid) == ending.group
                    if (now >= kill_at) if is_ending else (process.pid in settled):
                        names.setdefault(process.pid, process.name())
                    if now >= kill_at:
                        process.kill()
                    elif not is_ending and process.pid not in told:
                        told.add(process.pid)
                        process.terminate()  # once: a second TERM makes some programs give up their clean-up
        time.sleep(_POLL_SECONDS)


def _descendants(standby: frozenset[int]) -> list[psutil.Process]:
    """Return all descendants, without those on standby and what is below them. psutil is named by the owner."""
    if not standby:
        return psutil.Process().children(recursive=True)
    found = []
    for process in psutil.Process().children():
        if process.pid not in standby:
            found.append(process)
            with contextlib.suppress(psutil.NoSuchProcess):
                found += process.children(recursive=True)
    return found


def _is_running(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def _reap(*, but: AbstractSet[int] = frozenset()) -> None:
    """Collect children that have ended, abandoned ones included. Those in `but` are their owners' to collect."""
    with contextlib.suppress(ChildProcessError):
        # WNOWAIT looks without collecting; the kernel shows the same child again, so one in `but` ends this round
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid not in but:
            os.waitpid(ended.si_pid, 0)
