"""`spack-farm publish verify`: check every manifest, signature, blob and index entry of a build cache."""

import contextlib
import sys

import msgspec

from buildjob.buildcache import verify
from buildjob.cli.publish_inputs import open_mirror, processes_for, trust
from buildjob.cli.publish_options import Arguments, connections_of
from buildjob.errors import RequestError
from buildjob.log import Log

_FAULTS = 1


def run(arguments: Arguments, log: Log) -> int:
    """Verify; return the exit code. With `--json`, print the good binaries in place of the faults."""
    if bool(arguments.trust) == arguments.any_signer:
        raise RequestError("give --trust FILE with the public keys that may have signed, or --any-signer")
    store = open_mirror(arguments, arguments.mirror)
    connections = connections_of(arguments)
    options = verify.VerifyOptions(
        read_blobs=not arguments.quick,
        workers=connections,
        processes=processes_for(connections),
        manifest_keys=arguments.only,
    )
    findings, faults = verify.Findings(), 0
    with contextlib.ExitStack() as stack:
        trusted = None if arguments.any_signer else stack.enter_context(trust(arguments.trust))
        for fault in verify.verify(store, trusted, findings, options):
            faults += 1
            if not arguments.json:
                sys.stdout.write(f"{fault.key}: {fault.text}\n")
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(findings.good_keys).decode() + "\n")
    good = len(findings.good_keys)
    log.note(f"{good} of {findings.binaries} binaries are good, {findings.indexed} are indexed, {faults} faults")
    if findings.unindexed:
        log.note(f"{findings.unindexed} binaries are announced and not yet in the index; publish index adds them")
    return _FAULTS if faults else 0
