"""Numbers beyond all machines, and what is no number, do not reach the arithmetic."""

import math

from buildjob.report.clamp import clamp_numbers
from buildjob.telemetry import Machine, MemoryKill
from tests.labs.telemetry_samples import change, sample


def test_an_ordinary_document_stays_as_it_is() -> None:
    assert clamp_numbers(sample()) == sample()


def test_integers_and_floats_are_cut_to_a_bound() -> None:
    machine = clamp_numbers(
        Machine(cpus=-(10**400), memory_bytes=10**400, cpu_limit_cores=math.inf, memory_limit_bytes=None)
    )
    assert machine == Machine(cpus=-(1 << 60), memory_bytes=1 << 60, cpu_limit_cores=1e12, memory_limit_bytes=None)


def test_what_is_no_number_is_zero_also_in_lists() -> None:
    document = sample()
    samples = change(document.samples, cpu_cores=[math.nan, -math.inf, 1.0])
    assert clamp_numbers(change(document, samples=samples)).samples.cpu_cores == [0.0, -1e12, 1.0]


def test_flags_and_texts_are_no_numbers() -> None:
    kill = MemoryKill(process="1", inferred=True, limit_bytes=None, at_seconds=1.0)
    assert clamp_numbers(kill).inferred is True
    assert clamp_numbers([kill]) == [kill]
    assert clamp_numbers(None) is None
