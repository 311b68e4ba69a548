"""Whatever the kernel counts and whenever it is read: the figures of an observation can be true together."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildjob.measure.measurement import Measurement
from buildjob.telemetry import Machine
from tests.labs.made_up_machine import MIB, MadeUpMachine

_CPUS = 2
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["sample", "glance", "phase", "late phase"]),
        st.floats(0, 3),  # seconds since the step before
        st.fixed_dictionaries(
            {
                "usage": st.integers(0, 900),
                "inactive": st.integers(0, 900),
                "anonymous": st.integers(0, 900),
                "cpu": st.floats(0, 50),
            }
        ),
    ),
    max_size=8,
)


@pytest.mark.parametrize("version", ["v1", "v2"])
@settings(deadline=None, max_examples=12)
@given(_STEPS)
def test_no_observation_is_impossible(version: str, steps: list[tuple[str, float, dict[str, float]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machine = MadeUpMachine(Path(folder), version)
        where = Machine(cpus=_CPUS, memory_bytes=900 * MIB)
        measurement = Measurement(
            cgroup=machine.cgroup(), interval_seconds=1.0, note=lambda _: None, where=where, thread_time=lambda: 0.0
        )
        now = 100.0
        measurement.begin(now)
        measurement.begin_phase("spack-start", at=0.0, now=now)
        for number, (kind, after, use) in enumerate(steps):
            now += after
            machine.use(**use)
            if kind == "sample":
                measurement.sample(now, late_seconds=0.0)
            elif kind == "glance":
                measurement.glance(now)
            else:
                at = now - (0.9 if kind == "late phase" else 0.0)
                measurement.begin_phase(f"phase {number}", at=at, now=now)
        measurement.end(now)
        seen = measurement.observation(now, disk_peak_bytes=None)
    totals = seen.totals
    assert sum(phase.wall_seconds for phase in seen.phases) == pytest.approx(totals.wall_seconds, abs=1e-6)
    assert sum(phase.cpu_seconds or 0 for phase in seen.phases) == pytest.approx(totals.cpu_seconds, abs=1e-6)
    assert totals.cpu_seconds <= totals.wall_seconds * _CPUS + 0.003
    for phase in seen.phases:
        assert phase.cpu_seconds is not None
        assert phase.cpu_seconds <= phase.wall_seconds * _CPUS + 0.003
        assert (phase.memory_working_set_peak_bytes or 0) <= (totals.memory_working_set_peak_bytes or 0)
    assert all(cores is None or 0 <= cores <= _CPUS for cores in seen.samples.cpu_cores)
    assert (totals.memory_anonymous_peak_bytes or 0) <= (totals.memory_working_set_peak_bytes or 0) <= 900 * MIB
