"""The phases of a run as rows of figures: shares of the time that add up to 100 %, and no rate of an instant.

Pure, from a telemetry document with clamped numbers. Page and terminal table write the same rows.
"""

from collections.abc import Sequence

import msgspec

from buildjob.report.format import format_tenths
from buildjob.report.limits import rate, read_limits
from buildjob.telemetry import Phase, Telemetry

_WHOLE = 1000
"""Shares are counted in tenths of a percent."""
_HARDLY = 0.0005


class PhaseRow(msgspec.Struct, frozen=True, kw_only=True):
    """One phase, or what is not shown as one. None: not known."""

    name: str
    """Foreign text; `is_phase` tells it from words of ours."""
    is_phase: bool = True
    wall_seconds: float
    part: float | None = None
    """Of the run's time, from 0 to 1."""
    share: str = ""
    """The same in percent; over all rows it adds up to 100. Empty: not known."""
    cpu_seconds: float | None = None
    cores: float | None = None
    """On average; None if the phase is too short to tell."""
    memory_peak_bytes: int | None = None


def phase_rows(telemetry: Telemetry, *, most: int) -> list[PhaseRow]:
    """Return a row for each of the first `most` phases, one for all others, and one for the time outside of all phases.

    The last two appear if there is such time. Empty for a run without phases.
    """
    phases = telemetry.phases
    if not phases:
        return []
    cores = read_limits(telemetry).cores
    rows = [_row(phase, most_cores=cores) for phase in phases[:most]]
    if len(phases) > most:
        rows.append(_summed(phases[most:]))
    return _with_shares(rows, wall_seconds=telemetry.totals.wall_seconds)


def _row(phase: Phase, *, most_cores: float | None) -> PhaseRow:
    return PhaseRow(
        name=phase.name,
        wall_seconds=phase.wall_seconds,
        cpu_seconds=phase.cpu_seconds,
        cores=rate(phase.cpu_seconds, phase.wall_seconds, most=most_cores),
        memory_peak_bytes=phase.memory_working_set_peak_bytes,
    )


def _summed(phases: Sequence[Phase]) -> PhaseRow:
    return PhaseRow(
        name=f"and {len(phases):,} more", is_phase=False, wall_seconds=sum(phase.wall_seconds for phase in phases)
    )


def _with_shares(rows: list[PhaseRow], *, wall_seconds: float) -> list[PhaseRow]:
    """Add what the phases leave over, and the shares. Phases that take longer than the whole run have none."""
    known = sum(row.wall_seconds for row in rows)
    if wall_seconds <= 0 or known > wall_seconds * (1 + _HARDLY):
        return rows
    outside = wall_seconds - known
    if outside > wall_seconds * _HARDLY:
        rows = [*rows, PhaseRow(name="outside of phases", is_phase=False, wall_seconds=outside)]
    parts = [row.wall_seconds / max(wall_seconds, known) for row in rows]
    return [
        msgspec.structs.replace(row, part=part, share=format_tenths(tenths, is_zero=part == 0))
        for row, part, tenths in zip(rows, parts, _tenths(parts), strict=True)
    ]


def _tenths(parts: Sequence[float]) -> list[int]:
    """Return tenths of a percent that add up to 100 %: rounded down, and the rest given to those that lost most by it."""
    exact = [part * _WHOLE for part in parts]
    tenths = [int(value) for value in exact]
    lost = sorted(range(len(parts)), key=lambda index: tenths[index] - exact[index])
    for index in lost[: max(_WHOLE - sum(tenths), 0)]:
        tenths[index] += 1
    return tenths
