"""The command line of `spack-farm publish`: verbs, options, and which of them variables may give.

Knows no verb's work, and loads nothing that `--help` does not need.
"""

import argparse
from collections.abc import Mapping
from typing import Literal

from buildjob import options
from buildjob.errors import RequestError

PREFIX = "SPACK_FARM_PUBLISH_"
_EPILOG = """\
examples:
  spack-farm publish push unsigned/ s3://binaries/main --signing-key-file key.asc
  spack-farm publish index s3://binaries/main --rebuild
  spack-farm publish verify s3://binaries/main --trust public.asc
  spack-farm publish notarize s3://binaries/ci s3://binaries/release --trust ci.asc --signing-key-command 'vault kv get …'
  spack-farm publish prune s3://binaries/main --keep spack.lock --older-than 720h

exit codes:
  0 success
  1 verify found faults; notarize, index --rebuild or prune left something out
  2 bad request, also: there is no build cache at MIRROR (push makes one)
 70 a bug in spack-farm
100 publishing failed; the build cache is consistent, and the same command continues from there
128+n interrupted by signal n

With --json, a verb that fails prints {"error": "…", "outcome": "…"} as the last line of standard output.

Options may be given as variables too: SPACK_FARM_PUBLISH_ENDPOINT_URL, SPACK_FARM_PUBLISH_SIGNING_KEY_FILE, …; an option
wins. Credentials come from boto3's sources: variables, profile, web identity, instance.
"""
_PRIVATE = "MIRROR is private: it may have what must not be redistributed"
# Options that variables may give; that of the switch is true or false.
FROM_ENVIRONMENT = (
    "endpoint_url", "region", "profile", "ca_file", "path_style", "connections", "signing_key_file", "signing_key_command",
    "signing_passphrase_file", "scratch", "spack",
)  # fmt: skip
VARIABLES = tuple(PREFIX + name.upper() for name in FROM_ENVIRONMENT)

_POSITIONAL = {"unsigned_folder": "FOLDER", "mirror": "MIRROR", "source": "SOURCE", "documents": "PATH"}
"""Arguments without an option, and how --help calls them."""

_NEEDS = {"signing_passphrase_file": ("signing_key_file", "signing_key_command"), "require": ("of",)}
_EXCLUDE = (("record", "only"), ("single_writer", "no_index"), ("spack", "private"), ("config_scope", "private"))
_OF_S3 = ("endpoint_url", "region", "profile", "ca_file", "path_style")


class Arguments(argparse.Namespace):
    """All options of all verbs, with their types; those of `spack-farm report` come last.

    What has a default is an option of some of the verbs.
    """

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
    rebuild: bool = False
    single_writer: bool = False
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
    of: str | None
    require: str | None
    private: bool
    record: bool
    allow_missing: bool
    spack: str | None
    config_scope: list[str] | None
    documents: list[str]
    place: Literal["protected", "other"] | None
    json: bool = False
    quiet: bool = False
    prestarted: Literal["boto3", "nothing"] | None = None
    """What is loaded while a push waits for its environment; None if it does not wait."""
    held: dict[str, bytes] = {}  # noqa: RUF012  replaced whole, by the one that gets what pipes gave to the agent
    output: str | None
    graph: str | None
    pipeline: str | None
    most: str | None


def parser(prog: str = "spack-farm publish") -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    new = argparse.ArgumentParser(
        prog=prog,
        description="Publish, index, verify and prune a build cache that any Spack installs from.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = new.add_subparsers(dest="verb", required=True, metavar="push|index|notarize|verify|prune|ls|keys|telemetry")
    for add in (_push, _index, _notarize, _verify, _prune, _ls, _keys, _telemetry):
        add(verbs)
    return new


def _push(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = _verb(verbs, "push", "sign what Spack wrote unsigned into a folder, upload it, and update the index")
    new.add_argument("unsigned_folder", metavar="FOLDER", help="what `spack buildcache push --unsigned` wrote")
    _mirror(new)
    _quiet(new)
    _signing(new)
    new.add_argument(
        "--unsigned", action="store_true", help="do not sign; users of the build cache must turn off signature checks"
    )
    new.add_argument("--private", action="store_true", help=_PRIVATE)
    new.add_argument(
        "--spack",
        metavar="FOLDER",
        help="the Spack whose recipes say what must not be redistributed (default: $SPACK_ROOT, PATH, or none)",
    )
    new.add_argument("-C", "--config-scope", metavar="FOLDER", action="append", help="a configuration scope for Spack")
    new.add_argument("--replace", action="store_true", help="upload also what the build cache has already")
    new.add_argument("--no-index", action="store_true", help="leave the index to a later publish index")
    new.add_argument(
        "--single-writer",
        action="store_true",
        help="no other update of the index runs: needs neither conditional writes nor a lock",
    )
    new.add_argument("--dry-run", action="store_true", help="only show what would be uploaded")
    new.add_argument("--json", action="store_true", help="print what was uploaded, or the error, as a JSON object")
    new.add_argument(  # for the agent: see publish_push
        "--prestarted", nargs="?", choices=("boto3", "nothing"), const="boto3", help=argparse.SUPPRESS
    )


def _index(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = _verb(verbs, "index", "merge into the index what pushes have announced")
    _mirror(new)
    _quiet(new)
    new.add_argument("--rebuild", action="store_true", help="read every spec instead of the old index")
    new.add_argument(
        "--single-writer",
        action="store_true",
        help="no other update of the index runs: needs neither conditional writes nor a lock",
    )


def _notarize(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = _verb(verbs, "notarize", "check a build cache's binaries and sign them with the release key on another one")
    new.add_argument("source", metavar="SOURCE", help="the build cache that builds publish to")
    _mirror(new)
    _quiet(new)
    _signing(new)
    new.add_argument("--trust", metavar="FILE", action="append", default=[], help="public keys that builds sign with")
    new.add_argument("--private", action="store_true", help=_PRIVATE)
    new.add_argument(
        "--known-key", metavar="FILE", action="append", default=[], help="further public keys that MIRROR may offer"
    )


def _verify(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = _verb(verbs, "verify", "check every manifest, signature, blob and index entry")
    _mirror(new)
    _quiet(new)
    new.add_argument("--trust", metavar="FILE", action="append", default=[], help="public keys that may have signed")
    new.add_argument(
        "--record", action="store_true", help="leave what was found on the mirror, for `spack-farm pipelines coverage`"
    )
    new.add_argument("--any-signer", action="store_true", help="accept any signer, or none")
    new.add_argument(
        "--only", metavar="KEY", action="append", default=[], help="check only this manifest, and not the index"
    )
    new.add_argument(
        "--json",
        action="store_true",
        help="print the good binaries' manifest keys as a JSON array, or the error as a JSON object",
    )
    new.add_argument("--quick", action="store_true", help="check the blobs' sizes, not their bytes")
    new.add_argument(
        "--allow-missing",
        action="store_true",
        help="binaries may need at run time what another build cache has: do not check that it is here",
    )


def _prune(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = _verb(
        verbs, "prune", "delete the binaries that no rule keeps: mark them now, delete them in a run after the grace period"
    )
    _mirror(new)
    _quiet(new)
    new.add_argument("--keep", metavar="FILE", action="append", default=[], help="keep the packages of this spack.lock")
    new.add_argument(
        "--older-than", metavar="TIME", required=True, help="delete only binaries older than this, such as 720h"
    )
    new.add_argument("--grace", metavar="TIME", default="24h", help="between marking and deleting (default: 24h)")
    new.add_argument("--apply", action="store_true", help="do it; without, only show what would be done")


def _ls(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = _verb(verbs, "ls", "list the binaries that the index names")
    _mirror(new)
    new.add_argument("--of", metavar="FILE", help="list only which of the manifest keys in FILE, one a line, are there")
    new.add_argument(
        "--require", choices=("manifest", "signature"), help="with --of: read each, and leave out those that lack this"
    )
    new.add_argument("--json", action="store_true", help="a JSON object a line; with --of, one array of manifest keys")


def _keys(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = _verb(verbs, "keys", "list the public keys that a build cache offers, or add some")
    _mirror(new)
    new.add_argument("--add", metavar="FILE", action="append", default=[], help="public keys to offer")


def _telemetry(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = _verb(verbs, "telemetry", "upload what builds measured to where sizes are computed from")
    new.add_argument("documents", metavar="PATH", nargs="+", help="a telemetry.json, or a folder with some below it")
    _mirror(new)
    new.add_argument(
        "--place",
        choices=["protected", "other"],
        help="telemetry/v1/PLACE; the credentials must allow it (default: by CI_COMMIT_REF_PROTECTED)",
    )
    new.add_argument("--json", action="store_true", help="print what was uploaded, or the error, as a JSON object")


def _verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str) -> argparse.ArgumentParser:
    return verbs.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _quiet(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("-q", "--quiet", action="store_true", help="show errors and the final result only")


def _mirror(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("mirror", metavar="MIRROR", help="a folder, a file:// URL, or s3://BUCKET/PREFIX")
    add_s3(verb)
    verb.add_argument("--scratch", metavar="FOLDER", help="for temporary copies of the index (default: the system's)")


def add_s3(verb: argparse.ArgumentParser) -> None:
    """Add the options that say how a bucket is reached."""
    s3 = verb.add_argument_group("S3")
    s3.add_argument("--endpoint-url", metavar="URL", help="a server other than AWS")
    s3.add_argument("--region", metavar="NAME", help="the bucket's region")
    s3.add_argument("--profile", metavar="NAME", help="a profile of AWS's configuration files")
    s3.add_argument("--ca-file", metavar="FILE", help="certificates to trust instead of the usual ones")
    s3.add_argument("--path-style", action="store_true", default=None, help="bucket in the path, not in the host name")
    s3.add_argument("--connections", metavar="N", help="requests at a time (default: 8)")


def _signing(verb: argparse.ArgumentParser) -> None:
    signing = verb.add_argument_group("signing")
    signing.add_argument("--signing-key-file", metavar="FILE", help="the secret key: armored, binary, or base64 of armored")
    signing.add_argument("--signing-key-command", metavar="TEXT", help="a shell command that prints it (KMS, Vault)")
    signing.add_argument("--signing-passphrase-file", metavar="FILE", help="its passphrase")


def add_environment(arguments: Arguments, variables: Mapping[str, str]) -> None:
    """Fill in the options that variables give; an option on the command line wins.

    Raises RequestError for an option or a variable that is empty, and for a variable that gives no option.
    """
    options.reject_empty(vars(arguments), positional=_POSITIONAL)
    options.reject_misspelled(variables, PREFIX, FROM_ENVIRONMENT, verb="publish")
    _reject_useless(arguments)
    for option in FROM_ENVIRONMENT:
        text = variables.get(PREFIX + option.upper())
        if text and getattr(arguments, option, "") is None:
            setattr(arguments, option, text)


def _reject_useless(arguments: Arguments) -> None:
    """Raise RequestError for options that have no effect beside the others."""
    given = vars(arguments)
    options.reject_useless(given, _NEEDS, known=given)
    for name, other in _EXCLUDE:
        if given.get(name) and given.get(other):  # a switch that is not given is False
            raise RequestError(f"{options.option_of(name)} has no effect with {options.option_of(other)}: omit one of them")
    addresses = [given.get("mirror") or "", given.get("source") or ""]
    if not any(address.startswith("s3:") for address in addresses):
        for name in _OF_S3:
            if options.is_given(given.get(name)):
                raise RequestError(f"{options.option_of(name)} has no effect on {addresses[0]}, which is not in S3: omit it")


def is_on(given: bool | str | None, option: str) -> bool:  # noqa: FBT001  by an option or by a variable
    """Return whether a switch is on. Raises RequestError if a variable gives neither true nor false."""
    if isinstance(given, str):
        return options.switch(given, option)
    return bool(given)


def connections_of(arguments: Arguments) -> int:
    """Return how many requests may run at a time. Raises RequestError if it is not from 1 to 256."""
    text = arguments.connections or "8"
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise RequestError(f"--connections {text}: give a number from 1 to 256")
    return int(text)
