"""The phases of a build, each with its wall time, CPU time and memory. Pure; bounded, since a log may name any number."""

import msgspec

from buildjob.telemetry import Phase

_MOST_PHASES = 200
_DIGITS = 3


class _Open(msgspec.Struct):
    """A phase as it grows; without a name it is the time between phases."""

    name: str
    begun: float
    cpu_begun: float
    peak_bytes: int | None
    ended: float | None = None
    cpu_ended: float = 0.0


class Phases:
    """Phases in order of time, at most one of them current. Times are seconds since the start of the run."""

    def __init__(self) -> None:
        self._phases: list[_Open] = []

    def is_new(self, name: str) -> bool:
        """Return whether this name begins a phase: not if it is the current one, and not after the 200th phase."""
        current = self._phases[-1].name if self._phases else ""
        return name != current and len(self._phases) < _MOST_PHASES

    def begin(self, name: str, *, at: float, cpu_seconds: float, memory_bytes: int | None) -> None:
        """End the current phase and begin the next; an empty name begins none."""
        self.end(at=at, cpu_seconds=cpu_seconds)
        if self._phases:
            at, cpu_seconds = max(at, self._phases[-1].ended or 0.0), max(cpu_seconds, self._phases[-1].cpu_ended)
        self._phases.append(_Open(name, max(at, 0.0), cpu_seconds, memory_bytes))

    def end(self, *, at: float, cpu_seconds: float) -> None:
        """End the current phase, if there is one."""
        if self._phases and self._phases[-1].ended is None:
            self._phases[-1].ended = max(at, self._phases[-1].begun)
            self._phases[-1].cpu_ended = max(cpu_seconds, self._phases[-1].cpu_begun)

    def keep_peak(self, memory_bytes: int) -> None:
        """Keep the peak of the current phase."""
        if self._phases and self._phases[-1].ended is None:
            self._phases[-1].peak_bytes = max(self._phases[-1].peak_bytes or 0, memory_bytes)

    def phases(self, *, now: float, cpu_seconds: float) -> list[Phase]:
        """Return the phases with names; the current one as if it ended now."""
        return [
            Phase(
                name=phase.name,
                start_seconds=round(phase.begun, _DIGITS),
                wall_seconds=_span(phase.begun, now if phase.ended is None else phase.ended),
                cpu_seconds=_span(phase.cpu_begun, cpu_seconds if phase.ended is None else phase.cpu_ended),
                # Processes have memory: 0 means that no reading came in time.
                memory_working_set_peak_bytes=phase.peak_bytes or None,
            )
            for phase in self._phases
            if phase.name
        ]


def _span(begun: float, ended: float) -> float:
    """Return a difference of rounded figures: the sum over phases that follow each other is that of the whole, exactly."""
    return round(max(round(ended, _DIGITS) - round(begun, _DIGITS), 0.0), _DIGITS)
