"""A program that is started before it is needed: it loads what it will need, then waits for one line of input.

What follows a build is mostly the start of Python programs. They can start while Spack tidies up. Their secrets come with
that line, when the last process of the build has ended: until then they have none that could be taken from them.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable

from buildjob.process import child


class Prestarted:
    """One such program. Until `resume` it is not followed; `end` kills it if it is never resumed."""

    def __init__(self, program: child.Program) -> None:
        self.argv = program.argv
        self._program = program
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> int:
        """Start it, unless that has been done; return its process id. Raises OSError."""
        if self._child is None:
            self._child = child.start(self._program, stdin=subprocess.PIPE)
        return self._child.pid

    def resume(self, line: bytes) -> "subprocess.Popen[bytes]":
        """Give it the line that it waits for, starting it if need be; the caller follows it to its end. Raises OSError.

        One that has ended while it waited is started again: the build may have killed it as one of its own.
        """
        if self._child is not None and self._child.poll() is not None:
            self.end()
        self.start()
        resumed, self._child = self._child, None
        assert resumed
        assert resumed.stdin
        with contextlib.suppress(BrokenPipeError):  # it has ended just now: its exit code and its output say why
            resumed.stdin.write(line + b"\n")
        resumed.stdin.close()
        return resumed

    def release(self) -> tuple["subprocess.Popen[bytes]", Callable[[bytes], None]]:
        """Return the program for the caller to follow to its end, and a function that gives it its line of input, once."""
        released, self._child = self._child, None
        assert released
        stdin, released.stdin = released.stdin, None
        assert stdin

        def write(line: bytes) -> None:
            with stdin:
                stdin.write(line + b"\n")

        return released, write

    @property
    def pids(self) -> frozenset[int]:
        """The id of the process while it waits; empty before `start` and after `resume`."""
        return frozenset({self._child.pid}) if self._child else frozenset()

    def end(self) -> None:
        """Kill it if it still waits."""
        if self._child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        with self._child as ended:
            ended.wait()
        self._child = None
