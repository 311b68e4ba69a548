"""Which versions of everything take part: ours, Python's, Spack's, and the kind of control group."""

import contextlib
import platform
import re
from pathlib import Path

from buildjob.errors import SpackError
from buildjob.find_spack import find
from buildjob.observe import find_cgroup
from buildjob.paths import from_environment
from buildjob.request import environment
from buildjob.spack import version_of


def own_version() -> str:
    """Return the version of this distribution; in a checkout what pyproject.toml says, marked as such."""
    with contextlib.suppress(OSError):
        text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
        if found := re.search(r'^version = "([^"]+)"', text, re.MULTILINE):
            return f"{found[1]}+checkout"
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  15 ms that a checkout need not pay

    try:
        return version("spack-farm")
    except PackageNotFoundError:
        return "unknown"


def places() -> dict[str, Path]:
    """Return name -> path of every folder in use, and of the Spack that would be used, if there is one."""
    variables = environment()
    paths = from_environment(variables)
    known = {"cache": paths.cache, "config": paths.config, "state": paths.state}
    try:
        installation = find("", variables, paths)
    except SpackError:
        return known
    known["spack"] = installation.program
    if installation.python:
        known["spack_python"] = installation.python
    if installation.tools:
        known["spack_tools"] = installation.tools
    return known


def describe() -> str:
    """Return one line that says what a bug report needs."""
    variables = environment()
    try:
        installation = find("", variables, from_environment(variables))
        spack = f"Spack {version_of(installation) or '?'} ({installation.root})"
    except SpackError:
        spack = "no Spack found"
    group = find_cgroup()
    kind = f"cgroup {group.version}" if group else "no cgroup"
    if group:
        with group:
            pass
    return f"spack-farm {own_version()} · Python {platform.python_version()} · {spack} · {kind}"
