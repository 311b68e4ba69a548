"""Numbers beyond all machines, and what is no number, do not reach the arithmetic."""

import math

import msgspec
import pytest

from buildjob.report.clamp import clamp_document, clamp_numbers
from buildjob.telemetry import Machine, MemoryKill, Totals
from tests.labs.telemetry_samples import GIB, MIB, change, sample


def test_an_ordinary_document_stays_as_it_is() -> None:
    assert clamp_numbers(sample()) == sample()


def test_figures_that_can_be_true_together_stay_as_they_are() -> None:
    document = clamp_document(sample())
    assert clamp_document(document) == document
    assert document.totals == sample().totals
    assert [phase.cpu_seconds for phase in document.phases] == [phase.cpu_seconds for phase in sample().phases]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"memory_working_set_peak_bytes": 3 * GIB}, {"memory_working_set_peak_bytes": GIB}),
        ({"memory_working_set_peak_bytes": 0}, {"memory_working_set_peak_bytes": None}),
        (
            {"memory_working_set_peak_bytes": MIB, "memory_anonymous_peak_bytes": 2 * MIB},
            {"memory_anonymous_peak_bytes": MIB},
        ),
        ({"wall_seconds": -5.0}, {"wall_seconds": 0.0, "cpu_seconds": 0.0}),
        ({"wall_seconds": 1e11}, {"wall_seconds": 0.0}),
        ({"wall_seconds": 10.0, "cpu_seconds": 35.0}, {"cpu_seconds": 20.0}),
        ({"wall_seconds": 10.0, "memory_pressure_seconds": 12.0}, {"memory_pressure_seconds": 10.0}),
        ({"wall_seconds": 10.0, "cpu_throttled_seconds": 12.0}, {"cpu_throttled_seconds": 12.0}),
        ({"wall_seconds": 10.0, "cpu_throttled_seconds": 25.0}, {"cpu_throttled_seconds": 20.0}),
        ({"disk_peak_bytes": 1 << 60}, {"disk_peak_bytes": None}),
        ({"written_bytes": -1, "read_bytes": 0}, {"written_bytes": None, "read_bytes": 0}),
        ({"process_peak": 0}, {"process_peak": None}),
    ],
)
def test_totals_are_what_the_machine_and_the_time_allow(given: dict[str, float], shown: dict[str, float | None]) -> None:
    totals = change(Totals(wall_seconds=10.0), **given)
    found = clamp_document(sample(machine=Machine(cpus=2, memory_bytes=GIB), asked=msgspec.UNSET, totals=totals)).totals
    assert {name: getattr(found, name) for name in shown} == shown


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
