"""What the environment says about a build: its job, pod and image, and what changes its result. Pure but for versions.

Source: GitLab, "Predefined CI/CD variables"; the Kubernetes Downward API, through `SPACK_FARM_…` variables.
"""

import platform
from collections.abc import Mapping

import msgspec

from buildjob import telemetry
from buildjob.spack.variables import READ_BY_SPACK, reaches_builds
from buildjob.version import own_version
from spelling.variables import unknown_variables

_LONGEST_VALUE = 4096
_MOST_DIGITS = 18
_ASKED = "SPACK_FARM_ASKED_"
_ASKED_VARIABLES = tuple(f"{_ASKED}{name.upper()}" for name in telemetry.Asked.__struct_fields__)
# Variables that change what common build tools make, and are not secret. What differs from run to run, such as names of jobs
# and machines, is not among them.
_CHANGE_BUILDS = (
    "PATH",
    # compilers, linkers and where they search
    "CC", "CFLAGS", "CPP", "CPPFLAGS", "CXX", "CXXFLAGS", "F77", "FC", "FCFLAGS", "FFLAGS", "LDFLAGS", "LIBS",
    "MPICC", "MPICXX", "MPIF77", "MPIF90", "MPIFC",
    "CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "LD_RUN_PATH",
    # build tools
    "ACLOCAL_PATH", "CMAKE_BUILD_TYPE", "CMAKE_GENERATOR", "CMAKE_PREFIX_PATH", "CONFIG_SITE", "GNUMAKEFLAGS", "MAKEFLAGS",
    "PKG_CONFIG_PATH",
    # languages with tools of their own
    "CARGO_BUILD_TARGET", "CGO_ENABLED", "GOFLAGS", "PERL5LIB", "PYTHONHASHSEED", "PYTHONPATH", "RUSTFLAGS",
    # what ends up in binaries by itself: language, time
    "LANG", "LANGUAGE", "LC_ALL", "SOURCE_DATE_EPOCH", "TZ",
)  # fmt: skip


def job_facts(variables: Mapping[str, str], *, agent_started_at: str = "") -> telemetry.Job | msgspec.UnsetType:
    """Return the public facts of the CI job, or UNSET outside CI."""
    if not variables.get("CI_JOB_ID"):
        return msgspec.UNSET
    get = variables.get
    return telemetry.Job(
        id=get("CI_JOB_ID", ""),
        name=get("CI_JOB_NAME", ""),
        url=get("CI_JOB_URL", ""),
        project=get("CI_PROJECT_PATH", ""),
        ref=get("CI_COMMIT_REF_NAME", ""),
        ref_protected=get("CI_COMMIT_REF_PROTECTED", "") == "true",
        pipeline_id=get("CI_PIPELINE_ID", ""),
        stack=get("SPACK_CI_STACK_NAME", ""),
        image=get("CI_JOB_IMAGE", ""),
        attempt=_number(get("SPACK_FARM_JOB_ATTEMPT", "")),
        runner=get("CI_RUNNER_DESCRIPTION", ""),
        pod=get("SPACK_FARM_POD", "") or get("HOSTNAME", ""),
        node=get("SPACK_FARM_NODE", ""),
        commit=get("CI_COMMIT_SHA", ""),
        commit_url=_commit_url(get("CI_PROJECT_URL", ""), get("CI_COMMIT_SHA", "")),
        pipeline_url=get("CI_PIPELINE_URL", ""),
        pipeline_created_at=get("CI_PIPELINE_CREATED_AT", ""),
        started_at=get("CI_JOB_STARTED_AT", ""),
        agent_started_at=agent_started_at,
    )


def _commit_url(project_url: str, commit: str) -> str:
    return f"{project_url}/-/commit/{commit}" if project_url and commit else ""


def asked_facts(variables: Mapping[str, str]) -> telemetry.Asked | msgspec.UnsetType:
    """Return what the pod was given, from the variables that the Downward API fills; UNSET where there are none."""
    texts = {variable.removeprefix(_ASKED).lower(): variables.get(variable, "") for variable in _ASKED_VARIABLES}
    known = {name: int(text) for name, text in texts.items() if _is_amount(text)}
    return telemetry.Asked(**known) if known else msgspec.UNSET


def asked_faults(variables: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that should say what the pod was given, and says nothing that can be used."""
    unknown = unknown_variables(variables, _ASKED_VARIABLES, _ASKED)
    faults = [f"the variable {name} is ignored{offer}" for name, offer in unknown]
    for name in sorted(set(_ASKED_VARIABLES) & set(variables)):
        if variables[name] and not _is_amount(variables[name]):
            unit = "thousandths of a CPU" if name.endswith("MILLICORES") else "bytes"
            faults.append(f"the variable {name}={variables[name][:40]!r} is ignored: give a whole number of {unit}, above 0")
    return faults


def _is_amount(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS and int(text) > 0


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else 0


def versions(*, spack: str = "") -> telemetry.Versions:
    """Return the versions of the programs that take part; `spack` is empty for a build without it."""
    return telemetry.Versions(spack_farm=own_version(), python=platform.python_version(), spack=spack)


def image_digest(variables: Mapping[str, str]) -> str:
    """Return the digest of the image that the job runs in, from the variable that the driver fills; empty if unknown."""
    return variables.get("SPACK_FARM_IMAGE_DIGEST", "")


def build_variables(reaching: Mapping[str, str], *, is_spack: bool) -> dict[str, str]:
    """Return the variables that change what a build makes, as far as they are set, each value bounded.

    `reaching` is the environment that the build gets: it holds no secret.
    """
    names = (*filter(reaches_builds, _CHANGE_BUILDS), *READ_BY_SPACK) if is_spack else _CHANGE_BUILDS
    return {name: _bounded(reaching[name]) for name in names if name in reaching}


def _bounded(value: str) -> str:
    return value if len(value) <= _LONGEST_VALUE else value[: _LONGEST_VALUE - 1] + "…"
