"""The job as GitLab describes it, decoded from the payload that the Runner gives.

Only the fields that the driver reads are declared. Source: gitlab-runner common/spec/spec.go, `Job`.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from executor.errors import SettingsError

_LARGEST = 64 << 20
_DEFAULT_TIMEOUT_SECONDS = 7200  # gitlab-runner common/consts.go, DefaultTimeout
_DEPTH = 4
_LONGEST_EXPANSION = 16 << 10
_MOST_PIECES = 10_000
_REFERENCE = re.compile(r"\$(?:\{(\w+)\}|(\w+))?")


class Variable(msgspec.Struct, frozen=True):
    """One job variable, not expanded."""

    key: str
    value: str = ""
    public: bool = False
    file: bool = False
    masked: bool = False

    @property
    def is_public(self) -> bool:
        """Whether it may be visible in the pod."""
        return self.public and not self.masked and not self.file


class KubernetesOptions(msgspec.Struct, frozen=True):
    """`image: kubernetes:` of a job."""

    user: str | int | None = None


class ExecutorOptions(msgspec.Struct, frozen=True):
    """`executor_opts` of an image."""

    kubernetes: KubernetesOptions | None = None


class Image(msgspec.Struct, frozen=True):
    """A container image; the name is expanded by the Runner."""

    name: str = ""
    entrypoint: list[str] | None = None
    pull_policy: list[str] | str | None = None
    executor_opts: ExecutorOptions | None = None


class Credential(msgspec.Struct, frozen=True):
    """The job's own access to an image registry."""

    type: str = ""
    url: str = ""
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Credential({self.url}, ***)"


class JobInfo(msgspec.Struct, frozen=True):
    """Name, pipeline and project of a job."""

    name: str = ""
    pipeline_id: int = 0
    project_id: int = 0
    project_name: str = ""
    project_full_path: str = ""
    namespace_id: int = 0


class GitInfo(msgspec.Struct, frozen=True):
    """The commit that is built."""

    ref: str = ""
    sha: str = ""
    before_sha: str = ""
    protected: bool | None = None


class Step(msgspec.Struct, frozen=True):
    """One part of the job's own script."""

    name: str = ""


class RunnerInfo(msgspec.Struct, frozen=True):
    """What the Runner must know about the job."""

    timeout: int = 3600
    """Seconds from the start of prepare; the Runner takes zero and less for its own default."""

    @property
    def timeout_seconds(self) -> int:
        """The time-out that the Runner applies."""
        return self.timeout if self.timeout > 0 else _DEFAULT_TIMEOUT_SECONDS


class Job(msgspec.Struct, frozen=True):
    """One job."""

    id: int
    job_info: JobInfo = JobInfo()
    git_info: GitInfo = GitInfo()
    runner_info: RunnerInfo = RunnerInfo()
    variables: list[Variable] = []
    image: Image | None = None
    credentials: list[Credential] | None = None
    steps: list[Step] | None = None
    artifacts: list[object] | None = None
    cache: list[object] | None = None
    services: list[object] | None = None
    """Service containers, which the driver does not offer yet."""
    run: object = None
    """Native steps, which the custom executor does not offer."""

    @property
    def public_variables(self) -> dict[str, str]:
        """The variables that may be visible in a pod, not expanded; a later one wins, also if it is not public."""
        found = {variable.key: variable for variable in self.variables}
        return {key: variable.value for key, variable in found.items() if variable.is_public}

    @property
    def last_stages(self) -> frozenset[str]:
        """The build stages of which each is the last to need the pod, if it runs; empty if the payload does not say.

        Source: gitlab-runner common/build.go, `executeScript`; the script's first part has a name of its own there.
        """
        if self.artifacts:
            return frozenset({"upload_artifacts_on_success", "upload_artifacts_on_failure"})
        if self.cache:
            return frozenset({"archive_cache", "archive_cache_on_failure"})
        names = [step.name for step in self.steps or ()]
        if "after_script" in names:
            return frozenset({"after_script"})
        if names[-1:] == ["script"]:
            return frozenset({"build_script", "step_script"})
        return frozenset(f"step_{name.lower()}" for name in names[-1:])


def read_job(path: Path) -> Job:
    """Return the job of a payload file. Raises SettingsError if it cannot be read or is not a job."""
    try:
        if path.stat().st_size > _LARGEST:
            raise SettingsError(f"{path}: the job's payload is larger than {_LARGEST >> 20} MiB")
        return decoded(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"the job's payload cannot be read: {error}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise SettingsError(f"{path}: not a job payload: {error}") from error


def decoded(content: bytes) -> Job:
    """Return the job of a payload. Raises msgspec.DecodeError."""
    return msgspec.json.decode(content, type=Job)


def expand(template: str, variables: dict[str, str]) -> str:
    """Replace `$NAME` and `${NAME}` in an operator's template; unknown names become nothing.

    Values are expanded in turn, with the same variables only: a variable that is not public never appears by way of another.
    The result is cut off at a fixed length.
    """
    left, out = _LONGEST_EXPANSION, []
    # Values that refer to each other grow exponentially: bound the work, not only the result.
    for piece in itertools.islice(_pieces(template, variables, depth=_DEPTH), _MOST_PIECES):
        out.append(piece[:left])
        left -= len(piece)
        if left <= 0:
            break
    return "".join(out)


def _pieces(text: str, variables: dict[str, str], *, depth: int) -> Iterator[str]:
    """Yield an expansion in pieces, at least one for each reference, even to nothing: so each counts."""
    end = 0
    for reference in _REFERENCE.finditer(text):
        yield text[end : reference.start()]
        end = reference.end()
        name = reference[1] or reference[2]
        if not name:
            yield "$"
        elif depth:
            yield from _pieces(variables.get(name, ""), variables, depth=depth - 1)
    yield text[end:]
