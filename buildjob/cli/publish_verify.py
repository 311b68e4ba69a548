"""`spack-farm publish verify`: check every manifest, signature, blob and index entry of a build cache."""

import contextlib
import sys

import msgspec

from buildjob.buildcache import verify
from buildjob.cli.publish_inputs import open_existing, open_mirror, processes_for, trust
from buildjob.cli.publish_options import Arguments, connections_of
from buildjob.errors import RequestError
from buildjob.log import Log
from buildjob.report.format import format_bytes

_FAULTS = 1


def run(arguments: Arguments, log: Log) -> int:
    """Verify; return the exit code. With `--json`, print the good binaries in place of the faults."""
    if bool(arguments.trust) == arguments.any_signer:
        raise RequestError("give --trust FILE with the public keys that may have signed, or --any-signer")
    connections = connections_of(arguments)
    options = verify.VerifyOptions(
        read_blobs=not arguments.quick,
        workers=connections,
        processes=processes_for(connections),
        manifest_keys=arguments.only,
        allow_missing=arguments.allow_missing,
    )
    findings, faults = verify.Findings(), 0
    with contextlib.ExitStack() as stack:
        trusted = None if arguments.any_signer else stack.enter_context(trust(arguments.trust))
        # some binaries that are looked for may be missing together with the build cache
        store = (open_mirror if arguments.only else open_existing)(arguments, arguments.mirror, log)
        for fault in verify.verify(store, trusted, findings, options):
            faults += 1
            if not arguments.json:
                sys.stdout.write(f"{fault.key}: {fault.text}\n")
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(findings.good_keys).decode() + "\n")
    good = len(findings.good_keys)
    log.note(f"{good} of {findings.binaries} binaries are good, {findings.indexed} are indexed, {faults} faults")
    if findings.not_redistributable:
        log.note(
            f"{len(findings.not_redistributable)} packages must not be redistributed; binaries that need them do without"
        )
    if findings.unindexed:
        log.note(f"{findings.unindexed} binaries are announced and not yet in the index; publish index adds them")
    if findings.unreferenced:
        size = format_bytes(findings.unreferenced_bytes)
        log.note(f"{findings.unreferenced} blobs, {size}, are named by no manifest; publish prune deletes them")
    return _FAULTS if faults else 0
