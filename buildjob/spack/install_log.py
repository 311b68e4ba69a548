"""Reads the output of `spack install` as it passes: phases, errors, signs of a full disk or a failed fetch.

Streaming and bounded, whatever the log: any bytes, lines of any length. Knows Spack 1.1's wording, decides nothing.
Source: Spack 1.1, lib/spack/spack/installer.py, package_base.py.
"""

import re
from collections.abc import Callable

from buildjob.run_folder import PhaseStart

_LONGEST_MARKER_BYTES = 4096
_MOST_ERRORS = 20
_MARKER = re.compile(rb"^==> (?:(?P<installing>Installing .*)|(?P<error>Error: .*)|(?P<other>.*))$", re.MULTILINE)
_PHASE = re.compile(rb"^[^:\s]+: (?:Executing phase: '(?P<phase>[^']+)'|(?P<done>Successfully installed) )")
_NO_SPACE = (b"No space left on device", b"Disk quota exceeded")
_FETCH = re.compile(rb"FetchError|All fetchers failed|ChecksumError|NoDigestError|FailedDownloadError|FailedConstraintError")


class Reader:
    """Takes the log in chunks of any size; afterwards says what it saw."""

    def __init__(self) -> None:
        self.on_phase: Callable[[str], None] = lambda _name: None
        """Told the name of each phase as it begins; empty when the last one has ended."""
        self._tail = b""
        """The last line so far, if it is not complete and not too long for a marker."""
        self.bytes = 0
        self.lines = 0
        self.phases: list[PhaseStart] = []
        self.errors: list[str] = []
        self.began = False
        """Spack began to install a package."""
        self.installed = False
        self.no_space = False
        self.fetch_failed = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the log."""
        text = self._tail + chunk
        if any(sign in text for sign in _NO_SPACE):
            self.no_space = True
        if b"==> " in text:
            self._markers(text, start=self.bytes - len(self._tail))
        self.bytes += len(chunk)
        self.lines += chunk.count(b"\n")
        last = text.rpartition(b"\n")[2]
        # the end of an overlong line is no line of its own: what follows must not look like a marker at its start
        self._tail = last if len(last) <= _LONGEST_MARKER_BYTES else b"\0" + last[-63:]

    def _markers(self, text: bytes, *, start: int) -> None:
        complete = text.rpartition(b"\n")[0]
        for found in _MARKER.finditer(complete + b"\n" if complete else b""):
            at = start + found.start()
            line = self.lines + text.count(b"\n", 0, found.start()) + 1
            if found["installing"] is not None:
                self.began = True
                self._phase("stage", at, line)
            elif found["error"] is not None:
                self._error(found["error"])
            else:
                self._other(found["other"], at, line)

    def _other(self, text: bytes, at: int, line: int) -> None:
        phase = _PHASE.match(text)
        if phase is None:
            return
        if phase["done"]:
            self.installed = True
            self._phase("", at, line)
        else:
            self.began = True
            self._phase(phase["phase"].decode("utf-8", "replace"), at, line)

    def _phase(self, name: str, at: int, line: int) -> None:
        if name:
            self.phases.append(PhaseStart(name, at, line))
        self.on_phase(name)

    def _error(self, text: bytes) -> None:
        if _FETCH.search(text):
            self.fetch_failed = True
        if len(self.errors) < _MOST_ERRORS:
            self.errors.append(text.removeprefix(b"Error: ")[:1000].decode("utf-8", "replace"))
