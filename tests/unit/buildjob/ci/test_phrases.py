"""What ends a failed job's log."""

from typing import Any

import pytest

from buildjob.ci.phrases import last_line
from buildjob.telemetry import FetchFault, FirstError
from tests.labs.telemetry_samples import sample

_FAULTS = [
    FetchFault(url="a", reason="r", may_pass=False, kind="unknown"),
    FetchFault(url="b", reason="r", may_pass=True, kind="timeout"),
]


@pytest.mark.parametrize(
    ("outcome", "changes", "end"),
    [
        ("build_failed", {"first_error": FirstError(line=1, text="a {b} c")}, "error found in build log: a {b} c"),
        ("build_failed", {"first_error": None}, "error found in build log: its end says most"),
        ("fetch_failed", {"fetch_faults": _FAULTS}, "The read operation timed out"),
        ("fetch_failed", {"fetch_faults": []}, "(exit code 1)"),
        ("publish_failed", {}, "(exit code 1)"),
    ],
)
def test_it_says_how_the_job_ended(outcome: str, changes: dict[str, Any], end: str) -> None:
    document = sample(outcome=outcome, exit_code=1, **changes)
    line = last_line(document)
    assert line.startswith(f"{document.spec.name}@{document.spec.version}/")
    assert f": {outcome} (exit code 1)" in line
    assert line.endswith(end)
