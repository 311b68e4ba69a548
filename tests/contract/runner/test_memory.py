"""Clause: memory kills, and what GitLab is told (architecture, section 6; R9).

On the fake cluster a program counts a kill in its container's group and dies, as the kernel has it; the real kernel's are in
tests/e2e/test_memory.py.
"""

import pytest

from tests.fakes.runner import Outcome
from tests.labs.backends.lab import ContractLab, outcome_of

pytestmark = pytest.mark.not_on("local", "cluster", reason="only an image of the fake cluster has eat-memory")
SMALL = 'memory_limit = "64Mi"\nmemory_limit_overwrite_max_allowed = "128Mi"'


def retried(lab: ContractLab) -> Outcome:
    """Run a job that is killed for memory, then the same job again, under a new id; return the second, the first before."""
    job = lab.job(["eat-memory || exit 3"], after=["echo after"])
    first = lab.runner(SMALL).run(job)
    assert (first.reason, first.exit_code) == ("script_failure", 137), first.text
    assert "command terminated with exit code 137: a process was killed for memory (limit 64 MiB, peak" in first.text
    assert "the script itself ended with 3" in first.text
    assert "A retry of this job gets 96 MiB (retry: exit_codes: [137])" in first.text
    assert "\nafter\n" in first.text
    return lab.runner(SMALL).run(lab.job(["echo attempt $SPACK_FARM_JOB_ATTEMPT"], job_info=job["job_info"]))


@outcome_of(retried)
def test_a_killed_child_makes_137_and_the_next_attempt_gets_more(outcome: Outcome) -> None:
    assert outcome.state == "success", outcome.text
    assert "memory raised to 96 MiB: an earlier attempt of this job was killed at 64 MiB" in outcome.text
    assert "\nattempt 2\n" in outcome.text


@outcome_of(lambda lab: lab.runner(SMALL).run(lab.job(["eat-memory || true"])))
def test_a_kill_that_the_script_survives_is_a_success_with_a_warning(outcome: Outcome) -> None:
    assert outcome.state == "success", outcome.text
    assert "WARNING: a process was killed for memory in this script" in outcome.text


@outcome_of(lambda lab: lab.runner(f'{SMALL}\n[memory]\nkill = "retry"').run(lab.job(["eat-memory"])))
def test_the_policy_retry_makes_a_system_failure_while_a_bigger_size_is_left(outcome: Outcome) -> None:
    assert outcome.reason == "runner_system_failure", outcome.text
    assert "The next attempt gets 96 MiB" in outcome.text
