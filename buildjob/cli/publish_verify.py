"""`spack-farm publish verify`: check every manifest, signature, blob and index entry of a build cache."""

import contextlib
import datetime as dt
import functools
import shlex
import sys
from collections.abc import Iterator, Sequence

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
_MOST_SPECS = 10
_SHORT, _LONG = 7, 32
"""Length of a DAG hash as it is written, and whole."""


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
    findings, faults, faulty, keys = verify.Findings(), 0, dict[str, str](), list[str]()
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
            keys.append(fault.key)
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
    read = [f"{format_bytes(progress.bytes)} read"] if progress.bytes else []
    log.summary(", ".join([*facts, *read, *retries(progress)]))
    _log_notes(findings, log)
    for command in mending(keys, arguments.mirror):
        log.summary(f"help: {command}")
    return _FAULTS if faults else 0


def _log_notes(findings: verify.Findings, log: Log) -> None:
    """Log what was found beside the faults."""
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
            f"{format_count(findings.unreferenced, 'blob')}, {size}, that no manifest names; "
            "publish prune --older-than TIME deletes them once they are as old"
        )


def mending(keys: Sequence[str], mirror: str) -> Iterator[str]:
    """Yield the commands that mend a build cache in which these objects have a fault: each once, in their order.

    A build publishes again what is damaged, unsigned or signed by a stranger; it builds only what is not installed.
    """
    binaries = dict.fromkeys(found for key in keys if (found := _spec_of(key)))
    if binaries:
        shown = list(binaries)[:_MOST_SPECS]
        more = f"   # and {len(binaries) - len(shown):,} more" if len(binaries) > len(shown) else ""
        # KEY stands for a file that a verification does not know
        yield f"{shlex.join(['spack-farm', 'build', *shown, '--mirror', mirror])} --signing-key-file KEY{more}"
    if {layout.INDEX, layout.LAYOUT} & set(keys):
        yield shlex.join(["spack-farm", "publish", "index", mirror, "--rebuild"])


def _spec_of(key: str) -> str:
    """Return the spec of a binary as Spack finds it by its hash, `zlib/abcdefg`; "" for any other object."""
    name, dag_hash = key.removeprefix(layout.SPECS).partition("/")[0], layout.hash_of(key)
    return f"{name}/{dag_hash[:_SHORT]}" if key.startswith(layout.SPECS) and len(dag_hash) == _LONG else ""


def _record(store: Store, report: _Report) -> None:
    """Leave the report; of two verifications at once, the last to end is the one that stays."""
    store.write(layout.VERIFIED, msgspec.json.encode(report))
