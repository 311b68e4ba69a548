"""Which packages are registered as broken."""

import pytest

from buildjob.ci.rebuild import does_not_build
from buildjob.outcome import Outcome
from buildjob.telemetry import BuildProcess
from tests.labs.telemetry_samples import sample

_FAILED, _KILLED = BuildProcess(exit_code=1), BuildProcess(exit_code=None, signal="SIGKILL")


@pytest.mark.parametrize(
    ("outcome", "ended", "is_broken"),
    [
        (Outcome.BUILD_FAILED, _FAILED, True),
        (Outcome.BUILD_FAILED, _KILLED, False),
        *((outcome, _FAILED, False) for outcome in Outcome if outcome is not Outcome.BUILD_FAILED),
    ],
)
def test_only_a_package_that_does_not_build_is_broken(outcome: Outcome, ended: BuildProcess, *, is_broken: bool) -> None:
    assert does_not_build(sample(outcome=outcome.value, build_process=ended)) == is_broken
