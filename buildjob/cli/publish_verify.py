"""`spack-farm publish verify`: check every manifest, signature, blob and index entry of a build cache."""

import contextlib
import datetime as dt
import functools
import sys

import msgspec

from buildjob.buildcache import inventory, layout, verify
from buildjob.buildcache.storage.retry import RetryPolicy
from buildjob.buildcache.storage.store import Store
from buildjob.cli.publish_inputs import open_existing, open_mirror, processes_for, progress_of, retries, trust
from buildjob.cli.publish_options import Arguments, connections_of
from buildjob.errors import RequestError
from buildjob.log import Log
from buildjob.report.format import format_bytes, format_count

_FAULTS = 1


class _Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `--record` leaves on the mirror, version 1: docs/reference/verified.schema.json."""

    version: int
    at: str
    """When the verification began: RFC 3339, UTC."""
    good: list[str]
    """DAG hashes of the binaries without a fault, sorted."""
    faults: dict[str, str]
    """DAG hash -> its first fault."""


def run(arguments: Arguments, log: Log) -> int:
    """Verify; return the exit code. With `--json`, print the good binaries in place of the faults."""
    if bool(arguments.trust) == arguments.any_signer:
        raise RequestError("give --trust FILE with the public keys that may have signed, or --any-signer")
    connections = connections_of(arguments)
    progress = progress_of("verifying", log, total=len(arguments.only) or None)
    options = verify.VerifyOptions(
        read_blobs=not arguments.quick,
        workers=connections,
        processes=processes_for(connections),
        manifest_keys=arguments.only,
        allow_missing=arguments.allow_missing,
        progress=progress,
    )
    findings, faults, faulty = verify.Findings(), 0, dict[str, str]()
    begun = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    with contextlib.ExitStack() as stack:
        stack.enter_context(progress)
        trusted = None if arguments.any_signer else stack.enter_context(trust(arguments.trust))
        # some binaries that are looked for may be missing together with the build cache
        opening = open_mirror if arguments.only else open_existing
        store = opening(arguments, arguments.mirror, log, retries=RetryPolicy(retried=progress.retried))
        progress.count = functools.partial(inventory.count, store)
        for fault in verify.verify(store, trusted, findings, options):
            faults += 1
            if dag_hash := layout.hash_of(fault.key):
                faulty.setdefault(dag_hash, fault.text)
            if not arguments.json:
                log.output(f"{fault.key}: {fault.text}")
        if arguments.record:
            _record(store, _Report(version=1, at=begun, good=sorted(map(layout.hash_of, findings.good_keys)), faults=faulty))
            log.note(f"{store.url}/{layout.VERIFIED} says what was found")
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(findings.good_keys).decode() + "\n")
    good = len(findings.good_keys)
    binaries = format_count(findings.binaries, "binary", "binaries")
    facts = [f"{good} of {binaries} good", f"{findings.indexed} indexed", format_count(faults, "fault")]
    read = [f"{format_bytes(progress.bytes)} read"] if progress.bytes and not arguments.quick else []
    log.note(", ".join([*facts, *read, *retries(progress)]))
    if findings.not_redistributable:
        log.note(
            f"{format_count(len(findings.not_redistributable), 'package')} must not be redistributed; "
            "binaries that need them do without"
        )
    if findings.unindexed:
        count = format_count(findings.unindexed, "binary", "binaries")
        log.note(f"{count} announced and not yet in the index; publish index adds them")
    if findings.unreferenced:
        size = format_bytes(findings.unreferenced_bytes)
        log.note(
            f"{format_count(findings.unreferenced, 'blob')}, {size}, that no manifest names; publish prune deletes them"
        )
    return _FAULTS if faults else 0


def _record(store: Store, report: _Report) -> None:
    """Leave the report; of two verifications at once, the last to end is the one that stays."""
    store.write(layout.VERIFIED, msgspec.json.encode(report))
