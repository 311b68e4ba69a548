"""Where the driver stands in a script's output, and what the agent has told about it. Pure: bytes and lines in, values out.

Output arrives in order on one channel, the agent's lines on another, and either may be lost with the connection: so each
line tells absolute numbers, and a position in bytes is all that a new connection needs.
"""

from collections import deque

import msgspec

from executor.counters import Counters, parse_count, parse_counters
from executor.pod_agent import end_marker

_LONGEST_LINE = 500
_MOST_LINES = 200  # that one reading of the counters may have
_MOST_SEGMENTS = 10_000  # that may be told of before they are read; the lines come from the job's own container


class ScriptEnd(msgspec.Struct, frozen=True, kw_only=True):
    """A script that has ended, as its exit-code file says."""

    exit_code: int
    before: Counters
    after: Counters
    working_set_peak_bytes: int
    """Peak of the container since its start; 0 if unknown."""
    log_is_whole: bool


class Following:
    """The state of following one script. Invariant: `received` bytes have been handed out or held back, each once."""

    def __init__(self, stage_folder: str) -> None:
        self._marker = end_marker(stage_folder)
        self._held = b""
        self._lines = b""
        self._totals: dict[int, int] = {}
        self._reading = _empty_reading()
        self._section = ""
        self._exit_code: int | None = None
        self.received = 0
        """Bytes of the log that have come, the marker included."""
        self.segment = 0
        """First segment that is not wholly received."""
        self.base = 0
        """Bytes before that segment."""
        self.marker_seen = False
        self.is_broken = False
        """Whether the container could not write the log any further."""
        self.fault = ""
        """Why the agent could not do its work."""
        self.needs_script = False
        self.is_following = False
        self.last_words = ""
        """The agent's last line that is none of the protocol's: a shell's complaint, usually."""

    def output(self, content: bytes) -> bytes:
        """Take bytes of the log; return what is to be passed on: all but the marker and what comes after it."""
        self.received += len(content)
        if self.marker_seen:
            return b""
        text = self._held + content
        found = text.find(self._marker)
        if found >= 0:
            self.marker_seen = True
            self._held = b""
            return text[:found]
        held = _overlap(text, self._marker)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def rest(self) -> bytes:
        """Return bytes that were held back as a possible beginning of the marker, when nothing more will come."""
        rest, self._held = self._held, b""
        return b"" if self.marker_seen else rest

    def told(self, content: bytes) -> None:
        """Take bytes of the agent's lines."""
        *lines, self._lines = (self._lines + content).split(b"\n")
        self._lines = self._lines[:_LONGEST_LINE]
        for line in lines:
            self._line(line[:_LONGEST_LINE].decode("utf-8", "replace"))

    def acknowledged(self) -> tuple[int, int] | None:
        """Return the next segment and the bytes before it if whole segments have come since the last call."""
        moved = False
        while self.segment in self._totals and self.received >= self._totals[self.segment]:
            self.base = self._totals.pop(self.segment)
            self.segment += 1
            moved = True
        return (self.segment, self.base) if moved else None

    def new_connection(self) -> None:
        """Forget what belongs to a connection: an unfinished line, a half-told result."""
        self._lines, self._section = b"", ""
        self._reading = _empty_reading()
        self._exit_code = None
        self.needs_script = self.is_following = False

    def ended(self, *, give_up_log: bool = False) -> ScriptEnd | None:
        """Return the script's end once its exit code and the whole log are here, or the log is given up."""
        whole = self.marker_seen
        if self._exit_code is None or not (whole or give_up_log or self.is_broken):
            return None
        after = self._reading["after"]
        peaks = [
            line.removeprefix("memory.working_set_peak ") for line in after if line.startswith("memory.working_set_peak ")
        ]
        return ScriptEnd(
            exit_code=self._exit_code,
            before=parse_counters([*self._reading["before"]]),
            after=parse_counters([*after]),
            working_set_peak_bytes=parse_count(peaks[0]) if peaks else 0,
            log_is_whole=whole,
        )

    def _line(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        match word:
            case "need":
                self.needs_script = True
            case "following":
                self.is_following = True
            case "segment":
                number, _, total = rest.partition(" ")
                if number.isdecimal() and total.isdecimal() and self._is_due(int(number)):
                    self._totals[int(number)] = int(total)
            case "counters":
                self._section = rest if rest in self._reading else ""
                self._reading[self._section].clear()
            case "exit":
                self._exit_code = int(rest) if rest.isdecimal() and len(rest) <= 3 else None
            case "broken":
                self.is_broken = True
            case "fault":
                self.fault = rest
            case "lost":
                self.last_words = rest
            case _:
                self._reading[self._section].append(line)
                self.last_words = line

    def _is_due(self, segment: int) -> bool:
        return self.segment <= segment < self.segment + _MOST_SEGMENTS


def _empty_reading() -> dict[str, deque[str]]:
    """Return room for what the agent says before a script, after it, and else."""
    return {section: deque(maxlen=_MOST_LINES) for section in ("", "before", "after")}


def _overlap(text: bytes, marker: bytes) -> int:
    """Return how many bytes at the end of the text may be the marker's beginning."""
    for length in range(min(len(text), len(marker) - 1), 0, -1):
        if text.endswith(marker[:length]):
            return length
    return 0
