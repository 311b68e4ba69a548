"""The agent's way to a mirror in S3: a process of its own, so that neither boto3 nor the credentials stay in the agent.

The agent holds at most 40 MiB while a build runs, and has taken the credentials out of its own environment; they are given
to this process alone, when no process of a build is alive: it may have been started before, without them. Knows the command
line of `spack-farm publish`, not S3.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from buildjob.agent.request import Target
from buildjob.buildcache import layout
from buildjob.buildcache.signing import TrustHome
from buildjob.errors import PublishError
from buildjob.spack.concrete import Node
from buildjob.telemetry import Publish

Call = Callable[[list[str], Mapping[str, str]], tuple[int, bytes]]
"""Runs a command line with an environment to its end; returns its exit code and all that it printed."""


_PROGRAM = Path(__file__).resolve().parents[2] / "spack_farm/__main__.py"
"""The dispatcher as a file: the child may start in any folder, and finds our packages beside this one."""


class _Sent(msgspec.Struct):
    """What `publish push --json` prints."""

    manifests: list[str]
    bytes: int


def endpoint_url(variables: Mapping[str, str]) -> str:
    """Return the address of the S3 server, as `spack-farm publish` and boto3 take it; empty for AWS's own."""
    names = ("SPACK_FARM_PUBLISH_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "S3_ENDPOINT_URL")
    return next((variables[name] for name in names if variables.get(name)), "")


def on_mirror(
    call: Call, target: Target, nodes: Sequence[Node], *, trust: TrustHome | None, variables: Mapping[str, str]
) -> frozenset[str]:
    """Return the hashes of those nodes whose binary is on the mirror, whole and, if it is signed, well signed.

    Raises PublishError if the mirror does not answer: what could not be published is not to be built.
    """
    keys = {node.hash: layout.manifest_path(node.name, node.version, node.hash).as_posix() for node in nodes}
    signers = ["--trust", str(trust.home)] if target.signing_key_file and trust else ["--any-signer"]
    only = [word for key in keys.values() for word in ("--only", key)]
    code, printed = call(_argv("verify", target.url, *signers, "--quick", "--json", *only), _environment(variables))
    try:
        good = set(msgspec.json.decode(_last_line(printed), type=list[str])) if code in {0, 1} else set[str]()
    except msgspec.MsgspecError:
        code = 100
        good = set()
    if code not in {0, 1}:
        raise PublishError(_words(printed))
    return frozenset(dag_hash for dag_hash, key in keys.items() if key in good)


def send_argv(target: Target, unsigned: Path) -> list[str]:
    """Return the command line that signs and sends what Spack leaves in a folder, once it is told the environment."""
    signing = ["--signing-key-file", str(target.signing_key_file)] if target.signing_key_file else ["--unsigned"]
    if target.passphrase_file:
        signing += ["--signing-passphrase-file", str(target.passphrase_file)]
    return _argv("push", str(unsigned), target.url, "--replace", "--json", "--when-told", *signing)


def send_word(variables: Mapping[str, str]) -> bytes:
    """Return the line that tells it: the whole environment, secrets and all."""
    return msgspec.json.encode(_environment(variables))


def sent(code: int, printed: bytes, *, begun: float) -> Publish:
    """Return what stands in telemetry of what was sent since then. Raises PublishError with the process's words."""
    if code != 0:
        raise PublishError(_words(printed))
    said = msgspec.json.decode(_last_line(printed), type=_Sent)
    return Publish(
        state="published", url=said.manifests[-1], bytes=said.bytes, wall_seconds=round(time.monotonic() - begun, 3)
    )


def send_telemetry(call: Call, mirror_url: str, documents: Sequence[Path], *, variables: Mapping[str, str]) -> None:
    """Send what was measured. Raises PublishError with its words."""
    argv = _argv("telemetry", *map(str, documents), mirror_url)
    code, printed = call(argv, _environment(variables))
    if code != 0:
        raise PublishError(_words(printed))


def _argv(*words: str) -> list[str]:
    return [sys.executable, str(_PROGRAM), "publish", *words]


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment, with the address that Spack's own variable gives, and no colors."""
    changed = dict(variables) | {"NO_COLOR": "1"}
    if endpoint := endpoint_url(variables):
        changed["SPACK_FARM_PUBLISH_ENDPOINT_URL"] = endpoint
    return changed


def _last_line(printed: bytes) -> bytes:
    """Return the last line that is no word of ours: stderr comes with it."""
    lines = [line for line in printed.splitlines() if line.startswith((b"{", b"["))]
    return lines[-1] if lines else b""


def _words(printed: bytes) -> str:
    lines = printed.decode("utf-8", "replace").strip().splitlines()
    errors = [line.partition("error: ")[2] for line in lines if "error: " in line]
    return (errors or lines or ["spack-farm publish said nothing"])[-1]
