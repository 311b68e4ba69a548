"""Arguments and environment become one frozen `BuildRequest`, or are rejected here with the option's name.

Precedence: option, then `SPACK_FARM_BUILD_<OPTION>`, then default. Pure, except that named files and folders are looked up,
and that a key in a pipe is read.
"""

import argparse
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from buildjob.buildcache.gpg.key_source import KeySource, find_source
from buildjob.errors import RequestError
from buildjob.options import (
    is_given,
    memory_bytes,
    option_of,
    reject_empty,
    reject_misspelled,
    reject_useless,
    seconds,
    switch,
)
from buildjob.paths import Paths, from_environment
from buildjob.report.cdash_names import CDashNames

PREFIX = "SPACK_FARM_BUILD_"
_BUILD_JOBS = "SPACK_BUILD_JOBS"
_FAIL_FAST = "SPACK_CI_FAIL_FAST"
# Options that the environment may give, and how: text as it is, a switch as true or false, a list by ':'.
FROM_ENVIRONMENT = {
    **dict.fromkeys(("spack", "out", "mirror", "signing_key_file", "signing_passphrase_file"), "text"),
    **dict.fromkeys(("jobs", "timeout", "interval", "memory", "site", "group", "telemetry_mirror"), "text"),
    **dict.fromkeys(("config_scope", "trust"), "list"),
    **dict.fromkeys(("unsigned", "fresh", "publish", "private", "allow_missing", "sections", "quiet", "json"), "switch"),
}
VARIABLES = tuple(PREFIX + name.upper() for name in FROM_ENVIRONMENT)
# What each option needs to have an effect: one of these.
_NEEDS = {
    "unsigned": ("mirror",),
    "signing_key_file": ("mirror", "ci"),
    "signing_passphrase_file": ("signing_key_file",),
    "private": ("mirror", "publish", "ci"),
    "allow_missing": ("mirror", "publish"),
    "tests": ("ci",),
    "test_timeout": ("tests",),
    "fail_fast": ("tests",),
    "yes": ("reproduce",),
    "engine": ("reproduce",),
}
_NOT_FOR_CI = ("hash", "command", "fresh", "mirror", "unsigned", "publish", "allow_missing", "group")
_OF_SPACK_BUILDS = (
    "spack", "config_scope", "jobs", "fresh", "unsigned", "signing_key_file", "signing_passphrase_file", "publish",
    "private", "allow_missing", "trust",
)  # fmt: skip
_ENVIRONMENT_FILES = ("spack.lock", "spack.yaml")
_LEAST = frozenset({"lxml", "psutil"})
_FOR_S3 = frozenset({"boto3", "botocore"})
_FOR_SIGNATURES = frozenset({"gnupg"})
_PATH = ("/", "./", "../")
"""An argument that begins with these is a path; `/` alone may begin a hash, as Spack writes one."""


class CommandBuild(msgspec.Struct, frozen=True, kw_only=True):
    """A build without Spack: any command line, measured the same way."""

    command: str
    """A command line for the shell."""
    name: str
    version: str
    prefix: Path | None
    """A folder whose growth counts as the build's use of disk."""


class StandaloneTests(msgspec.Struct, frozen=True, kw_only=True):
    """How the stand-alone tests of the package that was built are run."""

    fail_fast: bool = True
    timeout_seconds: float | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where binaries go, and who signs them."""

    url: str
    """The mirror as Spack's configuration names it, without a slash at its end."""
    folder: Path | None
    """None for a build cache in S3."""
    signing_key_file: KeySource | None
    """None for a build cache without signatures."""
    passphrase_file: KeySource | None = None


class BuildRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one call of `spack-farm build` is asked to do."""

    specs: list[str] = []
    """Abstract specs, to be concretized together."""
    spec_files: list[Path] = []
    """Concrete specs in files, as `spack spec --json` prints them."""
    environment_name: str = ""
    """A Spack environment, by folder or name; empty if none is named."""
    active_environment: Path | None = None
    """The environment that is active in the user's shell: its configuration holds if no environment is named."""
    hash: str = ""
    """The DAG hash, or its beginning, of the one spec of the environment to build; empty for all roots."""
    command: CommandBuild | None = None
    is_ci: bool = False
    """Build what a job of `spack ci generate` names by variables (`--ci`)."""
    reproduce: str = ""
    """Where a run lies that is to be built again (`--reproduce`); empty for none."""
    assume_yes: bool = False
    """Do not ask before that (`--yes`)."""
    engine: str = ""
    """The container engine that builds it in the job's image; `none` for none, empty for the first that answers."""
    standalone_tests: StandaloneTests | None = None
    """None: they are not run."""
    spack: str = ""
    """What `--spack` names; empty to search."""
    scopes: list[Path] = []
    """Configuration scopes for Spack."""
    out: Path
    """The folder in which the run folders lie."""
    target: Target | None
    """None: binaries are not published."""
    keep_unsigned: bool
    """Leave the unsigned binary in the run folder (`--no-publish`)."""
    private: bool = False
    """The target may have binaries that must not be redistributed (`--private`)."""
    allow_missing: bool = False
    """Publish a package also if the target then lacks what it needs at run time (`--allow-missing`)."""
    telemetry_mirror: str = ""
    """Where telemetry is uploaded to, as `spack-farm publish telemetry` takes it; nowhere if empty."""
    trust: list[KeySource] = []
    """Public keys."""
    jobs: int | None = None
    """By `--jobs`, else by `SPACK_BUILD_JOBS`; None leaves the number of parallel jobs to Spack."""
    timeout_seconds: float | None = None
    interval_seconds: float = 1.0
    memory_bytes: int | None = None
    """The most memory that a build may take before the kernel kills it (`--memory`); None sets no limit."""
    fresh: bool = False
    folds: bool = False
    """Mark sections of the log that GitLab folds (`--sections`)."""
    cdash_names: CDashNames
    variables: dict[str, str]
    """The whole environment, secrets included."""
    paths: Paths

    @property
    def packs(self) -> bool:
        """Whether binaries are to be written at all."""
        return self.target is not None or self.keep_unsigned

    @property
    def packages(self) -> frozenset[str]:
        """The Python packages that this request needs beside the least; boto3 for S3 only, gnupg for signatures only."""
        in_s3 = (self.target is not None and self.target.folder is None) or self.telemetry_mirror.startswith("s3:")
        signatures = bool(self.trust or (self.target and self.target.signing_key_file))
        return _LEAST | (_FOR_S3 if in_s3 else frozenset()) | (_FOR_SIGNATURES if signatures else frozenset())


def parse(arguments: argparse.Namespace, variables: Mapping[str, str]) -> BuildRequest:
    """Return the request. Raises RequestError for everything that can't work, before anything is started."""
    _require_working_folder()
    reject_empty(vars(arguments), positional={"spec": "SPEC"})
    reject_misspelled(variables, PREFIX, FROM_ENVIRONMENT, verb="build")
    given = vars(arguments)
    values = _with_environment(given, variables)
    _reject_useless(given, values)
    named: list[str] = values["spec"]
    is_ci = bool(values["ci"])
    if is_ci:
        _reject_for_ci(given, values)
    is_again = bool(values["reproduce"])
    if is_again:
        _reject_for_reproduction(given, values)
    command = _command(values, named) if not (is_ci or is_again) else None
    specs: list[str] = []
    files: list[Path] = []
    environment = ""
    if command is None and not is_ci and not is_again:
        specs, files, environment = _sort(named, values["hash"])
    target = _ci_target(values) if is_ci else _target(values)
    if target and command:
        raise RequestError("--mirror publishes Spack binaries; a --command build has none: omit --mirror")
    return BuildRequest(
        specs=specs,
        spec_files=files,
        environment_name=environment,
        active_environment=_active_environment(variables) if not environment and command is None and not is_ci else None,
        hash=values["hash"] or "",
        command=command,
        is_ci=is_ci,
        reproduce=values["reproduce"] or "",
        assume_yes=bool(values["yes"]),
        engine=values["engine"] or "",
        standalone_tests=_standalone_tests(values, variables) if values["tests"] else None,
        spack=values["spack"] or "",
        scopes=[_folder(text, "--config-scope") for text in values["config_scope"]],
        out=_out(values["out"], variables, is_ci=is_ci),
        target=target if values["publish"] else None,
        keep_unsigned=not values["publish"],
        private=bool(values["private"]),
        allow_missing=bool(values["allow_missing"]),
        telemetry_mirror=_telemetry_mirror(values["telemetry_mirror"]),
        trust=[find_source(text, "--trust") for text in values["trust"]],
        jobs=_jobs(values["jobs"], variables),
        timeout_seconds=seconds(values["timeout"], "--timeout") if values["timeout"] else None,
        interval_seconds=_interval(values["interval"]),
        memory_bytes=memory_bytes(values["memory"], "--memory") if values["memory"] else None,
        fresh=bool(values["fresh"]),
        folds=variables.get("GITLAB_CI") == "true" if values["sections"] is None else bool(values["sections"]),
        cdash_names=CDashNames(
            site=values["site"] or variables.get("CI_RUNNER_DESCRIPTION") or platform.node() or "unknown",
            group=values["group"] or "Experimental",
        ),
        variables=dict(variables),
        paths=from_environment(variables),
    )


def _reject_for_ci(given: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Raise RequestError for what a job of a pipeline takes from its variables and from Spack's configuration."""
    for name in _NOT_FOR_CI:
        if is_given(given[name]):
            raise RequestError(f"{option_of(name)} and --ci exclude each other: the pipeline and its mirrors say it")
    if values["spec"]:
        raise RequestError(f"{values['spec'][0]}: --ci builds the spec that SPACK_JOB_SPEC_DAG_HASH names: omit it")


def _reject_for_reproduction(given: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Raise RequestError for what a run that is built again says itself."""
    for name in ("command", "fresh", "ci"):
        if is_given(given[name]):
            raise RequestError(f"{option_of(name)} and --reproduce exclude each other: omit one of them")
    if values["spec"]:
        raise RequestError(f"{values['spec'][0]}: --reproduce builds the spec of the run that it names: omit it")


def _ci_target(values: Mapping[str, Any]) -> Target | None:
    """Return what the options say of signing; Spack's configuration has the target's address."""
    key, passphrase = values["signing_key_file"], values["signing_passphrase_file"]
    if not key:
        return None
    return Target(
        url="",
        folder=None,
        signing_key_file=find_source(key, "--signing-key-file"),
        passphrase_file=(find_source(passphrase, "--signing-passphrase-file", holds="passphrase") if passphrase else None),
    )


def _out(named: str | None, variables: Mapping[str, str], *, is_ci: bool) -> Path:
    """Return the folder for run folders: the one that is named, or that the pipeline keeps as an artifact."""
    if named or not is_ci:
        return _writable(_path(named or "spack-farm-out", "--out"), "--out")
    root = variables.get("SPACK_ARTIFACTS_ROOT", "")
    option = f"SPACK_ARTIFACTS_ROOT={root}:"
    folder = Path(variables.get("CI_PROJECT_DIR", "")) / (root or ".") / "user_data" / "spack-farm"
    return _writable(_path(str(folder), option), option)


def _standalone_tests(values: Mapping[str, Any], variables: Mapping[str, str]) -> StandaloneTests:
    fail_fast = values["fail_fast"]
    if fail_fast is None and variables.get(_FAIL_FAST, "").strip():
        fail_fast = switch(variables[_FAIL_FAST], _FAIL_FAST)
    limit = values["test_timeout"]
    return StandaloneTests(
        fail_fast=fail_fast is not False, timeout_seconds=seconds(limit, "--test-timeout") if limit else None
    )


def _reject_useless(given: Mapping[str, object], values: Mapping[str, Any]) -> None:
    """Raise RequestError for options on the command line that have no effect; a variable may be set for other jobs."""
    if given["command"] is not None:
        for name in () if values["mirror"] else _OF_SPACK_BUILDS:  # the mirror is rejected itself
            if is_given(given[name]):
                raise RequestError(f"{option_of(name)} has no effect on a --command build, which knows no Spack: omit it")
        return
    known = {**values, "publish": None if values["publish"] else False}
    reject_useless(given, _NEEDS, known=known)


def _with_environment(values: dict[str, object], variables: Mapping[str, str]) -> dict[str, Any]:
    merged: dict[str, Any] = dict(values)
    for option, kind in FROM_ENVIRONMENT.items():
        text = variables.get(PREFIX + option.upper())
        if text is None or merged[option] not in (None, []):
            continue
        if kind == "switch":
            merged[option] = switch(text, PREFIX + option.upper())
        else:
            merged[option] = [part for part in text.split(":") if part] if kind == "list" else text
    merged["publish"] = merged["publish"] is not False
    for option in ("config_scope", "trust"):
        merged[option] = merged[option] or []
    return merged


def _command(values: Mapping[str, Any], named: list[str]) -> CommandBuild | None:
    if values["command"] is None:
        if values["name"] or values["version"] or values["prefix"]:
            raise RequestError("--name, --version and --prefix belong to --command")
        if not named:
            raise RequestError(
                "nothing to build: name a spec, a concrete spec file, an environment with --hash, or --command"
            )
        return None
    if named or values["hash"]:
        raise RequestError("--command builds without Spack: omit the spec and --hash, or omit --command")
    if not values["name"] or not values["version"]:
        raise RequestError("--command needs --name and --version: they name the output folder and the report")
    for option in ("name", "version"):
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}", values[option]):
            raise RequestError(f"--{option} {values[option]!r}: use letters, digits, and . _ + -, at most 128")
    return CommandBuild(
        command=values["command"],
        name=values["name"],
        version=values["version"],
        prefix=Path(values["prefix"]) if values["prefix"] else None,
    )


def _sort(named: list[str], dag_hash: str | None) -> tuple[list[str], list[Path], str]:
    """Return which of the arguments are specs, which are files with concrete specs, and the environment among them."""
    if dag_hash is not None:
        if len(named) != 1:
            raise RequestError("--hash takes exactly one environment: spack-farm build ENVIRONMENT --hash HASH")
        return [], [], _environment_of(named[0])
    specs, files = [], []
    for text in named:
        path = Path(text)
        if (_is_folder(path) and (_is_environment(path) or text.startswith(_PATH))) or (
            _is_file(path) and path.name in _ENVIRONMENT_FILES
        ):
            if len(named) > 1:
                raise RequestError(f"{text} is an environment: it is built alone")
            return [], [], _environment_of(text)
        if _is_file(path) or text.endswith((".json", ".yaml")):
            files.append(_file(text, "concrete spec"))
        elif text.startswith(_PATH[1:]):
            raise RequestError(f"{text}: there is no such file or folder")
        else:
            specs.append(text)
    return specs, files, ""


def _active_environment(variables: Mapping[str, str]) -> Path | None:
    """Return the folder that `spack env activate` left in `SPACK_ENV`, if it did."""
    folder = variables.get("SPACK_ENV")
    if not folder:
        return None
    if not (Path(folder) / "spack.yaml").is_file():
        raise RequestError(f"SPACK_ENV={folder}: there is no spack.yaml in it; deactivate the environment")
    return Path(folder)


def _environment_of(text: str) -> str:
    path = Path(text)
    if path.name in _ENVIRONMENT_FILES and _is_file(path):
        path = path.parent
    if _is_folder(path):
        if not _is_environment(path):
            raise RequestError(f"{text}: not a Spack environment: there is no spack.yaml or spack.lock in it")
        return str(path.resolve())
    if "/" in text:
        raise RequestError(f"{text}: there is no such environment folder")
    return text


def _is_environment(path: Path) -> bool:
    return any(_is_file(path / name) for name in _ENVIRONMENT_FILES)


def _target(values: Mapping[str, Any]) -> Target | None:
    key, unsigned = values["signing_key_file"], bool(values["unsigned"])
    if not values["mirror"]:
        return None
    if key and unsigned:
        raise RequestError("--signing-key-file and --unsigned exclude each other")
    if not key and not unsigned and values["publish"]:
        raise RequestError(
            f"--mirror {values['mirror']} needs --signing-key-file FILE, or --unsigned if its users don't check signatures"
        )
    passphrase = values["signing_passphrase_file"]
    folder = _mirror_folder(values["mirror"], "--mirror")
    if values["publish"] and folder:
        _writable(folder, "--mirror")
    return Target(
        url=folder.as_uri() if folder else values["mirror"].rstrip("/"),
        folder=folder,
        signing_key_file=find_source(key, "--signing-key-file") if key else None,
        passphrase_file=(find_source(passphrase, "--signing-passphrase-file", holds="passphrase") if passphrase else None),
    )


def _telemetry_mirror(text: str | None) -> str:
    if not text:
        return ""
    folder = _mirror_folder(text, "--telemetry-mirror")
    return folder.as_uri() if folder else text


def _mirror_folder(text: str, option: str) -> Path | None:
    """Return the folder that a path or a `file://` URL names; None for an address in S3."""
    url = urlsplit(text)
    if url.scheme == "file" and (url.netloc not in {"", "localhost"} or not url.path.startswith("/")):
        raise RequestError(
            f"{option} {text}: a file:// URL names a folder of this machine by its whole path: file:///srv/mirror"
        )
    if url.scheme in {"", "file"}:
        return _path(unquote(url.path) if url.scheme else text, option)
    if url.scheme == "s3" and url.netloc:
        if len(url.netloc) < 3:
            raise RequestError(f"{option} {text}: '{url.netloc}' can't be a bucket, whose name has at least 3 characters")
        return None
    raise RequestError(f"{option} {text}: give a folder, a file:// URL, or s3://BUCKET/PREFIX")


def _path(text: str, option: str) -> Path:
    """Return the whole path that an option names. Raises RequestError for a link that leads in a circle."""
    try:
        return Path(text).resolve()
    except (OSError, RuntimeError) as error:
        raise RequestError(f"{option} {text}: {error}") from error


def _file(text: str, option: str) -> Path:
    path = _path(text, option)
    if _is_folder(path):
        raise RequestError(f"{option} {text}: this is a folder; give a file")
    if not _is_file(path):
        raise RequestError(f"{option} {text}: there is no such file")
    if not os.access(path, os.R_OK):
        raise RequestError(f"{option} {text}: this user can't read it")
    return path


def _folder(text: str, option: str) -> Path:
    path = _path(text, option)
    if _is_file(path):
        raise RequestError(f"{option} {text}: this is a file; give the folder in which it lies")
    if not _is_folder(path):
        raise RequestError(f"{option} {text}: there is no such folder")
    return path


def _is_file(path: Path) -> bool:
    # a long spec is too long for a path, which the system reports as an error and not as absence
    return os.path.isfile(path)  # noqa: PTH113


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  as above


def _writable(path: Path, option: str) -> Path:
    """Return the folder, which need not exist yet. Raises RequestError if this user could not write below it."""
    existing = next(parent for parent in (path, *path.parents) if os.path.lexists(parent))
    if not _is_folder(existing):
        raise RequestError(f"{option} {path}: {existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK) or os.statvfs(existing).f_flag & os.ST_RDONLY:
        raise RequestError(f"{option} {path}: this user can't write to {existing}")
    return path


def _require_working_folder() -> None:
    """Raise RequestError if the folder that this process is in was removed: a build that runs there cannot even begin."""
    try:
        Path.cwd()
    except OSError as error:
        raise RequestError(
            f"the working folder cannot be used ({error.strerror}): change to a folder that exists"
        ) from error


def _jobs(text: str | None, variables: Mapping[str, str]) -> int | None:
    """Return the number of parallel jobs by the option, else by the variable that Spack's pipelines and the driver set."""
    name = "--jobs"
    if text is None:
        name, text = _BUILD_JOBS, variables.get(_BUILD_JOBS, "").strip()
        if not text:
            return None
    if not text.isdecimal() or not 1 <= int(text) <= 4096:
        raise RequestError(f"{name} {text}: give a whole number from 1 to 4096")
    return int(text)


def _interval(text: str | None) -> float:
    possible = "from 0.1s to 60s"
    value = seconds(text, "--interval", such_as=possible) if text else 1.0
    if not 0.1 <= value <= 60:
        raise RequestError(f"--interval {text}: give a time {possible}")
    return value
