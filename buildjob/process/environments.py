"""Which environment variables a process may see: package code must never have our keys and tokens.

`split` is pure: names and values in, environments out. It knows the names that GitLab, AWS, CDash and Spack use, not what
they give access to. `forget` hides this process's own secrets from its descendants, which may read `/proc/PID/environ` of
every process of their user. The environment of an ancestor stays readable: see the README.
Source: proc(5), `/proc/pid/environ`, fields 50 and 51 of `/proc/pid/stat`.
"""

import ctypes
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

# Between underscores, or at an end of the name: SPACK_CDASH_AUTH_TOKEN, MY_S3_SECRET, CI_REGISTRY_PASSWORD …
_SECRET_PARTS = re.compile(
    r"(?:^|_)(?:TOKENS?|SECRETS?|PASSWORDS?|PASSWD|PASSPHRASES?|CREDENTIALS?|JWT|"
    r"(?:SIGNING|PRIVATE|ACCESS|API|SECRET|DEPLOY|SSH)_?KEYS?)(?:_|$)",
    re.IGNORECASE,
)
# Secrets whose name does not say so.
_SECRET_NAMES = frozenset({
    "CI_REPOSITORY_URL",  # holds the job token
    "CI_DEPENDENCY_PROXY_USER", "CI_DEPLOY_USER", "CI_REGISTRY_USER",
    "DOCKER_AUTH_CONFIG", "KUBECONFIG", "NETRC",
    "GPG_AGENT_INFO", "SSH_AUTH_SOCK", "SSH_AGENT_PID",  # an agent signs for every process of its user
    "GNUPGHOME", "SPACK_GNUPGHOME",
    "JOB_RESPONSE_FILE",
})  # fmt: skip
# Credentials of build caches: for the Spack that fetches binaries, never for one that runs package code.
_MIRROR_PREFIXES = ("AWS_", "S3_", "GOOGLE_", "AZURE_", "MINIO_")
_HARMLESS = frozenset({"AWS_CA_BUNDLE", "AWS_DEFAULT_REGION", "AWS_EC2_METADATA_DISABLED", "AWS_REGION"})
# A shorter value is hardly a secret, and masking it would spoil texts that contain it by chance.
_SHORTEST_SECRET = 6


class Environments(msgspec.Struct, frozen=True, kw_only=True):
    """One environment, split by who may see what."""

    build: dict[str, str]
    """For everything that runs package code."""
    fetch: dict[str, str]
    """The same with the credentials of build caches: for Spack when it fetches binaries."""
    secret_names: frozenset[str]
    """The variables that package code does not receive."""
    secret_values: frozenset[str]
    """What no document may contain."""


def split(environment: Mapping[str, str], *, mirror_variables: Iterable[str] = ()) -> Environments:
    """Split an environment; `mirror_variables` are the names that Spack's mirror configuration takes credentials from.

    A variable that contains a secret's value (`URL=https://user:TOKEN@host`) is hidden like the secret.
    """
    from_mirrors = set(mirror_variables)
    mirrors = {n for n in environment if n in from_mirrors or (n.startswith(_MIRROR_PREFIXES) and n not in _HARMLESS)}
    ours = {n for n in environment if n in _SECRET_NAMES or _SECRET_PARTS.search(n)} - mirrors
    values = {environment[n] for n in mirrors | ours if len(environment[n]) >= _SHORTEST_SECRET}
    # a path is where a secret lies (`…_TOKEN_FILE`), not the secret
    values = {value for value in values if not value.startswith("/")}
    carriers = {n for n, text in environment.items() if any(value in text for value in values)} - mirrors
    hidden = ours | carriers
    return Environments(
        build={n: v for n, v in environment.items() if n not in hidden and n not in mirrors},
        fetch={n: v for n, v in environment.items() if n not in hidden},
        secret_names=frozenset(hidden | mirrors),
        secret_values=frozenset(values),
    )


def forget(names: Iterable[str]) -> None:
    """Remove the variables from this process, and their values from what the kernel shows of it. Raises OSError."""
    # a variable that is deleted leaves its bytes in the memory that the kernel shows: they are overwritten there
    hidden = {os.fsencode(name) for name in names}
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[47]), int(fields[48])  # fields 50 and 51; the list begins with field 3
    # from memory: `/proc/self/environ` is closed to a process that has secluded itself
    shown = ctypes.string_at(start, end - start) if start else b""
    at = 0
    for entry in shown.split(b"\0"):
        name, _, value = entry.partition(b"=")
        # never beyond the end of what the kernel shows: other memory may lie there
        if name in hidden and value and start + at + len(entry) <= end:
            ctypes.memset(start + at + len(name) + 1, 0, len(value))
        at += len(entry) + 1
    for variable in names:
        os.environ.pop(variable, None)  # noqa: TID251  it is not read, but deleted
