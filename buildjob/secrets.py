"""Which environment variables a process may see: package code must never have our keys and tokens.

Pure: names and values in, environments out. Knows the names that GitLab, AWS, CDash and Spack use, not what they open.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

# Whole words within a name: SPACK_CDASH_AUTH_TOKEN, MY_S3_SECRET, CI_REGISTRY_PASSWORD, SPACK_SIGNING_KEY …
_SECRET_WORDS = re.compile(
    r"(?:^|_)(?:TOKENS?|SECRETS?|PASSWORDS?|PASSWD|PASSPHRASES?|CREDENTIALS?|JWT|"
    r"(?:SIGNING|PRIVATE|ACCESS|API|SECRET|DEPLOY|SSH)_?KEYS?)(?:_|$)",
    re.IGNORECASE,
)
# What opens something although its name does not say so.
_SECRET_NAMES = frozenset({
    "CI_REPOSITORY_URL",  # holds the job token
    "CI_DEPENDENCY_PROXY_USER", "CI_DEPLOY_USER", "CI_REGISTRY_USER",
    "DOCKER_AUTH_CONFIG", "KUBECONFIG", "NETRC",
    "GPG_AGENT_INFO", "SSH_AUTH_SOCK", "SSH_AGENT_PID",  # an agent signs for whoever asks
    "GNUPGHOME", "SPACK_GNUPGHOME",
    "JOB_RESPONSE_FILE",
})  # fmt: skip
# Where a mirror's credentials come from: for the Spack that fetches binaries, never for one that runs package code.
_MIRROR_PREFIXES = ("AWS_", "S3_", "GOOGLE_", "AZURE_", "MINIO_")
_HARMLESS = frozenset({"AWS_CA_BUNDLE", "AWS_DEFAULT_REGION", "AWS_EC2_METADATA_DISABLED", "AWS_REGION"})
# A value shorter than this is no secret worth the name, and would be found in every second text.
_SHORTEST_SECRET = 6


class Environments(msgspec.Struct, frozen=True, kw_only=True):
    """One environment, split by who may see what."""

    build: dict[str, str]
    """For everything that runs package code."""
    fetch: dict[str, str]
    """The same and the mirrors' credentials: for Spack when it fetches binaries."""
    secret_names: frozenset[str]
    """The variables that package code does not get."""
    secret_values: frozenset[str]
    """What no document of ours may contain."""


def split(environment: Mapping[str, str], *, mirror_variables: Iterable[str] = ()) -> Environments:
    """Split an environment; `mirror_variables` are the names that Spack's mirror configuration takes credentials from.

    A variable that merely repeats a secret's value (`URL=https://user:TOKEN@host`) goes with the secret.
    """
    from_mirrors = set(mirror_variables)
    mirrors = {n for n in environment if n in from_mirrors or (n.startswith(_MIRROR_PREFIXES) and n not in _HARMLESS)}
    ours = {n for n in environment if n in _SECRET_NAMES or _SECRET_WORDS.search(n)} - mirrors
    values = {environment[n] for n in mirrors | ours if len(environment[n]) >= _SHORTEST_SECRET}
    # A path is where a secret lies (`…_TOKEN_FILE`), not the secret.
    values = {value for value in values if not value.startswith("/")}
    carriers = {n for n, text in environment.items() if any(value in text for value in values)} - mirrors
    hidden = ours | carriers
    return Environments(
        build={n: v for n, v in environment.items() if n not in hidden and n not in mirrors},
        fetch={n: v for n, v in environment.items() if n not in hidden},
        secret_names=frozenset(hidden | mirrors),
        secret_values=frozenset(values),
    )
