"""One call of a verb by GitLab Runner.

The contract: gitlab-runner docs/executors/custom.md and executors/custom/custom.go, 19.4.
"""

from pathlib import Path

import msgspec

from executor.attempt import Attempt
from executor.environment import Invocation
from executor.errors import SettingsError
from executor.log import Log
from executor.settings import Settings


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What `prepare`, `run` and `cleanup` get, on each backend."""

    invocation: Invocation
    settings: Settings
    job_log: Log
    """The job's log in `prepare` and `run`, the manager's in `cleanup`."""
    attempt: Attempt | None = None
    """None in `prepare`, and after a `prepare` that has not got as far as to keep one."""
    script: Path = Path()
    """`run` only."""
    stage: str = ""
    """`run` only: the build stage."""


def read_script(call: Call) -> bytes:
    """Return the script that `run` was given. Raises SettingsError if its file can't be read: no job can choose it."""
    try:
        return call.script.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"script {call.script}: {error.strerror}; GitLab Runner names it as the first argument of `run`"
        ) from error
