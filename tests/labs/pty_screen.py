"""A program on a terminal of its own, and what a person would see there: a screen with the few sequences that are used."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_TOKENS = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+|\x1b")


class View:
    """Lines as a terminal of so many columns shows them; each frame is the last line at a moment."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.lines = [""]
        self.frames: list[str] = []
        self.wrapped = False
        self._at = 0

    def feed(self, data: bytes) -> None:
        """Show the next bytes."""
        for token in _TOKENS.findall(data):
            if token == b"\r":
                self._at = 0
            elif token == b"\n":
                self.lines.append("")
                self._at = 0
            elif token == b"\x1b[K":
                self.lines[-1] = self.lines[-1][: self._at]
            elif not token.startswith(b"\x1b"):
                text, line = token.decode(errors="replace"), self.lines[-1]
                self.lines[-1] = line[: self._at].ljust(self._at) + text + line[self._at + len(text) :]
                self._at += len(text)
                self.wrapped = self.wrapped or self._at > self.columns
            self.frames.append(self.lines[-1])


class Terminal:
    """The terminal's own side."""

    def __init__(self, descriptor: int, theirs: int, columns: int) -> None:
        self.descriptor = descriptor
        self._theirs: int | None = theirs
        self.raw = b""
        self.columns = columns
        self._has_more = threading.Condition()
        self._is_over = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def resize(self, columns: int) -> None:
        """Give it another width."""
        self.columns = columns
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def leave(self) -> None:
        """Close this process's copy of the descriptor that programs write to."""
        theirs, self._theirs = self._theirs, None
        if theirs is not None:
            os.close(theirs)

    def view(self) -> View:
        """Return what it has shown so far."""
        seen = View(self.columns)
        seen.feed(self.raw)
        return seen

    def wait_for(self, found: Callable[[bytes], object], *, seconds: float = 60) -> None:
        """Wait until this is true of what was written."""
        with self._has_more:
            assert self._has_more.wait_for(lambda: found(self.raw) or self._is_over, seconds), self.raw
            assert found(self.raw), self.raw

    def ended(self) -> bytes:
        """Return all that was written, after the last writer has closed its side."""
        self._reader.join(60)
        assert self._is_over
        return self.raw

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.descriptor, 65536)
            except OSError:  # no writer is left
                data = b""
            with self._has_more:
                self.raw += data
                self._is_over = not data
                self._has_more.notify_all()
            if not data:
                return


@contextlib.contextmanager
def terminal(columns: int) -> Iterator[tuple[Terminal, int]]:
    """Give a terminal and the descriptor that programs write to."""
    own, theirs = pty.openpty()
    made = Terminal(own, theirs, columns)
    try:
        made.resize(columns)
        yield made, theirs
    finally:
        made.leave()
        made.ended()  # the reader must not read what gets this descriptor next
        os.close(own)


@contextlib.contextmanager
def running_on(
    columns: int, argv: Sequence[str | Path], environment: dict[str, str], *, stdout: int | None = None
) -> Iterator[tuple["subprocess.Popen[bytes]", Terminal]]:
    """Start a program on a terminal, and give both; `stdout` may lead elsewhere. It has ended after the block."""
    with terminal(columns) as (made, theirs):
        out = theirs if stdout is None else stdout
        program = subprocess.Popen(argv, stdin=theirs, stdout=out, stderr=theirs, env=environment, start_new_session=True)
        made.leave()
        try:
            yield program, made
            made.ended()
        finally:
            program.kill()
            program.wait()


def run_on(columns: int, argv: Sequence[str | Path], environment: dict[str, str]) -> tuple[int, Terminal]:
    """Run a program on a terminal to its end."""
    with running_on(columns, argv, environment) as (program, made):
        made.ended()
        return program.wait(60), made
