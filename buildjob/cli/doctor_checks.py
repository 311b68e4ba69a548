"""The checks of `spack-farm doctor`, in the order in which they are printed.

Each check is a small function that returns its result; nothing is built, and nothing stays changed. Runs without any extra,
and names those that are missing.
"""

import argparse
import contextlib
import functools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import msgspec

from buildjob import extra
from buildjob.agent import request
from buildjob.agent.ci_facts import asked_faults
from buildjob.agent.disks import Place, cannot_write, existing_folder, read_figures, require_temporary_folder
from buildjob.agent.request import Target
from buildjob.cli import build, doctor_targets, publish_options
from buildjob.cli.doctor_targets import Check
from buildjob.errors import AgentError, RequestError
from buildjob.measure.cgroup import find_cgroup
from buildjob.options import environment, reject_misspelled
from buildjob.paths import from_environment
from buildjob.report.format import format_bytes
from buildjob.report.full_disk import how_to_move
from buildjob.run_folder import require_room
from buildjob.spack.adapter import Spack
from buildjob.spack.find import find
from spelling.variables import likely_slips

_ROOM_BYTES = {"stage folder": 5 << 30, "install tree": 5 << 30}
_LEAST_ROOM_BYTES = 1 << 30
# One line: `spack python -c` takes a single statement, or several between semicolons.
_ASK_SPACK = (
    "import json, clingo, spack.config, spack.store, spack.util.path; "
    "found = spack.config.get('config:build_stage'); "
    "stages = [found] if isinstance(found, str) else list(found); "
    "stages = [spack.util.path.canonicalize_path(stage) for stage in stages]; "
    "print(json.dumps({'stages': stages, 'tree': str(spack.store.STORE.root)}))"
)
_TIMEOUT_SECONDS = 60


class _SpackFolders(msgspec.Struct):
    stages: list[str]
    """Candidates for the stage folder."""
    tree: str


class Extra(msgspec.Struct, frozen=True, kw_only=True):
    """What one extra brings."""

    verbs: str
    packages: tuple[str, ...]
    """As they are imported."""
    is_needed: bool = False
    """By builds."""


# A test holds the names to those in pyproject.toml.
EXTRAS = {
    "agent": Extra(verbs="build, publish", packages=("boto3", "gnupg", "lxml", "psutil", "re2", "requests"), is_needed=True),
    "ctest": Extra(verbs="ctest", packages=("lxml", "re2", "requests")),
    "driver": Extra(verbs="executor", packages=("kubernetes", "websocket", "yaml")),
    "sizing": Extra(verbs="sizing", packages=("alembic", "boto3", "kubernetes", "psycopg", "sqlalchemy")),
    "pipelines": Extra(verbs="pipelines", packages=("boto3", "check_jsonschema", "yaml")),
    "autoscaler": Extra(verbs="autoscaler", packages=("boto3", "kubernetes", "prometheus_client", "yaml")),
    "delegate": Extra(verbs="delegate", packages=("prometheus_client", "starlette", "uvicorn")),
    "completion": Extra(verbs="completion, man", packages=("argparse_manpage", "shtab")),
}
_PROGRAMS = {
    "tar": ("Spack unpacks sources with it", "tar"),
    "patch": ("Spack applies a recipe's patches with it", "patch"),
    "make": ("most packages are built with it", "make"),
    "git": ("sources and package repositories may be in git", "git"),
    "unzip": ("some sources are zip archives", "unzip"),
}
"""Program -> what for, and Debian's package."""
_NEEDED_PROGRAMS = frozenset({"tar", "patch"})
_OPTIONAL = {"re2"}
"""Python's own module does its work, more slowly."""


def checks(arguments: argparse.Namespace) -> Iterator[Check]:
    """Yield the result of each check."""
    variables = environment()
    asking = doctor_targets.Asking(_targets(arguments, variables))
    yield from _extras()
    yield from _variables(variables)
    places = yield from _spack(arguments.spack or "", variables)
    yield _program("gcc", "--version", "install a C compiler; on Debian: apt-get install gcc")
    yield _program("gpg", "--version", "signatures need GnuPG; on Debian: apt-get install gnupg")
    for name, (use, package) in _PROGRAMS.items():
        if not shutil.which(name):
            advice = f"{use}; on Debian: apt-get install {package}"
            yield Check(False, f"{name} is not on PATH", advice, is_needed=name in _NEEDED_PROGRAMS)
    yield from _s3_credentials(variables)
    yield from _cluster(variables)
    for place in places:
        yield from _room(place)
    try:
        require_temporary_folder(variables)
        yield from _room(Place("temporary files", Path(tempfile.gettempdir())))
    except AgentError as error:
        yield Check(False, str(error))
    yield _run_folders(Path(arguments.out))
    yield from _key(arguments, variables)
    yield _cgroup()
    yield from asking.answers()


def _extras() -> Iterator[Check]:
    absent = set(extra.missing({package for each in EXTRAS.values() for package in each.packages}))
    if not absent:
        yield Check(True, "the Python packages of every verb are installed")
    for name, each in EXTRAS.items():
        lacks = [package for package in each.packages if package in absent]
        if lacks:
            is_needed = each.is_needed and not _OPTIONAL.issuperset(lacks)
            text = f"spack-farm {each.verbs}: {', '.join(lacks)} {'is' if len(lacks) == 1 else 'are'} not installed"
            yield Check(False, text, f"pip install 'spack-farm[{name}]'", is_needed)


def _variables(variables: dict[str, str]) -> Iterator[Check]:
    """Yield what a build would reject, or ignore although it looks like one of its variables."""
    known = {"build": request, "publish": publish_options}
    for verb, module in known.items():
        try:
            reject_misspelled(variables, module.PREFIX, module.FROM_ENVIRONMENT, verb=verb)
        except RequestError as error:
            yield Check(False, str(error))
    for fault in asked_faults(variables):
        yield Check(False, fault, "builds run all the same; the page compares nothing with it", is_needed=False)
    names = [*request.VARIABLES, *publish_options.VARIABLES]
    for slip in likely_slips(variables, names, mark="FARM", spared=(request.PREFIX, publish_options.PREFIX)):
        yield Check(True, slip)


def _spack(named: str, variables: dict[str, str]) -> Generator[Check, None, list[Place]]:
    """Check Spack; return the places where it builds and installs, as far as they are known."""
    try:
        installation = find(named, variables, from_environment(variables))
        spack = Spack(installation, call=_call)
        if warning := spack.version_warning():
            yield Check(False, warning, is_needed=False)
        yield Check(True, f"Spack {spack.version(variables)} at {installation.root}, found in {installation.found}")
    except AgentError as error:
        yield Check(False, str(error))
        return []
    code, printed = _call(spack.argv("python", "-c", _ASK_SPACK), spack.environment(variables))
    text = printed.decode("utf-8", "replace").strip()
    if code != 0:
        yield Check(
            False,
            f"Spack at {installation.root} can't import clingo: {text[-200:]}",
            "run 'spack bootstrap now', or use the Spack of scripts/get-spack",
        )
        return []
    yield Check(True, "Spack can concretize: it imports clingo")
    answer = msgspec.json.decode(text.splitlines()[-1], type=_SpackFolders)
    return [Place("stage folder", Path(_first_writable(answer.stages))), Place("install tree", Path(answer.tree))]


def _first_writable(folders: Sequence[str]) -> str:
    """Return the first folder that this user can write to, as Spack chooses its stage folder; else the first one."""
    for folder in folders:
        with contextlib.suppress(OSError):
            if os.access(existing_folder(Path(folder)), os.W_OK | os.X_OK):
                return folder
    return folders[0]


def _call(argv: list[str], variables: object) -> tuple[int, bytes]:
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=variables, timeout=_TIMEOUT_SECONDS, check=False,  # type: ignore[call-overload]
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 124, f"no answer within {_TIMEOUT_SECONDS} s".encode()
    return done.returncode, done.stdout


def _program(name: str, option: str, advice: str) -> Check:
    path = shutil.which(name)
    if not path:
        return Check(False, f"{name} is not on PATH", advice)
    printed = subprocess.run([path, option], capture_output=True, text=True, check=False).stdout
    return Check(True, f"{path}: {printed.splitlines()[0] if printed else 'it prints nothing'}")


def _s3_credentials(variables: dict[str, str]) -> Iterator[Check]:
    """Yield what is said if nothing gives credentials for S3; whether they are right, `--mirror s3://…` shows."""
    home = Path(variables.get("HOME") or "/nonexistent")
    files = [
        variables.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws" / "credentials",
        variables.get("AWS_CONFIG_FILE") or home / ".aws" / "config",
    ]
    names = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if not any(variables.get(name) for name in names) and not any(Path(file).is_file() for file in files):
        advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SHARED_CREDENTIALS_FILE"
        yield Check(False, "build and publish with s3://: there are no credentials here", advice, is_needed=False)
    elif variables.get("AWS_ACCESS_KEY_ID") and not variables.get("AWS_SECRET_ACCESS_KEY"):
        advice = "set both, or neither"
        yield Check(False, "AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY", advice)


def _cluster(variables: dict[str, str]) -> Iterator[Check]:
    """Yield what is said if nothing here leads to a cluster; the driver's settings may name one."""
    home = Path(variables.get("HOME") or "/nonexistent")
    if variables.get("KUBERNETES_SERVICE_HOST") or any(
        Path(path).is_file() for path in (variables.get("KUBECONFIG") or str(home / ".kube" / "config")).split(":")
    ):
        return
    advice = "name a kubeconfig in the driver's settings, or in KUBECONFIG, or run it in a pod"
    yield Check(False, "spack-farm executor: no cluster is configured for this user", advice, is_needed=False)


def _room(place: Place) -> Iterator[Check]:
    """Check one of the places that a build fills."""
    try:
        folder = existing_folder(place.folder)
        figures = read_figures(folder)
    except OSError as error:
        yield Check(False, f"{place.use} {place.folder}: {error.strerror}")
        return
    text = f"{format_bytes(figures.free_bytes)} of {format_bytes(figures.size_bytes)} are free at {folder} ({place.use})"
    needed = _ROOM_BYTES.get(place.use, _LEAST_ROOM_BYTES)
    if not os.access(folder, os.W_OK | os.X_OK) or figures.is_read_only:
        yield Check(False, f"this user can't write to {folder} ({place.use})", f"use another folder{how_to_move(place.use)}")
    elif figures.free_bytes < needed:
        advice = f"large packages need more than {format_bytes(needed)} there: make room"
        yield Check(False, text, f"{advice}{how_to_move(place.use)}")
    else:
        yield Check(True, text)


def _run_folders(out: Path) -> Check:
    try:
        require_room(out.resolve())
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        reason = cannot_write(error, out, option="--out") if isinstance(error, OSError) else f"--out {out}: {error}"
        return Check(False, str(reason))
    return Check(True, f"run folders can be made in {out.resolve()}")


def _mirror_fault(text: str) -> Check | Target:
    """Return where binaries would go, or why that can't be."""
    try:
        argv = ["x", "--mirror", text, "--unsigned"]
        asked = request.parse(build.parser().parse_args(argv), {})
    except RequestError as error:
        return Check(False, str(error))
    assert asked.target
    folder = asked.target.folder
    existing = next((parent for parent in (folder, *folder.parents) if parent.exists()), folder) if folder else None
    if existing and not os.access(existing, os.W_OK):
        return Check(False, f"mirror {folder}: this user can't write to {existing}", "choose another mirror")
    return asked.target


def _targets(arguments: argparse.Namespace, variables: dict[str, str]) -> dict[str, Callable[[], list[Check]]]:
    """Return what is asked side by side, each by its name in messages."""
    targets: dict[str, Callable[[], list[Check]]] = {}
    if mirror := arguments.mirror or variables.get(f"{request.PREFIX}MIRROR"):
        found = _mirror_fault(mirror)
        if isinstance(found, Check):
            targets["mirror"] = lambda: [found]
        else:
            ask = functools.partial(doctor_targets.mirror_checks, found.url, variables, writes=found.folder is None)
            targets[f"mirror {found.url}"] = ask
    if arguments.cdash:
        targets[f"CDash {arguments.cdash}"] = functools.partial(
            doctor_targets.cdash_checks, arguments.cdash, arguments.cdash_project, arguments.cdash_token_file or ""
        )
    return targets


def _key(arguments: argparse.Namespace, variables: dict[str, str]) -> Iterator[Check]:
    key = arguments.signing_key_file or variables.get(f"{request.PREFIX}SIGNING_KEY_FILE", "")
    passphrase = arguments.signing_passphrase_file or variables.get(f"{request.PREFIX}SIGNING_PASSPHRASE_FILE", "")
    if key:
        yield doctor_targets.key_check(key, passphrase, now=time.time())


def _cgroup() -> Check:
    cgroup = find_cgroup()
    if cgroup is None:
        return Check(
            True,
            "builds have no cgroup of their own here: memory figures will be estimates, memory kills will not be seen",
            "run in a container, or as root on cgroup v1, for the kernel's own counters",
        )
    with cgroup:
        return Check(True, f"builds are measured by the kernel: cgroup {cgroup.version} ({cgroup.kind.value})")
