"""What was seen -> outcome: the table."""

import pytest

from buildjob.agent.classify import Evidence, classify
from buildjob.outcome import Outcome
from buildjob.process.child import Ended

FAILED = Ended(exit_code=1)

# fmt: off
CASES = {
    "exit 0": (Evidence(ended=Ended(exit_code=0)), Outcome.BUILT),
    "exit 0 although a child was killed for memory": (Evidence(ended=Ended(exit_code=0), memory_kills=1), Outcome.BUILT),
    "exit 1": (Evidence(ended=FAILED), Outcome.BUILD_FAILED),
    "a compiler was killed for memory": (Evidence(ended=FAILED, memory_kills=1), Outcome.MEMORY_KILLED),
    "killed for memory on a full disk": (Evidence(ended=FAILED, memory_kills=1, no_space=True), Outcome.MEMORY_KILLED),
    "the disk is full": (Evidence(ended=FAILED, no_space=True), Outcome.DISK_FULL),
    "a full disk breaks a fetch": (Evidence(ended=FAILED, no_space=True, fetch_failed=True), Outcome.DISK_FULL),
    "nothing could be fetched": (Evidence(ended=FAILED, fetch_failed=True), Outcome.FETCH_FAILED),
    "Spack broke before it began": (Evidence(ended=FAILED, began=False), Outcome.SPACK_UNUSABLE),
    "Spack raised what it does not know": (Evidence(ended=Ended(exit_code=3)), Outcome.SPACK_UNUSABLE),
    "Spack did nothing and is content": (Evidence(ended=Ended(exit_code=0), began=False), Outcome.ALREADY_THERE),
    "a command has no phases": (Evidence(ended=Ended(exit_code=0), began=False, is_spack=False), Outcome.BUILT),
    "a command fails without a phase": (Evidence(ended=FAILED, began=False, is_spack=False), Outcome.BUILD_FAILED),
    "a dependency was removed before the build began": (
        Evidence(ended=FAILED, began=False, lacks_dependency=True), Outcome.DEPENDENCY_FAILED,
    ),
    "a dependency was removed during the build": (Evidence(ended=FAILED, lacks_dependency=True), Outcome.BUILD_FAILED),
    "timed out while waiting": (Evidence(ended=Ended(exit_code=143, timed_out=True), began=False), Outcome.TIMED_OUT),
    "a command's own 3 is the command's": (Evidence(ended=Ended(exit_code=3), is_spack=False), Outcome.BUILD_FAILED),
    "a command that is not there": (Evidence(ended=Ended(exit_code=127), is_spack=False), Outcome.BUILD_FAILED),
    "timed out": (Evidence(ended=Ended(exit_code=143, timed_out=True), memory_kills=1), Outcome.TIMED_OUT),
    "stopped": (Evidence(ended=Ended(exit_code=143, stopped_by=15)), Outcome.INTERRUPTED),
    "stopped while it ended well": (Evidence(ended=Ended(exit_code=0, stopped_by=15)), Outcome.INTERRUPTED),
    "killed by somebody": (Evidence(ended=Ended(exit_code=137)), Outcome.BUILD_FAILED),
}
# fmt: on


@pytest.mark.parametrize("case", CASES)
def test_outcome_of(case: str) -> None:
    seen, outcome = CASES[case]
    assert classify(seen) is outcome
