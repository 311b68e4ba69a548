"""Reads the output of `spack install` as it passes: phases, and signs of a full disk.

Streaming and bounded, whatever the log: any bytes, lines of any length. Knows Spack 1.1's wording, decides nothing.
Source: Spack 1.1, lib/spack/spack/installer.py, package_base.py.
"""

import re
from collections.abc import Iterator

from buildjob.run_folder import PhaseStart

_LONGEST_MARKER_BYTES = 4096
# A log may claim any number of phases; real builds have fewer than ten.
_MOST_PHASES = 200
# longer than each text of `_NO_SPACE`: what is kept of an overlong line still completes one that a chunk has cut
_KEPT_BYTES = 63
# Also behind a bare carriage return, which ends what a progress bar shows, and with the time that `spack -t` writes.
_MARKER = re.compile(
    rb"(?:^|(?<=\r))==> (?:\[\d{4}-\d\d-\d\d[-T ][\d:.,]+\] )?"
    rb"(?:(?P<installing>Installing \S+(?: \[[0-9]+/[0-9]+\])?)|(?P<other>[^\r\n]*))(?=\r|$)",
    re.MULTILINE,
)
_PHASE = re.compile(rb"^[^:\s]+: (?:Executing phase: '(?P<phase>\w{1,100})'|(?P<done>Successfully installed) )")
# What the errors ENOSPC and EDQUOT are called, without the first letter, which may be a capital.
_NO_SPACE = (b"o space left", b"uota exceeded")
# In small letters: other ways to say that something could not be written, which has many reasons. dash calls every error of
# `echo` an I/O error; SIGBUS is what a program gets that writes to memory which is a file on a full disk.
_WRITE_FAILED = (
    b"i/o error", b"write error", b"write failed", b"short write", b"wrote only", b"error writing", b"failed writing",
    b"failed to write", b"could not write", b"cannot write", b"can't write", b"unable to write", b"bus error",
    b"disk full", b"disk is full", b"disk space", b"enough space", b"enospc", b"edquot", b"curl: (23)",
)  # fmt: skip
_END_BYTES = 1 << 14
_LAST_BYTES = 1 << 20
"""How far from the log's end the words still count: others build on for a while when one has failed."""


def says_no_space(text: bytes) -> bool:
    """Return whether a program's output says that a disk is full. It is only what it printed: the disks must agree."""
    return any(sign in text for sign in _NO_SPACE)


class Reader:
    """Takes the log in chunks of any size; its attributes hold what was read so far."""

    def __init__(self) -> None:
        self._tail = b""
        """The last line so far, if it is not complete and not too long for a marker."""
        self.bytes = 0
        self.lines = 0
        self.phases: list[PhaseStart] = []
        """The first 200."""
        self._in_phase = False
        self.began = False
        """Spack began to install a package."""
        self.no_space_at: int | None = None
        """The byte after the last words that say that a disk is full."""
        self._end = b""

    @property
    def no_space(self) -> bool:
        """Whether the end of the log says that a disk is full."""
        return self.no_space_at is not None and self.bytes - self.no_space_at <= _LAST_BYTES

    @property
    def write_failed(self) -> bool:
        """Whether the last lines of the log say that something could not be written, for whatever reason."""
        end = self._end.lower()
        return self.no_space or any(sign in end for sign in _WRITE_FAILED)

    def feed(self, chunk: bytes) -> list[str]:
        """Take the next bytes of the log; return the phases that begin in them, empty for the end of the last one.

        After the 200th phase none begins.
        """
        # the start of a cut line is read again with its end: markers and `_NO_SPACE` are found across chunks
        text = self._tail + chunk
        if says_no_space(text):
            self.no_space_at = self.bytes + len(chunk)
        started: list[str] = []
        if b"==> " in text:  # nearly every chunk of a build's output has none, and costs no regular expression
            started = list(self._markers(text, start=self.bytes - len(self._tail)))
        self._end = (self._end + chunk)[-_END_BYTES:]
        self.bytes += len(chunk)
        self.lines += chunk.count(b"\n")
        last = text.rpartition(b"\n")[2]
        # the NUL stands for the line's start, which is gone: what follows must not look like a marker there
        self._tail = last if len(last) <= _LONGEST_MARKER_BYTES else b"\0" + last[-_KEPT_BYTES:]
        return started

    def _markers(self, text: bytes, *, start: int) -> Iterator[str]:
        """Read Spack's own lines in text that begins at byte `start` of the log; yield phases as `feed` returns them."""
        complete = text.rpartition(b"\n")[0]  # what follows it is read again when its line is complete
        for found in _MARKER.finditer(complete + b"\n" if complete else b""):
            # the tail holds no line feed, so the lines before this text are those counted so far
            line = self.lines + text.count(b"\n", 0, found.start()) + 1
            phase = self._phase(found)
            if phase is None:
                continue
            if phase:
                self.began = True
                if len(self.phases) >= _MOST_PHASES:
                    continue
                self.phases.append(PhaseStart(phase, start + found.start(), line))
            elif not self._in_phase:
                continue
            self._in_phase = bool(phase)
            yield phase

    def _phase(self, marker: re.Match[bytes]) -> str | None:
        """Return the phase that a line of Spack's begins, empty if it ends the last one, None if it does neither."""
        if marker["installing"] is not None:
            return "stage"
        found = _PHASE.match(marker["other"])
        if found is None:
            return None
        return "" if found["done"] else found["phase"].decode()
