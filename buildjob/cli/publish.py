"""`spack-farm publish`: binaries onto a mirror, its index, its keys, and what is to be known of it.

The verbs and their one way out; the stories are in `publishing/`. Options may come from `SPACK_FARM_PUBLISH_…`.
"""

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from buildjob import extra, options
from buildjob.cli.publish_inputs import indexing, open_mirror, processes_for, signer, signer_meanwhile, trust
from buildjob.cli.publish_options import Arguments, add_environment, connections_of, parser
from buildjob.errors import AgentError, Interrupted, RequestError
from buildjob.log import Log
from buildjob.outcome import BUG, EXIT_CODES, Outcome

if TYPE_CHECKING:
    from buildjob.buildcache import push
    from buildjob.buildcache.signing import Signer

_FAULTS = 1
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `spack-farm publish` with these arguments; return its exit code."""
    arguments = parser().parse_args(argv, namespace=Arguments())
    if not getattr(arguments, "when_told", False):
        return _run(arguments)
    code = _run(arguments) if _get_told(arguments) else 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the agent waits, and to take down all that boto3 has loaded takes a while


def _run(arguments: Arguments) -> int:
    variables = options.environment()
    color = not variables.get("NO_COLOR") and (bool(variables.get("CI")) or sys.stderr.isatty())
    log = Log(sys.stderr, color=color)
    verbs: dict[str, Callable[[Arguments, Log], int]] = {
        "push": _push, "index": _index, "notarize": _notarize, "verify": _verify, "prune": _prune, "ls": _ls, "keys": _keys,
        "telemetry": _telemetry,
    }  # fmt: skip
    try:
        with _stopped_in_order():
            add_environment(arguments, variables)
            return verbs[arguments.verb](arguments, log)
    except Interrupted as stopped:
        log.error("stopped; what is on the mirror is consistent, and the same command goes on where it stopped")
        return 128 + stopped.signal_number
    except AgentError as error:
        log.error(str(error))
        return EXIT_CODES[error.outcome]
    except BrokenPipeError:
        return 128 + 13
    except OSError as error:  # a full disk where the index passes through, a folder that may not be read
        log.error(f"{error.filename or 'a local file'}: {error.strerror or error}; what is on the mirror is consistent")
        return EXIT_CODES[Outcome.PUBLISH_FAILED]
    except Exception as error:  # noqa: BLE001  the one place that catches broadly
        if advice := extra.advice(error):
            log.error(advice)
            return EXIT_CODES[Outcome.BAD_REQUEST]
        log.error("a bug in spack-farm; please report it with these lines\n" + traceback.format_exc())
        return BUG


@contextlib.contextmanager
def _stopped_in_order() -> Iterator[None]:
    """Raise Interrupted where TERM, INT or HUP comes, so that keys, agents and processes go as they do at the end."""

    def stop(number: int, _frame: object) -> None:
        for each in _STOPS:
            # once is enough, but whoever presses Ctrl-C twice means it
            signal.signal(each, signal.SIG_DFL if each is signal.SIGINT else signal.SIG_IGN)
        raise Interrupted(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # what is ignored stays so: nohup
    before = {number: signal.signal(number, stop) for number in _STOPS if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _get_told(arguments: Arguments) -> bool:
    """Load what a push needs, wait for the environment in a line of JSON, and take it on; False if none comes.

    Whoever starts this program ahead of its time has not given it its secrets yet.
    """
    from buildjob.buildcache import push  # noqa: PLC0415
    from buildjob.buildcache.storage.open import load_for  # noqa: PLC0415

    del push
    load_for(arguments.mirror)
    if not arguments.unsigned:
        import gnupg  # noqa: PLC0415

        del gnupg
    line = sys.stdin.readline()
    if line:
        options.take_on(msgspec.json.decode(line, type=dict[str, str]))
    return bool(line)


def _push(arguments: Arguments, log: Log) -> int:
    folder = Path(arguments.unsigned_folder)
    if not folder.is_dir():
        raise RequestError(f"{folder}: there is no such folder")
    if arguments.unsigned and (arguments.signing_key_file or arguments.signing_key_command):
        raise RequestError("--unsigned and a signing key exclude each other")
    with contextlib.ExitStack() as stack:
        own = None if arguments.unsigned or arguments.dry_run else stack.enter_context(signer_meanwhile(arguments))
        return _push_signed(arguments, log, folder, own)


def _push_signed(arguments: Arguments, log: Log, folder: Path, own: "Callable[[], Signer] | None") -> int:
    from buildjob.buildcache import push  # noqa: PLC0415

    store = open_mirror(arguments, arguments.mirror)
    asked = push.plan(folder, store, replace=arguments.replace, workers=connections_of(arguments))
    if asked.there:
        log.note(f"{len(asked.there)} binaries are on the mirror already (--replace sends them again)")
    if arguments.dry_run:
        for entry in asked.entries:
            sys.stdout.write(f"{store.url}/{entry.key}\n")
        log.note(f"would send {len(asked.entries)} binaries, {asked.bytes / 1e6:.1f} MB at most")
        return 0
    options = push.Options(
        workers=connections_of(arguments),
        processes=processes_for(connections_of(arguments)),
        update_index=not arguments.no_index,
        indexing=indexing(arguments),
        progress=_progress(),
    )
    signer = own() if own else None
    sign: push.Sign = lambda text, where: signer.clearsign(text, where=where) if signer else text  # noqa: E731  typed here
    pushed = push.push(asked, store, sign=sign, options=options)
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


def _index(arguments: Arguments, log: Log) -> int:
    from buildjob.buildcache import index  # noqa: PLC0415

    done = index.update(open_mirror(arguments, arguments.mirror), indexing(arguments))
    log.note(f"{done.added} binaries added" if done.swung else "the index is up to date")
    if done.unfinished:
        log.warning(f"{done.unfinished} announced binaries have not appeared: their push runs still, or was killed")
    return 0


def _notarize(arguments: Arguments, log: Log) -> int:
    from buildjob.buildcache import keys, notarize, push  # noqa: PLC0415

    if not arguments.trust:
        raise RequestError("give the builds' public keys with --trust FILE")
    known = frozenset(each for file in arguments.known_key for each in keys.fingerprints(_read(file, "--known-key")))
    workers = connections_of(arguments)
    options = notarize.Options(
        workers=workers, known_keys=known, pushing=push.Options(workers=workers, indexing=indexing(arguments))
    )
    source, target = open_mirror(arguments, arguments.source), open_mirror(arguments, arguments.mirror)
    taken = left = 0
    with trust(arguments.trust) as builds, signer(arguments) as own:
        for found in notarize.notarize(source, target, builds, own, options):
            if isinstance(found, notarize.Taken):
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


def _verify(arguments: Arguments, log: Log) -> int:
    from buildjob.buildcache import verify  # noqa: PLC0415

    if bool(arguments.trust) == arguments.any_signer:
        raise RequestError("give --trust FILE with the public keys that may have signed, or --any-signer")
    store = open_mirror(arguments, arguments.mirror)
    verdict, faults = verify.Verdict(), 0
    with contextlib.ExitStack() as stack:
        trusted = None if arguments.any_signer else stack.enter_context(trust(arguments.trust))
        connections = connections_of(arguments)
        options = verify.Options(
            blobs=not arguments.quick,
            workers=connections,
            processes=processes_for(connections),
            only=arguments.only,
        )
        for fault in verify.verify(store, trusted, verdict, options):
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


def _prune(arguments: Arguments, log: Log) -> int:
    from buildjob.buildcache import prune  # noqa: PLC0415

    policy = prune.Policy(
        hashes=frozenset().union(*(prune.kept_by(Path(file)) for file in arguments.keep)),
        age_seconds=options.seconds(arguments.older_than, "--older-than"),
        grace_seconds=options.seconds(arguments.grace, "--grace"),
    )
    store = open_mirror(arguments, arguments.mirror)
    asked = prune.plan(store, policy, workers=connections_of(arguments))
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
        deleted = prune.delete(store, asked, indexing(arguments))
        log.note(f"{deleted.manifests} binaries and {deleted.blobs} blobs were deleted")
        if not deleted.is_complete:
            log.warning("the time for one run was over; run it again")
    if prune.mark(store, asked):
        log.note(f"the others were marked; a run after {arguments.grace} deletes them")
    return 0


def _ls(arguments: Arguments, _log: Log) -> int:
    from buildjob.buildcache import listing  # noqa: PLC0415

    for row in listing.listed(open_mirror(arguments, arguments.mirror)):
        if arguments.json:
            sys.stdout.write(msgspec.json.encode(row).decode() + "\n")
        else:
            sys.stdout.write(f"{row.hash[:7]}  {row.architecture}  {row.name}@{row.version}\n")
    return 0


def _keys(arguments: Arguments, log: Log) -> int:
    from buildjob.buildcache import keys  # noqa: PLC0415

    store = open_mirror(arguments, arguments.mirror)
    for file in arguments.add:
        for fingerprint in keys.add(store, _read(file, "--add")):
            log.note(f"{fingerprint} added")
    for fingerprint in keys.published(store):
        sys.stdout.write(f"{fingerprint}\n")
    return 0


def _telemetry(arguments: Arguments, log: Log) -> int:
    from buildjob.buildcache import send_telemetry  # noqa: PLC0415

    protected = options.environment().get("CI_COMMIT_REF_PROTECTED") == "true"
    place = arguments.place or ("protected" if protected else "other")
    files = send_telemetry.found([Path(path) for path in arguments.documents])
    store = open_mirror(arguments, arguments.mirror)
    sent = send_telemetry.send(files, store, place)
    log.note(f"{len(sent)} documents are below {store.url}/telemetry/v1/{place}/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
