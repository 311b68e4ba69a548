"""The agent's exit codes are distinct, and the most severe outcome decides."""

import pytest

from buildjob.outcome import EXIT_CODES, Outcome, combined, exit_code, worst


def test_every_outcome_has_its_own_exit_code_but_the_two_successes() -> None:
    failures = {outcome: code for outcome, code in EXIT_CODES.items() if code}
    assert set(failures) == set(Outcome) - {Outcome.BUILT, Outcome.ALREADY_THERE, Outcome.INTERRUPTED}
    assert len(set(failures.values())) == len(failures)


def test_an_interrupted_run_ends_like_a_shell_would() -> None:
    assert exit_code(Outcome.INTERRUPTED, signal_number=15) == 143


@pytest.mark.parametrize(
    ("outcomes", "most_severe"),
    [
        ([], Outcome.ALREADY_THERE),
        ([Outcome.BUILT, Outcome.ALREADY_THERE], Outcome.BUILT),
        ([Outcome.BUILD_FAILED, Outcome.DEPENDENCY_FAILED], Outcome.BUILD_FAILED),
        ([Outcome.MEMORY_KILLED, Outcome.DEPENDENCY_FAILED], Outcome.MEMORY_KILLED),
    ],
)
def test_the_most_severe_outcome_decides(outcomes: list[Outcome], most_severe: Outcome) -> None:
    assert worst(outcomes) is most_severe


def test_every_outcome_has_a_place_in_the_order() -> None:
    assert {worst([outcome]) for outcome in Outcome} == set(Outcome)


def test_a_broken_dependency_counts_through_its_dependents_and_a_curable_one_by_itself() -> None:
    roots = [Outcome.BUILT, Outcome.DEPENDENCY_FAILED]
    assert combined(roots=roots, dependencies=[Outcome.BUILD_FAILED, Outcome.BUILT]) is Outcome.DEPENDENCY_FAILED
    assert combined(roots=roots, dependencies=[Outcome.MEMORY_KILLED]) is Outcome.MEMORY_KILLED
    assert combined(roots=[], dependencies=[]) is Outcome.ALREADY_THERE
