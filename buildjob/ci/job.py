"""The variables that a job of `spack ci generate` has, as one frozen value. Pure; starts nothing and writes nothing.

Source: Spack 1.1, lib/spack/spack/cmd/ci.py (`ci_rebuild`), lib/spack/spack/ci/gitlab.py; GitLab, "Predefined CI/CD
variables".
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from buildjob.buildcache.gpg.key_source import KeySource
from buildjob.errors import RequestError

_HASH = re.compile(r"[a-z2-7]{32}")
_PROTECTED = frozenset({"spack_protected_branch", "protected_branch"})
_PULL_REQUEST = frozenset({"spack_pull_request", "pull_request"})
_COPY_ONLY = frozenset({"spack_copy_only", "copy_only"})
_SWITCH = {"true": True, "false": False, "": False}
_PLACES = {"logs": "SPACK_JOB_LOG_DIR", "reproduction": "SPACK_JOB_REPRO_DIR", "tests": "SPACK_JOB_TEST_DIR"}
_NEEDED = ("SPACK_JOB_SPEC_DAG_HASH", "SPACK_ARTIFACTS_ROOT")


class CIJob(msgspec.Struct, frozen=True, kw_only=True):
    """What a job is asked to build, and where it leaves what GitLab keeps."""

    dag_hash: str
    """Of the concrete spec, whole."""
    name: str
    """Of the package; empty if the pipeline does not say it."""
    job_name: str
    project: Path
    """The project's folder, which relative paths count from."""
    environment: Path
    """The concrete environment with the spec."""
    artifacts: Path
    logs: Path
    reproduction: Path
    tests: Path
    is_protected: bool = False
    """On a protected branch: there a broken spec is registered."""
    is_pull_request: bool = False
    """There signatures are not asked for."""
    rebuilds_all: bool = False
    requires_signing: bool = False
    signing_key: KeySource | None = None
    stack: str = ""
    job_url: str = ""
    pipeline_url: str = ""
    cdash_build_name: str = ""
    cdash_build_stamp: str = ""
    cdash_token: str = ""

    def __repr__(self) -> str:
        return f"CIJob({self.name}/{self.dag_hash[:7]})"  # never the token


def read_job(variables: Mapping[str, str]) -> CIJob:
    """Return the job that the variables describe. Raises RequestError, naming all that is missing or cannot be used."""
    missing = [name for name in _NEEDED if not variables.get(name)]
    if not variables.get("SPACK_ENV") and not variables.get("SPACK_CONCRETE_ENV_DIR"):
        missing.append("SPACK_CONCRETE_ENV_DIR")
    if missing:
        raise RequestError(
            f"--ci builds what a job of 'spack ci generate' names by variables; {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not set"
        )
    dag_hash = variables["SPACK_JOB_SPEC_DAG_HASH"]
    if not _HASH.fullmatch(dag_hash):
        raise RequestError(f"SPACK_JOB_SPEC_DAG_HASH={dag_hash!r}: give the 32 characters of a DAG hash")
    kind = variables.get("SPACK_PIPELINE_TYPE", "").lower()
    if kind in _COPY_ONLY:
        raise RequestError(
            "SPACK_PIPELINE_TYPE is a copy-only pipeline, which builds nothing; run 'spack buildcache sync' there"
        )
    project = _project(variables)
    artifacts = _below(project, variables["SPACK_ARTIFACTS_ROOT"], "SPACK_ARTIFACTS_ROOT")
    said_by = "SPACK_ENV" if variables.get("SPACK_ENV") else "SPACK_CONCRETE_ENV_DIR"
    environment = _below(project, variables[said_by], said_by)
    # of a name that no file can have `Path.is_file` raises an error instead of saying no
    if not os.path.isfile(environment / "spack.yaml"):  # noqa: PTH113
        raise RequestError(
            f"{environment}: there is no spack.yaml in it; "
            "the job needs the artifacts of the job that ran 'spack ci generate'"
        )
    places = {key: _below(project, variables.get(name) or str(artifacts / key), name) for key, name in _PLACES.items()}
    for key, name in _PLACES.items():
        same = [_PLACES[other] for other, place in places.items() if other != key and place == places[key]]
        if same:
            raise RequestError(f"{name} {places[key]}: {same[0]} has the same folder; give each one of its own")
        # they are emptied: a slip must not cost the project
        if artifacts not in places[key].parents or places[key] in (environment, *environment.parents):
            raise RequestError(f"{name} {places[key]}: give a folder of its own below SPACK_ARTIFACTS_ROOT, {artifacts}")
    key = variables.get("SPACK_SIGNING_KEY", "")
    get = variables.get
    return CIJob(
        dag_hash=dag_hash,
        name=get("SPACK_JOB_SPEC_PKG_NAME", ""),
        job_name=get("CI_JOB_NAME", ""),
        project=project,
        environment=environment,
        artifacts=artifacts,
        **places,
        is_protected=kind in _PROTECTED,
        is_pull_request=kind in _PULL_REQUEST,
        rebuilds_all=_switch(variables, "SPACK_REBUILD_EVERYTHING"),
        requires_signing=_switch(variables, "SPACK_REQUIRE_SIGNING"),
        signing_key=KeySource(title="SPACK_SIGNING_KEY", held=key.encode()) if key.strip() else None,
        stack=get("SPACK_CI_STACK_NAME", "") if get("SPACK_CI_STACK_NAME") != "None" else "",
        job_url=get("CI_JOB_URL", ""),
        pipeline_url=get("CI_PIPELINE_URL", ""),
        cdash_build_name=get("SPACK_CDASH_BUILD_NAME", ""),
        cdash_build_stamp=get("SPACK_CDASH_BUILD_STAMP", ""),
        cdash_token=get("SPACK_CDASH_AUTH_TOKEN", ""),
    )


def key_of(job: CIJob) -> KeySource | None:
    """Return the key that the job's variable holds. Raises RequestError if it has a path in place of the key."""
    key = job.signing_key
    # neither an armored key nor the base64 of one begins with a slash
    if key and key.held.startswith(b"/") and b"\n" not in key.held.strip():
        raise RequestError(
            f"{key.title}: this is a path, as GitLab gives it for a variable of type File; make it one of type Variable "
            f'with the base64 of an armored secret key, or add --signing-key-file "${key.title}"'
        )
    return key


def _project(variables: Mapping[str, str]) -> Path:
    folder = variables.get("CI_PROJECT_DIR")
    if not folder:
        relative = [name for name in ("SPACK_ARTIFACTS_ROOT", *_PLACES.values()) if not _is_absolute(variables.get(name))]
        if relative:
            raise RequestError(
                f"CI_PROJECT_DIR is not set, and {relative[0]} is relative to it: set one of them to a whole path"
            )
    return _below(Path(), folder or "/", "CI_PROJECT_DIR")


def _is_absolute(text: str | None) -> bool:
    return not text or text.startswith("/")


def _below(project: Path, text: str, name: str) -> Path:
    """Return a folder's whole path. Raises RequestError, naming the variable, for a link that leads in a circle."""
    try:
        return (project / text).resolve()
    except (OSError, RuntimeError) as error:
        raise RequestError(f"{name}={text}: {error}") from error


def _switch(variables: Mapping[str, str], name: str) -> bool:
    """Return the value of one of Spack's switches, which it writes as True and False."""
    text = variables.get(name, "").strip().lower()
    if text not in _SWITCH:
        raise RequestError(f"{name}={variables[name]!r}: give True or False")
    return _SWITCH[text]
