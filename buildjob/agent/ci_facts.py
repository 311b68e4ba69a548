"""What the environment says about job, pod and image of a build, and which programs take part. Pure but for versions.

Source: GitLab, "Predefined CI/CD variables"; the Kubernetes Downward API, through `SPACK_FARM_…` variables.
"""

import platform
from collections.abc import Mapping

import msgspec

from buildjob import telemetry
from buildjob.version import own_version


def job_facts(variables: Mapping[str, str]) -> telemetry.Job | msgspec.UnsetType:
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
        runner=get("CI_RUNNER_DESCRIPTION", ""),
        pod=get("SPACK_FARM_POD", "") or get("HOSTNAME", ""),
        node=get("SPACK_FARM_NODE", ""),
    )


def asked_facts(variables: Mapping[str, str]) -> telemetry.Asked | msgspec.UnsetType:
    """Return what the pod was given, from the variables that the Downward API fills; UNSET where there are none."""
    names = ("cpu_millicores", "memory_bytes", "memory_limit_bytes", "disk_bytes")
    texts = {name: variables.get(f"SPACK_FARM_ASKED_{name.upper()}", "") for name in names}
    known = {name: int(text) for name, text in texts.items() if text.isdecimal()}
    return telemetry.Asked(**known) if known else msgspec.UNSET


def versions(*, spack: str = "") -> telemetry.Versions:
    """Return the versions of the programs that take part; `spack` is empty for a build without it."""
    return telemetry.Versions(spack_farm=own_version(), python=platform.python_version(), spack=spack)
