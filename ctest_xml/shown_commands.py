"""Finds the lines of a log that are no output: the further lines of a command that Spack shows before it runs it.

    ==> [2026-11-30-04:07:07.071287] '/bin/sh' '-c' 'cat > notes.txt <<'"'"'EOF'"'"'
    main.c:3: error: only text
    EOF'

Knows nothing of errors. Obeys: Spack 1.1, lib/spack/spack/util/executable.py, which quotes each argument as `shlex` does.
"""

import re

_SHOWN = re.compile(rb"==> \[[^\]\n]*\] '")
_QUOTE_WITHIN = b"""'"'"'"""
_LONGEST = 200
"""Lines; what is longer has a quote that is not Spack's, and the log goes on."""


class ShownCommands:
    """Where such lines are, block after block of one log."""

    def __init__(self) -> None:
        self._left = 0
        """How many more lines may belong to the command that is open."""

    def ranges(self, block: bytes) -> list[tuple[int, int]]:
        """Return first byte and end of the lines in a block of whole lines that belong to a command begun before them."""
        found = []
        at = 0
        while at < len(block):
            if not self._left:
                at = _next_shown(block, at)
                if at < 0:
                    break
                end = block.index(b"\n", at) + 1
                self._left = _LONGEST if _opens_or_closes(block[at:end]) else 0
                at = end
                continue
            if block.startswith(b"==> ", at):  # whatever the quotes say, Spack speaks again
                self._left = 0
                continue
            end = block.index(b"\n", at) + 1
            found.append((at, end))
            self._left = 0 if _opens_or_closes(block[at:end]) else self._left - 1
            at = end
        return found


def _next_shown(block: bytes, at: int) -> int:
    """Return where the next line with a command begins; -1: nowhere."""
    while True:
        at = block.find(b"==> [", at)
        if at < 0 or ((not at or block[at - 1 : at] == b"\n") and _SHOWN.match(block, at)):
            return at
        at += 1


def _opens_or_closes(line: bytes) -> bool:
    """Return whether a quoted argument begins in the line and does not end there, or the reverse."""
    return line.replace(_QUOTE_WITHIN, b"").count(b"'") % 2 == 1
