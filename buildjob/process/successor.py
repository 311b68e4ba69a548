"""A program that another one leaves behind: after its work a copy of it stays, and waits for a line of input.

For programs that take long to start, and would be started twice. The copy becomes this process's child, as what a child
abandons does (`child.become_subreaper`). If there is none, whatever the reason, a prestarted program does the work.
"""

import contextlib
import os
import signal
from types import TracebackType
from typing import IO, Self

import psutil

from buildjob.process.child import Followed
from buildjob.process.prestarted import Prestarted

_HEAD = b"successor "
_LONGEST_HEAD = 40


class Successor:
    """What a program may leave behind, in the place of a prestarted program. `end` kills it if it is never resumed."""

    def __init__(self, otherwise: Prestarted) -> None:
        self.argv = otherwise.argv
        self._otherwise = otherwise
        self._question: int | None = None
        self._answer: int | None = None
        self._given: tuple[int, ...] = ()
        self._pid = 0

    def offer(self) -> tuple[int, int]:
        """Return what the program gets which is to leave a successor: what it reads and what it writes. Raises OSError."""
        reads, self._question = os.pipe()
        self._answer, writes = os.pipe()
        os.set_blocking(self._answer, False)
        self._given = (reads, writes)
        return reads, writes

    def offered(self) -> None:
        """Close this process's copies of what it has offered: the program has been started."""
        for descriptor in self._given:
            os.close(descriptor)
        self._given = ()

    def start(self) -> int:
        """Start the prestarted program, unless there is a successor; return the id of either. Raises OSError."""
        return next(iter(self.pids)) if self.pids else self._otherwise.start()

    @property
    def pids(self) -> frozenset[int]:
        """The id of the process while it waits; empty before there is one, and after `resume`."""
        return frozenset({self._pid}) if self._is_there() else self._otherwise.pids

    def resume(self, line: bytes) -> Followed:
        """Give the successor its line of input, or else the prestarted program; the caller follows it. Raises OSError."""
        if not self._is_there() or _has_ended(self._pid):
            self.end()
            return self._otherwise.resume(line)
        assert self._question is not None
        assert self._answer is not None
        resumed = _Adopted(self._pid, os.fdopen(self._answer, "rb", buffering=0))
        with contextlib.suppress(BrokenPipeError), os.fdopen(self._question, "wb") as question:
            question.write(line + b"\n")  # if it has ended just now, its exit code and its output say why
        self._question = self._answer = None
        self._pid = 0
        return resumed

    def end(self) -> None:
        """Kill what waits, and forget what was offered."""
        self._otherwise.end()
        self.offered()
        if self._is_there():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
        self._pid = 0
        for descriptor in (self._question, self._answer):
            if descriptor is not None:
                os.close(descriptor)
        self._question = self._answer = None

    def _is_there(self) -> bool:
        """Return whether there is a successor that is our child; its id comes as the first line of its output."""
        if not self._pid and self._answer is not None:
            with contextlib.suppress(BlockingIOError):
                self._pid = _child_named(os.read(self._answer, _LONGEST_HEAD))
        return bool(self._pid)


def _has_ended(pid: int) -> bool:
    """Return whether a child of ours has ended while it waited: the build may have killed it as one of its own."""
    with contextlib.suppress(ChildProcessError):
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return True


def _child_named(head: bytes) -> int:
    """Return the process id in the first line of output; 0 if it is not a child of ours: the build may write, too."""
    number = head.removeprefix(_HEAD).strip()
    if not head.startswith(_HEAD) or not number.isdigit():
        return 0
    with contextlib.suppress(psutil.Error, OSError, OverflowError):
        pid = int(number)
        if psutil.Process(pid).ppid() == os.getpid() and os.getpgid(pid) == pid:
            return pid
    return 0


class _Adopted:
    """A child of ours that was not started here; as much of `subprocess.Popen` as is needed to follow it."""

    def __init__(self, pid: int, stdout: IO[bytes]) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode = 0
        self._has_ended = False

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self._wait(os.WNOHANG)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.stdout.close()
        self._wait(0)

    def _wait(self, options: int) -> int | None:
        if not self._has_ended:
            try:
                pid, status = os.waitpid(self.pid, options)
            except ChildProcessError:  # somebody has waited for it
                pid, status = self.pid, 1 << 8
            if pid == 0:
                return None
            self._has_ended, self.returncode = True, os.waitstatus_to_exitcode(status)
        return self.returncode
