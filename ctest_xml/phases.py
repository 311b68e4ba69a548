"""Finds the phases in a Spack build log: where each begins and ends, in bytes and lines.

Obeys: Spack 0.22 to 1.1, lib/spack/spack/builder.py and new_installer.py: `==> [time] name: Executing phase: 'configure'`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from ctest_xml.model import Part

_HEADING = re.compile(rb"^==> .*Executing phase: '([A-Za-z0-9_]+)'")
_LINE_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseLog:
    """One phase's part of a log; `first_line` is 1-based and holds the heading."""

    name: str
    part: Part
    first_line: int


def phase_logs(log: Path) -> list[PhaseLog]:
    """Return the phases of a log in its order; the lines before the first heading belong to none. Memory is bounded."""
    found: list[tuple[str, int, int]] = []
    line = 1
    at = 0
    begins = True  # whether `piece` is the start of a line: a longer line comes in several pieces
    with log.open("rb") as file:
        while piece := file.readline(_LINE_BYTES):
            if begins and piece.startswith(b"==> ") and (match := _HEADING.match(piece)):
                found.append((match[1].decode(), at, line))
            at += len(piece)
            begins = piece.endswith(b"\n")
            line += begins
    ends = [*(start for _, start, _ in found), at][1:]
    return [
        PhaseLog(name=name, part=Part(path=log, start=start, end=end), first_line=first)
        for (name, start, first), end in zip(found, ends, strict=True)
    ]
