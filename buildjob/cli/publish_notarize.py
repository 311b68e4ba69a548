"""`spack-farm publish notarize`: check what builds have signed, and sign it with the release key on another build cache."""

import sys

from buildjob.buildcache import keys, notarize, push
from buildjob.cli.publish_inputs import SOME_LEFT_OUT, index_options, open_existing, open_mirror, read, signer, trust
from buildjob.cli.publish_options import Arguments, connections_of
from buildjob.errors import RequestError
from buildjob.log import Log


def run(arguments: Arguments, log: Log) -> int:
    """Notarize; return the exit code."""
    if not arguments.trust:
        raise RequestError("give the builds' public keys with --trust FILE")
    known = frozenset(each for file in arguments.known_key for each in keys.fingerprints(read(file, "--known-key")))
    workers = connections_of(arguments)
    options = notarize.NotarizeOptions(
        workers=workers,
        known_keys=known,
        pushing=push.PushOptions(workers=workers, indexing=index_options(arguments)),
        private=arguments.private,
        already_there=lambda number: _log_there(log, number, arguments.mirror),
    )
    source = open_existing(arguments, arguments.source, log)
    target = open_mirror(arguments, arguments.mirror, log)
    taken = left = kept = 0
    with trust(arguments.trust) as builds, signer(arguments) as own:
        for found in notarize.notarize(source, target, builds, own, options):
            if isinstance(found, notarize.Taken):
                taken += 1
                sys.stdout.write(f"taken {found.manifest_key}\n")
            elif isinstance(found, notarize.Kept):
                kept += 1
                sys.stdout.write(f"kept  {found.manifest_key}: it must not be redistributed\n")
            else:
                left += 1
                sys.stdout.write(f"left  {found.key}: {found.text}\n")
    log.note(f"{taken} binaries signed and copied to {target.url}, {left} left out")
    if kept:
        log.note(f"{kept} binaries must not be redistributed and stay where they are (--private if {target.url} is private)")
    return SOME_LEFT_OUT if left else 0


def _log_there(log: Log, number: int, mirror: str) -> None:
    # to read them all again would cost a run what the whole build cache is worth, not what is new
    if number:
        log.note(f"{number} binaries are in {mirror} already, and were not looked at: publish verify checks them")
