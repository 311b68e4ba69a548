"""A program that is started before it is needed: it loads what it will need, and then waits for a word on its input.

What comes after a build is mostly the start of Python programs. They can start while Spack tidies up; but nothing secret is
given to them before the last process of the build has ended, and what they need not be given they never had.
"""

import contextlib
import os
import signal
import subprocess

from buildjob.process import child


class Ahead:
    """One such program. `tell` starts it if nobody has; it is nobody's until then, and `end` ends it if it is not needed."""

    def __init__(self, program: child.Program) -> None:
        self.argv = program.argv
        self._program = program
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> int:
        """Start it, if that has not been done; return its process id. Raises OSError."""
        if self._child is None:
            self._child = child.start(self._program, stdin=subprocess.PIPE)
        return self._child.pid

    def tell(self, word: bytes) -> "subprocess.Popen[bytes]":
        """Give it the one line that it waits for; the caller then follows it to its end. Raises OSError.

        One that has ended while it was waiting is started anew: it may have been taken for a part of the build.
        """
        if self._child is not None and self._child.poll() is not None:
            self.end()
        self.start()
        started, self._child = self._child, None
        assert started
        assert started.stdin
        with contextlib.suppress(BrokenPipeError):  # how it ended, and its words, tell more
            started.stdin.write(word + b"\n")
        started.stdin.close()
        return started

    @property
    def pids(self) -> frozenset[int]:
        """The process, while it waits."""
        return frozenset({self._child.pid}) if self._child else frozenset()

    def end(self) -> None:
        """End it at once if it waits still."""
        if self._child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        with self._child as ended:
            ended.wait()
        self._child = None
