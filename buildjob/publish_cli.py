"""`spack-farm publish`: binaries onto a mirror, its index, its keys, and what is to be known of it.

The command line and its one way out; the stories are in `publishing/`. Options may come from `SPACK_FARM_PUBLISH_…`.
"""

import argparse
import contextlib
import shlex
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from buildjob import request
from buildjob.errors import AgentError, PublishError, RequestError
from buildjob.log import Log
from buildjob.outcome import BUG, EXIT_CODES

if TYPE_CHECKING:
    from buildjob import sign
    from buildjob.publishing import index, push
    from buildjob.publishing.store import Store

_FAULTS = 1
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


class _Arguments(argparse.Namespace):
    """All options of all verbs, with their types."""

    verb: Literal["push", "index", "notarize", "verify", "prune", "ls", "keys"]
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
    json: bool


def parser(prog: str = "spack-farm publish") -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    new = argparse.ArgumentParser(
        prog=prog,
        description="Put signed binaries on a mirror that any Spack installs from, and keep the mirror in order.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = new.add_subparsers(dest="verb", required=True, metavar="push|index|notarize|verify|prune|ls|keys")
    push = _verb(verbs, "push", "sign what Spack wrote unsigned into a folder, send it, and update the index")
    push.add_argument("unsigned_folder", metavar="FOLDER", help="what `spack buildcache push --unsigned` wrote")
    _mirror(push)
    _signing(push)
    push.add_argument("--unsigned", action="store_true", help="send without signing: the mirror's users check no signatures")
    push.add_argument("--replace", action="store_true", help="send also what the mirror has already")
    push.add_argument("--no-index", action="store_true", help="leave the index to a later publish index")
    push.add_argument(
        "--single-writer", action="store_true", help="no other update of the index runs; for servers without If-Match"
    )
    push.add_argument("--dry-run", action="store_true", help="only say what would be sent")
    push.add_argument("--json", action="store_true", help="print what was sent as a JSON object")
    index = _verb(verbs, "index", "merge into the index what pushes have announced")
    _mirror(index)
    index.add_argument("--rebuild", action="store_true", help="read every spec on the mirror instead of the old index")
    index.add_argument(
        "--single-writer", action="store_true", help="no other update of the index runs; for servers without If-Match"
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run `spack-farm publish` with these arguments; return its exit code."""
    arguments = parser().parse_args(argv, namespace=_Arguments())
    variables = request.environment()
    color = not variables.get("NO_COLOR") and (bool(variables.get("CI")) or sys.stderr.isatty())
    log = Log(sys.stderr, color=color)
    verbs: dict[str, Callable[[_Arguments, Log], int]] = {
        "push": _push, "index": _index, "notarize": _notarize, "verify": _verify, "prune": _prune, "ls": _ls, "keys": _keys,
    }  # fmt: skip
    try:
        _add_environment(arguments, variables)
        return verbs[arguments.verb](arguments, log)
    except AgentError as error:
        log.error(str(error))
        return EXIT_CODES[error.outcome]
    except BrokenPipeError:
        return 128 + 13
    except Exception:  # noqa: BLE001  the one place that catches broadly
        log.error("a bug in spack-farm; please report it with these lines\n" + traceback.format_exc())
        return BUG


def _add_environment(arguments: _Arguments, variables: Mapping[str, str]) -> None:
    for option in _FROM_ENVIRONMENT:
        text = variables.get(_PREFIX + option.upper())
        if text and getattr(arguments, option, "") is None:
            setattr(arguments, option, text)


def _open(arguments: _Arguments, url: str) -> "Store":
    from buildjob.publishing.open import Reach, open_store  # noqa: PLC0415  --help need not load it

    return open_store(
        url,
        Reach(
            endpoint_url=arguments.endpoint_url,
            region=arguments.region,
            profile=arguments.profile,
            ca_file=arguments.ca_file,
            path_style=_is_on(arguments.path_style, "--path-style"),
            connections=_connections(arguments),
        ),
    )


def _is_on(said: bool | str | None, option: str) -> bool:  # noqa: FBT001  what an option or a variable says
    if isinstance(said, str):
        return request.switch(said, option)
    return bool(said)


def _connections(arguments: _Arguments) -> int:
    text = arguments.connections or "8"
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise RequestError(f"--connections {text}: give a number from 1 to 256")
    return int(text)


def _indexing(arguments: _Arguments) -> "index.Options":
    from buildjob.publishing import index  # noqa: PLC0415

    return index.Options(
        workers=_connections(arguments),
        scratch=Path(arguments.scratch) if arguments.scratch else None,
        rebuild=getattr(arguments, "rebuild", False),
        single_writer=getattr(arguments, "single_writer", False),
    )


@contextlib.contextmanager
def _signer(arguments: _Arguments) -> Iterator["sign.Signer"]:
    """Give the signer; the key lives in a home of its own, in memory where there is such a place, and goes with it."""
    from buildjob import sign  # noqa: PLC0415

    file, command = arguments.signing_key_file, arguments.signing_key_command
    if bool(file) == bool(command):
        raise RequestError("give one of --signing-key-file and --signing-key-command")
    passphrase = Path(arguments.signing_passphrase_file) if arguments.signing_passphrase_file else None
    if passphrase and not passphrase.is_file():
        raise RequestError(f"--signing-passphrase-file {passphrase}: there is no such file")
    with sign.throw_away_home() as home:
        yield sign.Signer(home, Path(file) if file else _key_of(command or ""), passphrase)


def _key_of(command: str) -> bytes:
    done = subprocess.run(["/bin/sh", "-c", command], check=False, stdout=subprocess.PIPE)
    if done.returncode:
        name = shlex.split(command, comments=True)[:1]
        raise PublishError(f"--signing-key-command: {' '.join(name)} … ended with {done.returncode}; its words are above")
    return done.stdout


@contextlib.contextmanager
def _trust(files: Sequence[str]) -> Iterator["sign.TrustHome"]:
    from buildjob import sign  # noqa: PLC0415

    with sign.throw_away_home() as folder:
        home = sign.TrustHome(folder)
        for file in files:
            if not Path(file).exists():
                raise RequestError(f"--trust {file}: there is no such file")
            home.trust(sign.public_keys(Path(file)))
        yield home


def _push(arguments: _Arguments, log: Log) -> int:
    from buildjob.publishing import push  # noqa: PLC0415

    folder = Path(arguments.unsigned_folder)
    if not folder.is_dir():
        raise RequestError(f"{folder}: there is no such folder")
    if arguments.unsigned and (arguments.signing_key_file or arguments.signing_key_command):
        raise RequestError("--unsigned and a signing key exclude each other")
    store = _open(arguments, arguments.mirror)
    asked = push.plan(folder, store, replace=arguments.replace, workers=_connections(arguments))
    if asked.there:
        log.note(f"{len(asked.there)} binaries are on the mirror already (--replace sends them again)")
    if arguments.dry_run:
        for entry in asked.entries:
            sys.stdout.write(f"{store.url}/{entry.key}\n")
        log.note(f"would send {len(asked.entries)} binaries, {asked.bytes / 1e6:.1f} MB at most")
        return 0
    options = push.Options(
        workers=_connections(arguments),
        update_index=not arguments.no_index,
        indexing=_indexing(arguments),
        progress=_progress(),
    )
    if arguments.unsigned:
        pushed = push.push(asked, store, sign=lambda text, _where: text, options=options)
    else:
        with _signer(arguments) as signer:
            pushed = push.push(asked, store, sign=lambda text, where: signer.clearsign(text, where=where), options=options)
    if asked.entries:
        log.note(f"sent {len(pushed.manifests)} binaries, {pushed.bytes / 1e6:.1f} MB, to {store.url}")
    _tell_index(log, pushed)
    if arguments.json:
        shown = {"manifests": [f"{store.url}/{key}" for key in pushed.manifests], "bytes": pushed.bytes}
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
    return 0


def _tell_index(log: Log, pushed: "push.Pushed") -> None:
    if pushed.index is None:
        log.note("the index was left alone; publish index brings it up to date")
    elif pushed.index.swung:
        log.note(f"the index has {pushed.index.added} binaries more")
    else:
        log.note("the index is up to date")


def _progress() -> Callable[[int, int, int], None]:
    """Return what rewrites one line on a terminal, and says nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda _done, _all, _bytes: None

    def show(done: int, every: int, size: int) -> None:
        sys.stderr.write(f"\rspack-farm: {done} of {every} binaries, {size / 1e6:.1f} MB\x1b[K")
        if done == every:
            sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()

    return show


def _index(arguments: _Arguments, log: Log) -> int:
    from buildjob.publishing import index  # noqa: PLC0415

    done = index.update(_open(arguments, arguments.mirror), _indexing(arguments))
    log.note(f"{done.added} binaries added" if done.swung else "the index is up to date")
    if done.unfinished:
        log.warning(f"{done.unfinished} announced binaries have not appeared: their push runs still, or was killed")
    return 0


def _notarize(arguments: _Arguments, log: Log) -> int:
    from buildjob.publishing import keys, notary, push  # noqa: PLC0415

    if not arguments.trust:
        raise RequestError("give the builds' public keys with --trust FILE")
    known = frozenset(each for file in arguments.known_key for each in keys.fingerprints(_read(file, "--known-key")))
    workers = _connections(arguments)
    options = notary.Options(
        workers=workers, known_keys=known, pushing=push.Options(workers=workers, indexing=_indexing(arguments))
    )
    source, target = _open(arguments, arguments.source), _open(arguments, arguments.mirror)
    taken = left = 0
    with _trust(arguments.trust) as trust, _signer(arguments) as signer:
        for found in notary.notarize(source, target, trust, signer, options):
            if isinstance(found, notary.Taken):
                taken += 1
                sys.stdout.write(f"taken {found.key}\n")
            else:
                left += 1
                sys.stdout.write(f"left  {found.key}: {found.text}\n")
    log.note(f"{taken} binaries taken to {target.url}, {left} left")
    return _FAULTS if left else 0


def _read(file: str, option: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise RequestError(f"{option} {file}: {error.strerror}") from error


def _verify(arguments: _Arguments, log: Log) -> int:
    from buildjob.publishing import verify  # noqa: PLC0415

    if bool(arguments.trust) == arguments.any_signer:
        raise RequestError("give --trust FILE with the public keys that may have signed, or --any-signer")
    store = _open(arguments, arguments.mirror)
    verdict, faults = verify.Verdict(), 0
    with contextlib.ExitStack() as stack:
        trust = None if arguments.any_signer else stack.enter_context(_trust(arguments.trust))
        options = verify.Options(blobs=not arguments.quick, workers=_connections(arguments), only=arguments.only)
        for fault in verify.verify(store, trust, verdict, options):
            faults += 1
            if not arguments.json:
                sys.stdout.write(f"{fault.key}: {fault.text}\n")
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(verdict.good_keys).decode() + "\n")
    log.note(
        f"{len(verdict.good_keys)} of {verdict.binaries} binaries are good, {verdict.indexed} are indexed, {faults} faults"
    )
    if verdict.unindexed:
        log.note(f"{verdict.unindexed} binaries are announced and not yet in the index; publish index adds them")
    return _FAULTS if faults else 0


def _prune(arguments: _Arguments, log: Log) -> int:
    from buildjob.publishing import prune  # noqa: PLC0415

    policy = prune.Policy(
        hashes=frozenset().union(*(prune.kept_by(Path(file)) for file in arguments.keep)),
        age_seconds=request.seconds(arguments.older_than, "--older-than"),
        grace_seconds=request.seconds(arguments.grace, "--grace"),
    )
    store = _open(arguments, arguments.mirror)
    asked = prune.plan(store, policy, workers=_connections(arguments))
    for key in (*asked.doomed, *asked.orphans):
        sys.stdout.write(f"{'due   ' if key in asked.due_manifests or key in asked.due_blobs else 'doomed'} {key}\n")
    log.note(
        f"{len(asked.doomed)} binaries and {len(asked.orphans)} stray blobs are kept by nobody; "
        f"{len(asked.due_manifests)} and {len(asked.due_blobs)} blobs are due"
    )
    if not arguments.apply:
        log.note("nothing was changed; --apply does it")
        return 0
    if asked.due_manifests or asked.due_blobs:
        deleted = prune.delete(store, asked, _indexing(arguments))
        log.note(f"{deleted.manifests} binaries and {deleted.blobs} blobs were deleted")
        if not deleted.is_complete:
            log.warning("the time for one run was over; run it again")
    if prune.mark(store, asked):
        log.note(f"the others were marked; a run after {arguments.grace} deletes them")
    return 0


def _ls(arguments: _Arguments, _log: Log) -> int:
    from buildjob.publishing import index, splice  # noqa: PLC0415

    with index.opened(_open(arguments, arguments.mirror)) as file:
        for dag_hash, entry, spec in splice.entries(file):
            if not entry.in_buildcache:
                continue
            row = msgspec.json.decode(spec, type=_Listed)
            if arguments.json:
                shown = {"name": row.name, "version": row.version, "hash": dag_hash, "architecture": row.architecture}
                sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
            else:
                sys.stdout.write(f"{dag_hash[:7]}  {row.architecture}  {row.name}@{row.version}\n")
    return 0


class _Arch(msgspec.Struct, frozen=True):
    platform: str = ""
    platform_os: str = ""
    target: msgspec.Raw = msgspec.Raw(b'""')


class _Target(msgspec.Struct, frozen=True):
    name: str = ""


class _Listed(msgspec.Struct):
    """Of a node, what `ls` shows."""

    name: str
    version: str
    arch: _Arch = _Arch()

    @property
    def architecture(self) -> str:
        """As Spack writes it; a target is a name, or an object that has one."""
        target = msgspec.json.decode(self.arch.target, type=str | _Target)
        name = target if isinstance(target, str) else target.name
        return f"{self.arch.platform}-{self.arch.platform_os}-{name}"


def _keys(arguments: _Arguments, log: Log) -> int:
    from buildjob.publishing import keys  # noqa: PLC0415

    store = _open(arguments, arguments.mirror)
    for file in arguments.add:
        for fingerprint in keys.add(store, _read(file, "--add")):
            log.note(f"{fingerprint} added")
    for fingerprint in keys.published(store):
        sys.stdout.write(f"{fingerprint}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
