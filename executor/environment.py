"""What GitLab Runner gives each call in the environment: the one module of the driver that reads it.

`CUSTOM_ENV_*` are the job's variables, written by users: never settings. Source: gitlab-runner executors/custom/custom.go,
api/const.go.
"""

import os
from pathlib import Path

import msgspec

from executor.errors import SettingsError
from executor.warm import RUNNER_PROCESS

_PREFIX = "CUSTOM_ENV_"


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """One call by the Runner."""

    folder: Path
    """The attempt's private folder ($TMPDIR), mode 0700, the same for all calls of one attempt."""
    build_failure: int
    """Exit code that counts as the job's own failure."""
    system_failure: int
    """Exit code that counts as a system failure, which the Runner retries."""
    exit_code_file: Path | None
    """The file for the script's exit code, to be written before every build failure; None before Runner 17.9."""
    response_file: Path
    """The job's payload, from GitLab itself."""
    variables: dict[str, str]
    """The job's variables, expanded; users may override any of them."""
    runner_process: int
    """Process id of the Runner."""

    @property
    def attempt(self) -> str:
        """The attempt's id: the name of its folder, a new one for each attempt."""
        return self.folder.name

    def variable(self, name: str) -> str:
        """Return a job variable, "" if it is not set."""
        return self.variables.get(name, "")


def read_invocation(environ: dict[str, str]) -> Invocation:
    """Return what the Runner gave this call. Raises SettingsError naming a variable that is missing."""
    for name in ("TMPDIR", "JOB_RESPONSE_FILE"):
        if not environ.get(name):
            raise SettingsError(f"{name} is not set: GitLab Runner sets it when it calls the custom executor")
    code_file = environ.get("BUILD_EXIT_CODE_FILE")
    return Invocation(
        folder=Path(environ["TMPDIR"]),
        build_failure=exit_code(environ, "BUILD_FAILURE_EXIT_CODE", default=1),
        system_failure=exit_code(environ, "SYSTEM_FAILURE_EXIT_CODE", default=2),
        exit_code_file=Path(code_file) if code_file else None,
        response_file=Path(environ["JOB_RESPONSE_FILE"]),
        variables={name.removeprefix(_PREFIX): value for name, value in environ.items() if name.startswith(_PREFIX)},
        runner_process=int(environ.get(RUNNER_PROCESS) or os.getppid()),
    )


def exit_code(environ: dict[str, str], name: str, *, default: int) -> int:
    """Return one of the Runner's exit codes; the Runner sets them to 1 and 2."""
    text = environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else default


def build_failure(invocation: Invocation, code: int) -> int:
    """Write the job's exit code for the Runner, over that of an earlier stage, and return the driver's."""
    if invocation.exit_code_file is not None:
        invocation.exit_code_file.write_text(f"{code}\n", encoding="ascii")
    return invocation.build_failure


def process_environment() -> dict[str, str]:
    """Return this process's environment."""
    return dict(os.environ)  # noqa: TID251
