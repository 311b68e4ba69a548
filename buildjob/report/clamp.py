"""Clamps the numbers of any telemetry document: each becomes finite, and within what its machine and its run can have had.

A document may come from elsewhere and hold a million digits or, in memory, NaN. Page, terminal table, explanation and
CDash's documents are made of a clamped one, and can calculate with any number of it. Texts stay as they are.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar, cast

import msgspec
from msgspec.structs import replace

from buildjob.report.limits import Limits, rate, read_limits
from buildjob.telemetry import Asked, Phase, Telemetry

_MOST_INTEGER = 1 << 60
_MOST_FLOAT = 1e12
_MOST_SECONDS = 1e9
_MOST_CORES = 10_000.0
_MOST_DISK_BYTES = 1 << 50
# How far a limit is exceeded while it holds: charges that the kernel cannot refuse, quotas whose periods begin anew.
_SLACK = 1.05
_SLACK_OF_SAMPLE = 1.15

_Value = TypeVar("_Value")


def clamp_numbers(value: _Value) -> _Value:
    """Return a copy in which numbers beyond all machines become a bound, and NaN becomes 0; the shape stays."""
    return cast("_Value", _clamp(value))


def clamp_document(document: Telemetry) -> Telemetry:
    """Return a document whose figures can be true together: none negative, none beyond the machine, phases one by one."""
    document = _with_limits_that_held(clamp_numbers(document))
    machine, totals, samples = document.machine, document.totals, document.samples
    limits = read_limits(document)
    most_bytes = min(limits.memory_limit_bytes or _MOST_INTEGER, _above_zero(machine.memory_bytes) or _MOST_INTEGER)
    most_cores = float(machine.cpus) if machine.cpus > 0 else _MOST_CORES
    wall_seconds = totals.wall_seconds if 0 < totals.wall_seconds < _MOST_SECONDS else 0.0
    run_seconds = wall_seconds or _MOST_SECONDS  # a document may lack it
    working_set = _memory(totals.memory_working_set_peak_bytes, most_bytes)
    anonymous = _memory(totals.memory_anonymous_peak_bytes, most_bytes)
    return replace(
        document,
        totals=replace(
            totals,
            wall_seconds=wall_seconds,
            cpu_seconds=_between(totals.cpu_seconds, wall_seconds * most_cores),
            memory_working_set_peak_bytes=working_set,
            # Read a moment apart: what cannot be given back is a part of the working set.
            memory_anonymous_peak_bytes=min(anonymous, working_set) if anonymous and working_set else anonymous,
            # Swap space lies on disks: neither limit nor memory bounds it.
            memory_swap_peak_bytes=_counted(totals.memory_swap_peak_bytes, most=_MOST_DISK_BYTES),
            memory_peak_bytes=_memory(totals.memory_peak_bytes, most_bytes),
            memory_pressure_seconds=_within(totals.memory_pressure_seconds, wall_seconds),
            cpu_throttled_seconds=_within(totals.cpu_throttled_seconds, wall_seconds * most_cores),
            read_bytes=_counted(totals.read_bytes),
            written_bytes=_counted(totals.written_bytes),
            disk_peak_bytes=_counted(totals.disk_peak_bytes, most=_MOST_DISK_BYTES),
            process_peak=_above_zero(totals.process_peak),
        ),
        phases=list(_one_by_one(document.phases, run_seconds=run_seconds, most_cores=most_cores, peak=working_set)),
        samples=replace(
            samples,
            hole_seconds=_between(samples.hole_seconds, run_seconds),
            time_seconds=[_between(time, run_seconds) for time in samples.time_seconds],
            memory_bytes=[size if size is None else min(max(size, 0), most_bytes) for size in samples.memory_bytes],
            cpu_cores=[_cores_of_sample(cores, most_cores, limits) for cores in samples.cpu_cores],
        ),
        top_processes=[
            replace(
                process,
                memory_peak_bytes=_memory(process.memory_peak_bytes, most_bytes) or 0,
                cpu_seconds=_between(process.cpu_seconds, wall_seconds * most_cores),
            )
            for process in document.top_processes
        ],
        memory_kills=[replace(kill, at_seconds=_between(kill.at_seconds, run_seconds)) for kill in document.memory_kills],
    )


def _cores_of_sample(cores: float | None, most_cores: float, limits: Limits) -> float | None:
    """Return the cores of a sample. A second has up to 11 of a quota's periods, of which 10 are its own."""
    if (
        cores is not None
        and limits.has_cpu_limit
        and limits.cores
        and limits.cores < cores <= limits.cores * _SLACK_OF_SAMPLE
    ):
        return limits.cores
    return _within(cores, most_cores)


def _with_limits_that_held(document: Telemetry) -> Telemetry:
    """Return the document without a limit that the run has exceeded: it was another one meanwhile."""
    machine, asked, totals = document.machine, document.asked, document.totals
    used_bytes = 0 if totals.memory_is_estimate else totals.memory_working_set_peak_bytes or 0
    used_cores = rate(totals.cpu_seconds, totals.wall_seconds) or 0.0

    def held(limit: int | None) -> int | None:
        return limit if limit and used_bytes <= limit * _SLACK else None

    cores = machine.cpu_limit_cores
    return replace(
        document,
        asked=replace(asked, memory_limit_bytes=held(asked.memory_limit_bytes)) if isinstance(asked, Asked) else asked,
        machine=replace(
            machine,
            memory_limit_bytes=held(machine.memory_limit_bytes),
            cpu_limit_cores=cores if cores and used_cores <= cores * _SLACK else None,
        ),
    )


def _one_by_one(phases: Sequence[Phase], *, run_seconds: float, most_cores: float, peak: int | None) -> Iterator[Phase]:
    """Yield the phases, each begun when the one before it has ended, and ended within the run."""
    free_from = 0.0
    for phase in phases:
        start = min(max(phase.start_seconds, free_from), run_seconds)
        free_from = min(max(phase.start_seconds + phase.wall_seconds, start), run_seconds)
        size = phase.memory_working_set_peak_bytes
        yield replace(
            phase,
            start_seconds=start,
            wall_seconds=free_from - start,
            cpu_seconds=_within(phase.cpu_seconds, (free_from - start) * most_cores),
            memory_working_set_peak_bytes=_memory(size, peak or _MOST_INTEGER),
        )


def _memory(size: int | None, most_bytes: int) -> int | None:
    """Return a size of memory; a build has some, so that nothing means that it was not measured."""
    return min(size, most_bytes) if size and size > 0 else None


def _above_zero(number: int | None) -> int | None:
    return number if number and number > 0 else None


def _counted(number: int | None, *, most: int = _MOST_INTEGER) -> int | None:
    return number if number is not None and 0 <= number <= most else None


def _between(value: float, most: float) -> float:
    return min(max(value, 0), most)


def _within(value: float | None, most: float) -> float | None:
    return None if value is None else _between(value, most)


def _clamp(value: object) -> object:
    match value:
        case bool() | str():
            return value
        case int():
            return min(max(value, -_MOST_INTEGER), _MOST_INTEGER)
        case float():
            return 0.0 if math.isnan(value) else min(max(value, -_MOST_FLOAT), _MOST_FLOAT)
        case list():
            return [_clamp(item) for item in value]
        case msgspec.Struct():
            fields = value.__struct_fields__
            return msgspec.structs.replace(value, **{name: _clamp(getattr(value, name)) for name in fields})
        case _:
            return value
