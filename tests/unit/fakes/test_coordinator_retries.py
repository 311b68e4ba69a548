"""Which failed jobs GitLab runs again."""

from typing import Any

import pytest

from tests.fakes.coordinator.jobs import Update
from tests.fakes.coordinator.retries import is_retried

SYSTEM = Update(state="failed", reason="runner_system_failure")


def _script(code: int) -> Update:
    return Update(state="failed", reason="script_failure", exit_code=code)


@pytest.mark.parametrize(
    ("rules", "end", "retries", "expected"),
    [
        ({"max": 2}, _script(1), 0, True),
        ({"max": 2}, _script(1), 1, True),
        ({"max": 2}, _script(1), 2, False),
        ({"max": 2}, Update(state="success"), 0, False),
        ({}, SYSTEM, 0, False),
        ({"max": 1, "when": "runner_system_failure"}, SYSTEM, 0, True),
        ({"max": 1, "when": ["runner_system_failure", "api_failure"]}, _script(137), 0, False),
        ({"max": 1, "when": ["always"]}, _script(1), 0, True),
        ({"max": 1, "exit_codes": 137}, _script(137), 0, True),
        ({"max": 1, "exit_codes": [4, 137]}, _script(1), 0, False),
        ({"max": 1, "exit_codes": [4, 137]}, SYSTEM, 0, False),
        ({"max": 1, "when": ["runner_system_failure"], "exit_codes": [4, 137]}, _script(4), 0, True),
        ({"max": 1, "when": ["runner_system_failure"], "exit_codes": [4, 137]}, SYSTEM, 0, True),
    ],
)
def test_a_reason_or_an_exit_code_is_enough(rules: dict[str, Any], end: Update, retries: int, *, expected: bool) -> None:
    assert is_retried(rules, end, retries=retries) is expected
