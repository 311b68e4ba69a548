"""Programs that the Runner's file names, and the Runner's own version: which helper image is needed follows from it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from executor.checks.finding import Finding, fault, note, ok
from executor.job import expand
from executor.settings import Settings

_VERSION = re.compile(r"^Version:\s+v?(\d{1,4}\.\d{1,4}\.\d{1,6}\S{0,40})", re.MULTILINE)
_TAG_VERSION = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.\d+)?")
_OLDEST = (17, 9)
"""The first Runner that gives the driver a file for the script's exit code."""
_SECONDS = 4.0


def locate(program: str) -> str:
    """Return why a program cannot be started; "" if it can."""
    path = Path(program)
    if "/" not in program:
        return "" if shutil.which(program) else "it is not on this user's PATH"
    if not path.exists():
        return "there is no such file"
    if not path.is_file() or not os.access(path, os.X_OK):
        return "it is not a program that this user may start"
    return ""


def runner_version() -> str:
    """Return the version of the gitlab-runner on PATH; "" if there is none that says it in time."""
    program = shutil.which("gitlab-runner")
    if program is None:
        return ""
    try:
        argv = [program, "--version"]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = _VERSION.search(done.stdout.decode("utf-8", "replace"))
    return found[1] if found else ""


def runner_finding(version: str) -> Finding:
    """Return what the Runner's version means for the driver."""
    if not version:
        return note(
            "gitlab-runner", "it is not on this user's PATH: its version is not known", "name it with --runner-version"
        )
    numbers = _numbers(version)
    if numbers and numbers < _OLDEST:
        text = f"{version} gives the driver no file for exit codes: each failed script ends with 1"
        return fault("gitlab-runner", text, f"install {_OLDEST[0]}.{_OLDEST[1]} or newer")
    return ok("gitlab-runner", f"version {version}")


def helper_finding(settings: Settings, version: str) -> Finding:
    """Return whether the helper image is as new as the Runner whose version is given, "" for one that is not known."""
    template = settings.kubernetes.helper_image
    image = expand(template, {"CI_RUNNER_VERSION": version})
    if not template:
        return fault(
            "helper image", "there is none", "omit kubernetes.helper_image: its default follows the Runner's version"
        )
    if "CI_RUNNER_VERSION" in template:
        if not version:
            return ok("helper image", f"{template} follows the Runner's version")
        return ok("helper image", f"{image} is of the Runner's version")
    tag = image.rpartition(":")[2] if ":" in image.rpartition("/")[2] else ""
    found = _numbers(tag)
    if not found or not version:
        return note("helper image", f"{image}: its version shows when the first job starts")
    if found < _numbers(version):
        text = f"{image} is older than the Runner's {version}, whose scripts it may not understand: each job fails"
        return fault("helper image", text, "use $CI_RUNNER_VERSION in kubernetes.helper_image, or a newer tag")
    return ok("helper image", f"{image} is not older than the Runner's {version}")


def _numbers(text: str) -> tuple[int, ...]:
    found = _TAG_VERSION.search(text)
    return (int(found[1]), int(found[2])) if found else ()
