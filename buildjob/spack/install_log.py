"""Reads the output of `spack install` as it passes: phases, signs of a full disk or of a failed fetch.

Streaming and bounded, whatever the log: any bytes, lines of any length. Knows Spack 1.1's wording, decides nothing.
Source: Spack 1.1, lib/spack/spack/installer.py, package_base.py.
"""

import re
from collections.abc import Iterator

from buildjob.run_folder import PhaseStart

_LONGEST_MARKER_BYTES = 4096
# longer than each text of `_NO_SPACE`: what is kept of an overlong line still completes one that a chunk has cut
_KEPT_BYTES = 63
_MARKER = re.compile(rb"^==> (?:(?P<installing>Installing .*)|(?P<error>Error: .*)|(?P<other>.*))$", re.MULTILINE)
_PHASE = re.compile(rb"^[^:\s]+: (?:Executing phase: '(?P<phase>[^']+)'|(?P<done>Successfully installed) )")
_NO_SPACE = (b"No space left on device", b"Disk quota exceeded")
_FETCH = re.compile(rb"FetchError|All fetchers failed|ChecksumError|NoDigestError|FailedDownloadError|FailedConstraintError")


class Reader:
    """Takes the log in chunks of any size; its attributes hold what was read so far."""

    def __init__(self) -> None:
        self._tail = b""
        """The last line so far, if it is not complete and not too long for a marker."""
        self.bytes = 0
        self.lines = 0
        self.phases: list[PhaseStart] = []
        self.began = False
        """Spack began to install a package."""
        self.no_space = False
        self.fetch_failed = False

    def feed(self, chunk: bytes) -> list[str]:
        """Take the next bytes of the log; return the phases that begin in them, empty for the end of the last one."""
        # the start of a cut line is read again with its end: markers and `_NO_SPACE` are found across chunks
        text = self._tail + chunk
        if any(sign in text for sign in _NO_SPACE):
            self.no_space = True
        started: list[str] = []
        if b"==> " in text:  # nearly every chunk of a build's output has none, and costs no regular expression
            started = list(self._markers(text, start=self.bytes - len(self._tail)))
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
                self.phases.append(PhaseStart(phase, start + found.start(), line))
            yield phase

    def _phase(self, marker: re.Match[bytes]) -> str | None:
        """Return the phase that a line of Spack's begins, empty if it ends the last one, None if it does neither."""
        if marker["installing"] is not None:
            return "stage"
        if marker["error"] is not None:
            self.fetch_failed = self.fetch_failed or bool(_FETCH.search(marker["error"]))
            return None
        found = _PHASE.match(marker["other"])
        if found is None:
            return None
        return "" if found["done"] else found["phase"].decode("utf-8", "replace")
