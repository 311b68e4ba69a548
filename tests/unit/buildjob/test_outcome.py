"""The agent's exit codes are distinct, and the gravest outcome wins."""

import pytest

from buildjob.outcome import EXIT_CODES, Outcome, exit_code, worst


def test_every_outcome_has_its_own_exit_code_but_the_two_successes() -> None:
    failures = {outcome: code for outcome, code in EXIT_CODES.items() if code}
    assert set(failures) == set(Outcome) - {Outcome.BUILT, Outcome.ALREADY_THERE, Outcome.INTERRUPTED}
    assert len(set(failures.values())) == len(failures)


def test_an_interrupted_run_ends_like_a_shell_would() -> None:
    assert exit_code(Outcome.INTERRUPTED, signal_number=15) == 143


@pytest.mark.parametrize(
    ("outcomes", "gravest"),
    [
        ([], Outcome.ALREADY_THERE),
        ([Outcome.BUILT, Outcome.ALREADY_THERE], Outcome.BUILT),
        ([Outcome.BUILD_FAILED, Outcome.DEPENDENCY_FAILED], Outcome.BUILD_FAILED),
        ([Outcome.MEMORY_KILLED, Outcome.DEPENDENCY_FAILED], Outcome.MEMORY_KILLED),
    ],
)
def test_the_gravest_outcome_decides(outcomes: list[Outcome], gravest: Outcome) -> None:
    assert worst(outcomes) is gravest


def test_every_outcome_has_a_place_in_the_order() -> None:
    assert {worst([outcome]) for outcome in Outcome} == set(Outcome)
