"""The agent's way to a build cache in S3: `spack-farm publish` in a process of its own.

The agent holds at most 40 MiB while a build runs, so boto3 is loaded there only. The agent has taken the credentials out of
its own environment; this process alone receives them, when no process of a build is alive. Knows the command line and the
JSON of `spack-farm publish`, not S3.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from buildjob.agent.request import Target
from buildjob.buildcache import layout
from buildjob.buildcache.gpg.key_source import KeySource
from buildjob.buildcache.signing import TrustHome
from buildjob.errors import AgentError, PublishError, RequestError
from buildjob.outcome import Outcome
from buildjob.prestarted_input import PrestartedInput
from buildjob.s3_plain import StaticRoute, static_route
from buildjob.spack.concrete import ConcreteSpec
from buildjob.telemetry import Publish

Call = Callable[[list[str], Mapping[str, str]], tuple[int, bytes]]
"""Runs a command line with an environment to its end; returns its exit code and all that it printed."""

_Answer = TypeVar("_Answer")
_PROGRAM = Path(__file__).resolve().parents[2] / "spack_farm/__main__.py"
"""The dispatcher as a file: the process may start in any folder, and finds our packages beside this one."""
_PREFIX = "SPACK_FARM_PUBLISH_"
_ENDPOINT = f"{_PREFIX}ENDPOINT_URL"
_OTHER_ACCESS = frozenset({f"{_PREFIX}PROFILE", f"{_PREFIX}CA_FILE"})
"""Variables that `spack-farm publish` takes options of access from, and that are not looked at here."""
_FAULTS_FOUND = 1
"""Exit code of `publish verify` where a binary that was asked for is missing or bad: an answer, not a failure."""


class _Pushed(msgspec.Struct):
    """What `publish push --json` prints."""

    manifests: list[str]
    bytes: int


class _Failed(msgspec.Struct):
    """What each verb prints with `--json` if it fails."""

    error: str
    outcome: str | None
    """None for a bug in spack-farm."""


def endpoint_url(variables: Mapping[str, str]) -> str:
    """Return the address of the S3 server, as `spack-farm publish` and boto3 take it; empty for AWS's own."""
    names = (_ENDPOINT, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "S3_ENDPOINT_URL")
    return next((variables[name] for name in names if variables.get(name)), "")


def published(
    call: Call, target: Target, specs: Sequence[ConcreteSpec], *, trust: TrustHome | None, variables: Mapping[str, str]
) -> frozenset[str]:
    """Return the hashes of those specs whose binary is in the build cache, whole and, if it is signed, well signed.

    Raises AgentError if the build cache can't be read: what can't be published is not built.
    """
    keys = {spec.hash: layout.manifest_key(spec.name, spec.version, spec.hash) for spec in specs}
    signers = ["--trust", str(trust.home)] if target.signing_key_file and trust else ["--any-signer"]
    only = [argument for key in keys.values() for argument in ("--only", key)]
    # whether the build cache has what they need at run time is known already
    argv = _argv("verify", target.url, *signers, "--quick", "--json", "--allow-missing", *only)
    code, printed = call(argv, _environment(variables))
    good = _answer(code, printed, list[str], good_codes=(0, _FAULTS_FOUND))
    return frozenset(dag_hash for dag_hash, key in keys.items() if key in good)


def present(call: Call, target: Target, specs: Sequence[ConcreteSpec], *, variables: Mapping[str, str]) -> frozenset[str]:
    """Return the hashes of those specs whose manifest is in the build cache. Raises as `published`.

    What no client would take does not count: in a signed build cache also what is not signed.
    """
    keys = {layout.manifest_key(spec.name, spec.version, spec.hash): spec.hash for spec in specs}
    with tempfile.NamedTemporaryFile("w", prefix="spack-farm-keys-", suffix=".txt") as file:
        file.write("".join(f"{key}\n" for key in keys))
        file.flush()
        require = "signature" if target.signing_key_file else "manifest"
        argv = _argv("ls", target.url, "--of", file.name, "--require", require, "--json")
        code, printed = call(argv, _environment(variables))
    return frozenset(keys[key] for key in _answer(code, printed, list[str]) if key in keys)


def push_argv(target: Target, unsigned: Path, *, private: bool, variables: Mapping[str, str]) -> list[str]:
    """Return the command line that signs and uploads the binary in a folder; it waits for `push_input`.

    `variables` are those of `push_input`: they decide what it loads while it waits.
    """
    # what came from a pipe has no name that another process could open: it comes with `push_input`
    files = [argument for option, source in _secrets(target) if source.file for argument in (option, str(source.file))]
    signing = files if target.signing_key_file else ["--unsigned"]
    signing += ["--private"] if private else []
    loads = "boto3" if _static_route(target.url, variables) is None else "nothing"
    return _argv("push", str(unsigned), target.url, "--replace", "--json", f"--prestarted={loads}", *signing)


def push_input(target: Target, variables: Mapping[str, str]) -> bytes:
    """Return the line of input that a push waits for: the whole environment, secrets included, and what pipes gave."""
    held = {option: source.held for option, source in _secrets(target) if not source.file}
    return msgspec.json.encode(PrestartedInput(environment=_environment(variables), held=held))


def _secrets(target: Target) -> list[tuple[str, KeySource]]:
    given = (("--signing-key-file", target.signing_key_file), ("--signing-passphrase-file", target.passphrase_file))
    return [(option, source) for option, source in given if source]


def pushed(code: int, printed: bytes, *, dag_hash: str, begun: float) -> Publish:
    """Return what a push has published, with the package's own manifest; it began at that reading of the monotonic clock.

    Raises AgentError if it failed.
    """
    answer = _answer(code, printed, _Pushed)
    seconds = round(time.monotonic() - begun, 3)
    # what the package needs may have been pushed with it
    url = next((each for each in answer.manifests if layout.hash_of(each) == dag_hash), answer.manifests[-1])
    return Publish(state="published", url=url, bytes=answer.bytes, wall_seconds=seconds)


def send_telemetry(call: Call, mirror_url: str, documents: Sequence[Path], *, variables: Mapping[str, str]) -> None:
    """Upload documents of telemetry: by this process if no boto3 is needed. Raises AgentError if that fails."""
    if _has_sent(mirror_url, documents, variables):
        return
    code, printed = call(_argv("telemetry", *map(str, documents), mirror_url, "--json"), _environment(variables))
    if code != 0:
        raise _error(code, printed)


def _has_sent(mirror_url: str, documents: Sequence[Path], variables: Mapping[str, str]) -> bool:
    """Upload documents without a process; return whether that was possible."""
    route = _static_route(mirror_url, variables)
    if route is None:
        return False
    from buildjob.buildcache import send_telemetry as story  # noqa: PLC0415  after the builds: the agent is small while they run
    from buildjob.buildcache.storage.open import open_static  # noqa: PLC0415

    place: story.Place = "protected" if variables.get("CI_COMMIT_REF_PROTECTED") == "true" else "other"
    try:
        story.send(documents, open_static(mirror_url, route), place)
    except (AgentError, OSError):  # the process says the same, or more, and tries for longer
        return False
    return True


def _static_route(url: str, variables: Mapping[str, str]) -> StaticRoute | None:
    """Return how the build cache is reached without boto3; None if that is not possible."""
    given = _environment(variables)
    if set(given) & _OTHER_ACCESS or not url.startswith("s3://"):
        return None
    region = given.get(f"{_PREFIX}REGION", "")
    bucket = url.removeprefix("s3://").partition("/")[0]
    return static_route(bucket, given, endpoint_url=given.get(_ENDPOINT, ""), region=region)


def _argv(*arguments: str) -> list[str]:
    return [sys.executable, str(_PROGRAM), "publish", *arguments]


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment, with the address that Spack's own variable gives, and no colors."""
    changed = dict(variables) | {"NO_COLOR": "1"}
    if endpoint := endpoint_url(variables):
        changed[_ENDPOINT] = endpoint
    return changed


def _answer(code: int, printed: bytes, kind: type[_Answer], *, good_codes: tuple[int, ...] = (0,)) -> _Answer:
    """Return the answer of a process that ended. Raises AgentError if it failed, or printed none."""
    try:
        if code in good_codes:
            return msgspec.json.decode(_last_json(printed), type=kind)
    except msgspec.MsgspecError:
        pass
    raise _error(code, printed)


def _error(code: int, printed: bytes) -> AgentError:
    """Return the error that a process reported, in the class of its outcome.

    One that died has reported none: then its last line says most.
    """
    try:
        failed = msgspec.json.decode(_last_json(printed), type=_Failed)
    except msgspec.MsgspecError:
        lines = printed.decode("utf-8", "replace").strip().splitlines()
        reason = f": {lines[-1]}" if lines else ", and printed nothing"
        return PublishError(f"spack-farm publish ended with {code}{reason}")
    return (RequestError if failed.outcome == Outcome.BAD_REQUEST else PublishError)(failed.error)


def _last_json(printed: bytes) -> bytes:
    """Return the last line that may be JSON: standard error, with lines for people, comes through the same pipe."""
    lines = [line for line in printed.splitlines() if line.startswith((b"{", b"["))]
    return lines[-1] if lines else b""
