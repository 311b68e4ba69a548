"""The driver's position in a script's output, and what the agent's bytes mean. Pure: bytes in, values out.

Output arrives in order on one stream, agent lines on another, and either may be lost with the connection. So each line gives
absolute numbers, and a position in bytes is all that a new connection needs.
"""

from collections import deque

import msgspec

from executor.counters import Counters, parse_count, parse_counters
from executor.pod_agent import COUNTERS, end_marker

_LONGEST_LINE = 500
_MOST_LINES = 200  # that one reading of the counters may have
_MOST_SEGMENTS = 10_000  # announced before their bytes are read; the lines come from the job's own container


class NeedScript(msgspec.Struct, frozen=True):
    """The agent expects the script's bytes."""


class Following(msgspec.Struct, frozen=True):
    """The script was started; from here on the agent reads the driver's lines."""


class Output(msgspec.Struct, frozen=True):
    """Bytes to pass on."""

    content: bytes


class Acknowledge(msgspec.Struct, frozen=True):
    """Whole segments have arrived: the agent may delete them."""

    segment: int
    """The first that has not wholly arrived."""
    total: int
    """Bytes before it."""


class Fault(msgspec.Struct, frozen=True):
    """The script cannot run in this image."""

    message: str


class Complaint(msgspec.Struct, frozen=True):
    """A line outside the protocol, such as a shell's error message, or why the script's end cannot be known."""

    message: str


class Exited(msgspec.Struct, frozen=True):
    """The script's exit code is known; the end of its log has not arrived yet."""


class ScriptEnd(msgspec.Struct, frozen=True, kw_only=True):
    """A script that has ended, as its exit-code file says."""

    exit_code: int
    signal: int = 0
    """The signal that has ended the script's shell; 0 if it has ended by itself."""
    before: Counters
    after: Counters
    working_set_peak_bytes: int
    """Peak of the container since its start; 0 if unknown."""
    log_is_whole: bool


Received = NeedScript | Following | Output | Acknowledge | Fault | Complaint | Exited | ScriptEnd


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where a new connection begins; the names are the arguments of the agent's `run`."""

    segment: int = 0
    """First segment that has not wholly arrived."""
    base: int = 0
    """Bytes before that segment."""
    received: int = 0
    """Bytes of the log that have arrived, the marker included."""


class StreamState:
    """The state of following one script. Invariant: `received` bytes have been returned or held back, each once."""

    def __init__(self, stage_folder: str) -> None:
        self._marker = end_marker(stage_folder)
        self._position = Position()
        self._held = b""
        self._marker_seen = False
        self._totals: dict[int, int] = {}
        self._is_broken = False
        self.new_connection()

    @property
    def position(self) -> Position:
        """What has arrived so far."""
        return self._position

    def new_connection(self) -> None:
        """Forget what belongs to a connection: an unfinished line, a half-written result."""
        self._line_begin = b""
        self._section = ""
        self._reading = {section: deque[str](maxlen=_MOST_LINES) for section in ("before", "after")}
        self._signal = 0
        self._exit_code: int | None = None
        self._is_following = False

    def take_output(self, content: bytes) -> list[Received]:
        """Take bytes of the script's log; return what follows from them, in the order in which to act."""
        received = self._position.received + len(content)
        self._position = msgspec.structs.replace(self._position, received=received)
        own = self._own_output(content)
        return [*([Output(own)] if own else []), *self._acknowledged(), *self._end()]

    def take_lines(self, content: bytes) -> list[Received]:
        """Take bytes of the agent's lines; return what follows from them: of many of a kind, only the last."""
        *lines, rest = (self._line_begin + content).split(b"\n")
        self._line_begin = rest[:_LONGEST_LINE]
        found: dict[type, Received] = {}
        for line in lines:
            received = self._line(line[:_LONGEST_LINE].decode("utf-8", "replace"))
            if received is not None:
                found[type(received)] = received
        return [*found.values(), *self._acknowledged(), *self._end()]

    def give_up_log(self) -> list[Received]:
        """Return the held-back output and the end of a script that has exited, although its log is not whole."""
        return self._end(gives_up_log=True)

    def rest(self) -> bytes:
        """Return bytes that were held back as a possible beginning of the marker, when nothing more will arrive."""
        rest, self._held = self._held, b""
        return rest

    def _own_output(self, content: bytes) -> bytes:
        """Return the script's own bytes: nothing of the marker, nothing after it."""
        if self._marker_seen:
            return b""
        text = self._held + content
        found = text.find(self._marker)
        if found >= 0:
            self._marker_seen, self._held = True, b""
            return text[:found]
        kept = len(text) - _overlap(text, self._marker)
        self._held = text[kept:]
        return text[:kept]

    def _acknowledged(self) -> list[Received]:
        """Return an acknowledgment if whole segments have arrived since the last one."""
        before = self._position.segment
        while (total := self._totals.get(self._position.segment)) is not None and self._position.received >= total:
            del self._totals[self._position.segment]
            self._position = msgspec.structs.replace(self._position, segment=self._position.segment + 1, base=total)
        moved = self._position.segment > before
        return [Acknowledge(self._position.segment, self._position.base)] if moved and self._is_following else []

    def _end(self, *, gives_up_log: bool = False) -> list[Received]:
        """Return the script's end once its exit code and the whole log are here, or the log can never be whole."""
        if self._exit_code is None:
            return []
        if not (self._marker_seen or self._is_broken or gives_up_log):
            return [Exited()]
        held = self.rest()
        after = self._reading["after"]
        peaks = [value for name, _, value in (line.partition(" ") for line in after) if name == "memory.working_set_peak"]
        end = ScriptEnd(
            exit_code=self._exit_code,
            signal=self._signal,
            before=parse_counters([*self._reading["before"]]),
            after=parse_counters([*after]),
            working_set_peak_bytes=parse_count(peaks[0]) if peaks else 0,
            log_is_whole=self._marker_seen,
        )
        return [*([Output(held)] if held else []), end]

    def _line(self, line: str) -> Received | None:  # noqa: C901 (the table of `pod_agent.AGENT_LINES`)
        """Take one agent line; return what it means for the driver now."""
        keyword, _, rest = line.partition(" ")
        match keyword:
            case "need":
                return NeedScript()
            case "following":
                self._is_following = True
                return Following()
            case "segment":
                self._announce(*rest.partition(" ")[::2])
            case "counters":
                self._section = rest
                if rest in self._reading:
                    self._reading[rest].clear()
            case "signal":
                self._signal = int(rest) if rest.isdecimal() and len(rest) <= 2 else 0
            case "exit":
                self._exit_code = int(rest) if rest.isdecimal() and len(rest) <= 3 else None
            case "broken":
                self._is_broken = True
            case "fault":
                return Fault(rest)
            case "lost":
                return Complaint(rest)
            case "beat":
                pass
            case name if name.startswith(COUNTERS):
                if self._section in self._reading:
                    self._reading[self._section].append(line)
            case _:
                return Complaint(line)
        return None

    def _announce(self, segment: str, total: str) -> None:
        """Note where a segment ends, if it may be one of the next."""
        first = self._position.segment
        if segment.isdecimal() and total.isdecimal() and first <= int(segment) < first + _MOST_SEGMENTS:
            self._totals[int(segment)] = int(total)


def _overlap(text: bytes, marker: bytes) -> int:
    """Return how many bytes at the end of the text may be the marker's beginning."""
    for length in range(min(len(text), len(marker) - 1), 0, -1):
        if text.endswith(marker[:length]):
            return length
    return 0
