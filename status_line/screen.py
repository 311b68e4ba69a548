"""The last line of a terminal: it is rewritten in place, and gone before anything else is written.

All that a program writes to that terminal passes through `cleared`; a thread redraws the line while `showing` lasts. Nothing
that fails here breaks the work: a terminal that has gone shows no more. Knows no program and no wording.
"""

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TextIO

from status_line.text import fitting, shown

Forms = Callable[[], Sequence[str]]
"""Returns the line that is to be seen now, in its forms: the richest first, shorter ones for narrow terminals after it."""
EVERY_SECONDS = 0.25
_ERASE = b"\r\x1b[K"
_STOP_SECONDS = 2.0
_LEAST_COLUMNS = 8


class Screen:
    """One terminal; without a descriptor it shows nothing. Threads may share it."""

    def __init__(
        self, descriptor: int | None = None, *, encoding: str = "utf-8", every_seconds: float = EVERY_SECONDS
    ) -> None:
        self._descriptor = descriptor
        self._encoding = encoding
        self._every = every_seconds
        self._lock = threading.RLock()
        self._lines: list[Forms] = []
        self._forms: Sequence[str] = ()
        self._drawn = ""
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.at_line_start = True
        """Whether what others wrote has ended with a line feed: a line of theirs that is open is not written over."""

    @property
    def is_live(self) -> bool:
        """Whether a line is rewritten here."""
        return self._descriptor is not None

    @contextlib.contextmanager
    def showing(self, forms: Forms, *, yields: bool = False) -> Iterator[None]:
        """Show this line during the block, in place of that of a block around it; with `yields`, only if there is none."""
        if self._descriptor is None or (yields and self._lines):
            yield
            return
        with self._lock:
            self._lines.append(forms)
            self._forms = ()
        self._start()
        try:
            yield
        finally:
            with self._lock:
                self._lines.remove(forms)
                self._forms = ()
                self._erase()
            if not self._lines:
                self._stop()

    @contextlib.contextmanager
    def cleared(self) -> Iterator[None]:
        """Give the block the terminal, without the line. It is drawn again afterwards, unless a line has been left open."""
        if self._descriptor is None:
            yield
            return
        with self._lock:
            self._erase()
            try:
                yield
            finally:
                self._draw()

    def refresh(self) -> None:
        """Draw the line as it is now."""
        with self._lock:
            if self._lines:
                self._forms = [shown(form, self._encoding) for form in self._lines[-1]()]
                self._draw()

    def _start(self) -> None:
        if self._thread is None:
            self._over.clear()
            self._thread = threading.Thread(target=self._run, daemon=True, name="status-line")
            self._thread.start()

    def _stop(self) -> None:
        thread, self._thread = self._thread, None
        self._over.set()
        if thread:
            thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._over.wait(self._every):
            self.refresh()

    def _draw(self) -> None:
        columns = self._columns()
        if not self._forms or not self.at_line_start or columns < _LEAST_COLUMNS or self._is_in_background():
            self._erase()
            return
        # the last column stays free: a full line would wrap on some terminals, and its start could not be reached again
        line = fitting(self._forms, columns - 1)
        if line != self._drawn:
            self._write(b"\r" + line.encode(self._encoding, "backslashreplace") + b"\x1b[K")
            self._drawn = line

    def _erase(self) -> None:
        if self._drawn:
            self._drawn = ""
            self._write(_ERASE)

    def _write(self, text: bytes) -> None:
        # past Python's buffers: what they hold has been flushed, and a lock of theirs may be held by a stalled writer
        try:
            while text and self._descriptor is not None:
                text = text[os.write(self._descriptor, text) :]
        except OSError:
            self._descriptor = None

    def _columns(self) -> int:
        try:
            columns = os.get_terminal_size(self._descriptor or 0).columns
        except OSError:
            columns = 0
        return columns or shutil.get_terminal_size().columns

    def _is_in_background(self) -> bool:
        """Return whether a shell has the terminal for something else: a line would be written into what is done there."""
        try:
            return os.tcgetpgrp(self._descriptor or 0) != os.getpgrp()
        except OSError:  # it is not the terminal that controls this process
            return False


def screen_for(stream: TextIO | None, variables: Mapping[str, str], *, quiet: bool = False) -> Screen:
    """Return the screen of a stream; it shows nothing where lines can't be rewritten, in CI, and with `quiet`."""
    if stream is None or quiet or variables.get("TERM") == "dumb" or variables.get("CI"):
        return Screen()
    try:
        descriptor = stream.fileno() if stream.isatty() else None
    except (OSError, ValueError):  # closed, or not a file
        return Screen()
    return Screen(descriptor, encoding=stream.encoding or "utf-8")
