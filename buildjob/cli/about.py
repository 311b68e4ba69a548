"""What a bug report needs: versions, the folders in use, the kind of cgroup."""

import platform
from pathlib import Path

from buildjob.errors import SpackError
from buildjob.measure.cgroup import find_cgroup
from buildjob.options import environment
from buildjob.paths import from_environment
from buildjob.spack.find import find
from buildjob.spack.layout import version_of
from buildjob.version import own_version


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
    """Return in one line the versions of spack-farm, Python and Spack, and the kind of cgroup."""
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
