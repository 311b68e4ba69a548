"""The command line of `spack-farm publish`: verbs, options, and which of them the environment may give.

Knows words, not what they lead to; loads nothing that `--help` does not need.
"""

import argparse
from collections.abc import Mapping
from typing import Literal

from buildjob import options
from buildjob.errors import RequestError

_PREFIX = "SPACK_FARM_PUBLISH_"
_EPILOG = """\
examples:
  spack-farm publish push unsigned/ s3://binaries/main --signing-key-file key.asc
  spack-farm publish index s3://binaries/main --rebuild
  spack-farm publish verify s3://binaries/main --trust public.asc
  spack-farm publish notarize s3://binaries/ci s3://binaries/release --trust ci.asc --signing-key-command 'vault kv get …'
  spack-farm publish prune s3://binaries/main --keep spack.lock --older-than 720h

exit codes:
  0 all is well
  1 verify found faults, or notarize left binaries out
  2 bad request
 70 a bug in spack-farm
100 publishing failed; what is on the mirror is consistent, and the same command goes on where it stopped

Options may be given as variables too: SPACK_FARM_PUBLISH_ENDPOINT_URL, SPACK_FARM_PUBLISH_SIGNING_KEY_FILE, …; an option
wins. Credentials come from where boto3 finds them: variables, profile, web identity, instance.
"""
# Options that the environment may give; the switch says true or false.
_FROM_ENVIRONMENT = (
    "endpoint_url", "region", "profile", "ca_file", "path_style", "connections", "signing_key_file", "signing_key_command",
    "signing_passphrase_file", "scratch",
)  # fmt: skip


class Arguments(argparse.Namespace):
    """All options of all verbs, with their types."""

    verb: Literal["push", "index", "notarize", "verify", "prune", "ls", "keys", "telemetry"]
    unsigned_folder: str
    mirror: str
    source: str
    endpoint_url: str | None
    region: str | None
    profile: str | None
    ca_file: str | None
    path_style: bool | str | None
    connections: str | None
    scratch: str | None
    signing_key_file: str | None
    signing_key_command: str | None
    signing_passphrase_file: str | None
    unsigned: bool
    replace: bool
    no_index: bool
    rebuild: bool
    single_writer: bool
    trust: list[str]
    known_key: list[str]
    any_signer: bool
    only: list[str]
    quick: bool
    keep: list[str]
    older_than: str
    grace: str
    apply: bool
    dry_run: bool
    add: list[str]
    documents: list[str]
    place: Literal["protected", "other"] | None
    json: bool
    when_told: bool


def parser(prog: str = "spack-farm publish") -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    new = argparse.ArgumentParser(
        prog=prog,
        description="Put signed binaries on a mirror that any Spack installs from, and keep the mirror in order.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = new.add_subparsers(dest="verb", required=True, metavar="push|index|notarize|verify|prune|ls|keys|telemetry")
    push = _verb(verbs, "push", "sign what Spack wrote unsigned into a folder, send it, and update the index")
    push.add_argument("unsigned_folder", metavar="FOLDER", help="what `spack buildcache push --unsigned` wrote")
    _mirror(push)
    _signing(push)
    push.add_argument("--unsigned", action="store_true", help="send without signing: the mirror's users check no signatures")
    push.add_argument("--replace", action="store_true", help="send also what the mirror has already")
    push.add_argument("--no-index", action="store_true", help="leave the index to a later publish index")
    push.add_argument(
        "--single-writer", action="store_true", help="promise that no other update of the index runs: no conditions, no lock"
    )
    push.add_argument("--dry-run", action="store_true", help="only say what would be sent")
    push.add_argument("--json", action="store_true", help="print what was sent as a JSON object")
    push.add_argument("--when-told", action="store_true", help=argparse.SUPPRESS)  # the agent's: see publish_cli
    index = _verb(verbs, "index", "merge into the index what pushes have announced")
    _mirror(index)
    index.add_argument("--rebuild", action="store_true", help="read every spec on the mirror instead of the old index")
    index.add_argument(
        "--single-writer", action="store_true", help="promise that no other update of the index runs: no conditions, no lock"
    )
    notarize = _verb(verbs, "notarize", "check a mirror's binaries and give them the release key's signature on another")
    notarize.add_argument("source", metavar="SOURCE", help="the mirror that builds publish to")
    _mirror(notarize)
    _signing(notarize)
    notarize.add_argument("--trust", metavar="FILE", action="append", default=[], help="public keys that builds sign with")
    notarize.add_argument(
        "--known-key", metavar="FILE", action="append", default=[], help="further public keys that the release mirror offers"
    )
    verify = _verb(verbs, "verify", "check every manifest, signature, blob and index entry")
    _mirror(verify)
    verify.add_argument("--trust", metavar="FILE", action="append", default=[], help="public keys that may have signed")
    verify.add_argument("--any-signer", action="store_true", help="check no signatures")
    verify.add_argument("--only", metavar="KEY", action="append", default=[], help="look at this manifest and at no index")
    verify.add_argument("--json", action="store_true", help="print the keys of the good binaries as a JSON array")
    verify.add_argument("--quick", action="store_true", help="look at the blobs' sizes, not at their bytes")
    prune = _verb(verbs, "prune", "delete binaries that nobody keeps: mark them now, delete them in a run after the grace")
    _mirror(prune)
    prune.add_argument("--keep", metavar="FILE", action="append", default=[], help="a spack.lock whose packages are kept")
    prune.add_argument("--older-than", metavar="TIME", required=True, help="keep what is younger, such as 720h")
    prune.add_argument("--grace", metavar="TIME", default="24h", help="between marking and deleting (default: 24h)")
    prune.add_argument("--apply", action="store_true", help="do it; without, only say what would be done")
    ls = _verb(verbs, "ls", "list the binaries that the index names")
    _mirror(ls)
    ls.add_argument("--json", action="store_true", help="a JSON object a line")
    keys = _verb(verbs, "keys", "show the public keys that a mirror offers, or add some")
    _mirror(keys)
    keys.add_argument("--add", metavar="FILE", action="append", default=[], help="public keys to offer")
    telemetry = _verb(verbs, "telemetry", "send what builds measured to where sizes are learned from")
    telemetry.add_argument("documents", metavar="PATH", nargs="+", help="a telemetry.json, or a folder with some below it")
    _mirror(telemetry)
    telemetry.add_argument(
        "--place",
        choices=["protected", "other"],
        help="telemetry/v1/PLACE; the credentials must allow it (default: what CI_COMMIT_REF_PROTECTED says)",
    )
    return new


def _verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, words: str) -> argparse.ArgumentParser:
    return verbs.add_parser(
        name,
        help=words,
        description=f"{words[0].upper()}{words[1:]}.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _mirror(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("mirror", metavar="MIRROR", help="a folder, a file:// URL, or s3://BUCKET/PREFIX")
    s3 = verb.add_argument_group("S3")
    s3.add_argument("--endpoint-url", metavar="URL", help="a server other than AWS")
    s3.add_argument("--region", metavar="NAME", help="the bucket's region")
    s3.add_argument("--profile", metavar="NAME", help="a profile of AWS's configuration files")
    s3.add_argument("--ca-file", metavar="FILE", help="certificates to trust instead of the usual ones")
    s3.add_argument("--path-style", action="store_true", default=None, help="bucket in the path, not in the host name")
    s3.add_argument("--connections", metavar="N", help="requests at a time (default: 8)")
    verb.add_argument("--scratch", metavar="FOLDER", help="where the index passes through (default: the system's)")


def _signing(verb: argparse.ArgumentParser) -> None:
    signing = verb.add_argument_group("signing")
    signing.add_argument("--signing-key-file", metavar="FILE", help="the secret key: armored, binary, or base64 of armored")
    signing.add_argument("--signing-key-command", metavar="TEXT", help="a shell command that prints it (KMS, Vault)")
    signing.add_argument("--signing-passphrase-file", metavar="FILE", help="its passphrase")


def add_environment(arguments: Arguments, variables: Mapping[str, str]) -> None:
    """Fill in what the environment gives; an option wins."""
    for option in _FROM_ENVIRONMENT:
        text = variables.get(_PREFIX + option.upper())
        if text and getattr(arguments, option, "") is None:
            setattr(arguments, option, text)


def is_on(said: bool | str | None, option: str) -> bool:  # noqa: FBT001  what an option or a variable says
    """Say whether an option or a variable switches something on. Raises RequestError if it says neither."""
    if isinstance(said, str):
        return options.switch(said, option)
    return bool(said)


def connections_of(arguments: Arguments) -> int:
    """Return how many requests may run at a time. Raises RequestError if that is no such number."""
    text = arguments.connections or "8"
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise RequestError(f"--connections {text}: give a number from 1 to 256")
    return int(text)
