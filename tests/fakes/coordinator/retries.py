"""GitLab's rules for running a failed job again, by the job's `retry`. Pure.

Source: GitLab, "CI/CD YAML syntax reference", `retry`, `retry:when`, `retry:exit_codes`.
"""

from collections.abc import Mapping
from typing import Any

from tests.fakes.coordinator.jobs import Update


def is_retried(rules: Mapping[str, Any], end: Update, *, retries: int) -> bool:
    """Return whether a job that ended is run again. `rules` is its `retry`; `retries` counts those that it had already.

    One of the reasons or one of the exit codes is enough. Without either, each failure is a reason.
    """
    if end.state != "failed" or retries >= int(rules.get("max", 0)):
        return False
    codes = _list(rules.get("exit_codes", []))
    reasons = _list(rules.get("when", [] if codes else ["always"]))
    return "always" in reasons or end.reason in reasons or (end.reason == "script_failure" and end.exit_code in codes)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
