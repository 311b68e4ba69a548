"""`spack-farm publish notarize`: check what builds have signed, and sign it with the release key on another build cache."""

from buildjob.buildcache import keys, notarize, push
from buildjob.buildcache.storage.retry import RetryPolicy
from buildjob.cli.publish_inputs import (
    SOME_LEFT_OUT,
    index_options,
    open_existing,
    open_mirror,
    progress_of,
    read,
    retries,
    signer,
    trust,
)
from buildjob.cli.publish_options import Arguments, connections_of
from buildjob.errors import RequestError
from buildjob.log import Log
from buildjob.report.format import format_bytes


def run(arguments: Arguments, log: Log) -> int:
    """Notarize; return the exit code."""
    if not arguments.trust:
        raise RequestError("give the builds' public keys with --trust FILE")
    known = frozenset(each for file in arguments.known_key for each in keys.fingerprints(read(file, "--known-key")))
    workers = connections_of(arguments)
    progress = progress_of("notarizing", log)
    options = notarize.NotarizeOptions(
        workers=workers,
        known_keys=known,
        pushing=push.PushOptions(workers=workers, indexing=index_options(arguments)),
        private=arguments.private,
        progress=progress,
        already_there=lambda number: _log_there(log, number, arguments.mirror),
    )
    policy = RetryPolicy(retried=progress.retried)
    source = open_existing(arguments, arguments.source, log, retries=policy)
    target = open_mirror(arguments, arguments.mirror, log, retries=policy)
    taken = left = kept = 0
    with progress, trust(arguments.trust) as builds, signer(arguments) as own:
        for found in notarize.notarize(source, target, builds, own, options):
            if isinstance(found, notarize.Taken):
                taken += 1
                if not log.is_quiet:
                    log.output(f"taken {found.manifest_key}")
            elif isinstance(found, notarize.Kept):
                kept += 1
                if not log.is_quiet:
                    log.output(f"kept  {found.manifest_key}: it must not be redistributed")
            else:
                left += 1
                log.output(f"left  {found.key}: {found.text}")
    facts = [f"{taken} binaries signed and copied to {target.url}", f"{left} left out"]
    size = [format_bytes(progress.bytes)] if progress.bytes else []
    log.summary(", ".join([*facts, *size, *retries(progress)]))
    if kept:
        log.note(f"{kept} binaries must not be redistributed and stay where they are (--private if {target.url} is private)")
    return SOME_LEFT_OUT if left else 0


def _log_there(log: Log, number: int, mirror: str) -> None:
    # to read them all again would cost a run what the whole build cache is worth, not what is new
    if number:
        log.note(f"{number} binaries are in {mirror} already, and were not looked at: publish verify checks them")
