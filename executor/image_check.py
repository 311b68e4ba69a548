"""Checks that the images offer what scripts need, by the facts that each container's first process has printed. Pure."""

import re

from executor import errors
from executor.attempt import Attempt
from executor.pod_agent import SHELLS
from executor.settings import Settings

# The Runner's frame, with and without FF_USE_LEGACY_BASH_EVAL. What the user wrote is inside its quotes: there, with POSIX
# quotes, a `$` always has a backslash. Source: gitlab-runner shells/bash.go, `Finish`.
_QUOTED_FRAME = re.compile(rb"(?:; |: \| )eval \$'")


def check_images(facts: dict[str, dict[str, set[str]]], settings: Settings, runner_version: str) -> None:
    """Raise RequestError or SettingsError if an image lacks what scripts need."""
    build = facts.get("build", {})
    if not build:
        raise errors.RequestError(
            'the entrypoint did not start its arguments: end it with `exec "$@"`, or omit FF_KUBERNETES_HONOR_ENTRYPOINT'
        )
    if "shell" not in build:
        reason = "; ".join(sorted(build.get("broken", ()))) or f"none of {', '.join(SHELLS)} is there"
        raise errors.RequestError(
            f"the job's image has no shell that runs ({reason}); scripts need bash or a POSIX shell `sh`"
        )
    helper = facts.get("helper", {})
    if "gitlab-runner" in helper.get("tool", set()) or settings.allow_missing_helper:
        _check_helper_version(helper, runner_version)
        return
    raise errors.SettingsError(
        f"the helper image {settings.kubernetes.helper_image} has no gitlab-runner: artifacts and caches would be lost "
        "silently; set kubernetes.helper_image, or allow_missing_helper = true"
    )


def _check_helper_version(helper: dict[str, set[str]], wanted: str) -> None:
    """Raise SettingsError if the helper's gitlab-runner is older than the Runner: it would not know all flags."""
    found = next(iter(helper.get("runner_version", set())), "")
    if _numbers(found) < _numbers(wanted) and found:
        raise errors.SettingsError(
            f"gitlab-runner in the helper image is {found}, older than the Runner's {wanted}; set kubernetes.helper_image"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def check_quoting(attempt: Attempt, container: str, script: bytes) -> None:
    """Raise RequestError if the script uses quoting that the image's shell does not read."""
    if container == "build" and not attempt.quoting and _QUOTED_FRAME.search(script):
        raise errors.RequestError(
            "the image's only shell does not read the Runner's scripts ($'…' quoting; dash): add bash to the image, "
            "or set FF_POSIXLY_CORRECT_ESCAPES: 'true' in the job"
        )
