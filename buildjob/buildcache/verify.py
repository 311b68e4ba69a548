"""The story "verify": is every binary in a build cache intact, signed by a trusted key, and in the index; and nothing else.

Reads, never writes. Each fault is a value: which object, what is wrong with it.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator

import msgspec

from buildjob.buildcache import documents, index, layout, push_record, specs
from buildjob.buildcache.indexing import merge
from buildjob.buildcache.manifest import BlobRef, parse_manifest
from buildjob.buildcache.signing import TrustHome
from buildjob.buildcache.storage.store import Store
from buildjob.buildcache.workers import WORTH_TASKS, can_be_forked, in_parallel, in_processes
from buildjob.errors import NotFound, PublishError

_LARGEST_MANIFEST_BYTES = 1 << 20


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong in a build cache."""

    key: str
    text: str


class CheckedBinary(msgspec.Struct, frozen=True, kw_only=True):
    """A binary in a build cache that has passed every check of its own."""

    manifest_key: str
    dag_hash: str
    text: bytes
    """Its manifest without the signature, as gpg returned it if there was one."""
    blobs: list[BlobRef]
    nodes: dict[str, specs.SpecNode]
    """Of its concrete spec."""


class Findings(msgspec.Struct, kw_only=True):
    """What a verification has counted so far."""

    binaries: int = 0
    good_keys: list[str] = []
    """Of the manifests of binaries without a fault."""
    indexed: int = 0
    unindexed: int = 0
    """Binaries that a push has announced to the next update of the index: not a fault."""


class VerifyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to verify."""

    read_blobs: bool = True
    """Read every byte; otherwise compare sizes only."""
    workers: int = 8
    processes: int = 1
    """For a large build cache, if this process can be forked; the workers are shared among them."""
    manifest_keys: list[str] = []
    """Check only these binaries, and not the index; everything if empty."""


def verify(store: Store, trust: TrustHome | None, findings: Findings, options: VerifyOptions) -> Iterator[Fault]:
    """Yield the faults of a build cache; `findings` counts meanwhile. Without `trust`, signatures are not checked."""
    # Read before the index: an update may merge and delete a record in between, and then the index has its binaries.
    announced = {binary.dag_hash for binary in push_record.announced(store)}
    there: set[str] = set()
    for manifest_key, fault in _checked(store, trust, options):
        findings.binaries += 1
        there.add(layout.hash_of(manifest_key))
        if fault:
            yield Fault(key=manifest_key, text=fault)
        else:
            findings.good_keys.append(manifest_key)
    if not options.manifest_keys:
        yield from _index_faults(store, there, announced, findings)


def check(store: Store, manifest_key: str, trust: TrustHome | None, *, read_blobs: bool) -> CheckedBinary | Fault:
    """Check one binary: signature, form, the spec that its key names, and with `read_blobs` every byte."""
    where = f"{store.url}/{manifest_key}"
    try:
        signed = store.read(manifest_key, limit_bytes=_LARGEST_MANIFEST_BYTES).data
        text = signed if trust is None else trust.signed_text(signed)
        if text is None:
            is_signed = signed.startswith(b"-----")
            return Fault(
                key=manifest_key, text="bad signature, or signed by an untrusted key" if is_signed else "not signed"
            )
        manifest = parse_manifest(text, where=where)
        spec = documents.spec_blob(manifest, where=where)  # read and checked below
        for blob in manifest.data:
            if blob is not spec and (fault := _blob_fault(store, blob, read=read_blobs)):
                return Fault(key=manifest_key, text=fault)
        nodes = documents.spec_of(store, manifest, where=where)
    except NotFound as error:
        return Fault(key=manifest_key, text=f"an object is missing: {error}")
    except PublishError as error:
        return Fault(key=manifest_key, text=str(error))
    root, node = next(iter(nodes.items()))
    if not specs.is_named(manifest_key.removeprefix(layout.SPECS), root, node):
        return Fault(key=manifest_key, text=f"its spec is another one than its key names: {root}")
    return CheckedBinary(manifest_key=manifest_key, dag_hash=root, text=text, blobs=manifest.data, nodes=nodes)


def _blob_fault(store: Store, blob: BlobRef, *, read: bool) -> str:
    key = layout.blob(blob.checksum)
    try:
        size, checksum = store.digest(key) if read else (_size(store, key), blob.checksum)
    except NotFound:
        return f"{key} is missing"
    if size != blob.content_length:
        return f"{key} has {size} bytes, not {blob.content_length}"
    return "" if checksum == blob.checksum else f"{key} does not have the checksum in its name"


def _size(store: Store, key: str) -> int:
    info = store.stat(key)
    if info is None:
        raise NotFound(key)
    return info.size_bytes


def _checked(store: Store, trust: TrustHome | None, options: VerifyOptions) -> Iterator[tuple[str, str]]:
    """Yield each manifest key with the binary's fault, empty if it has none; from several processes if that is worth it."""

    def checker(of: Store) -> Callable[[str], str]:
        def fault_of(manifest_key: str) -> str:
            found = check(of, manifest_key, trust, read_blobs=options.read_blobs)
            return found.text if isinstance(found, Fault) else ""

        return fault_of

    keys = iter(options.manifest_keys or documents.manifest_keys(store))
    first = list(itertools.islice(keys, WORTH_TASKS))
    keys = itertools.chain(first, keys)
    if options.processes > 1 and len(first) == WORTH_TASKS and can_be_forked():
        threads = -(-options.workers // options.processes)
        return in_processes(keys, lambda: checker(store.reopened()), processes=options.processes, threads=threads)
    return in_parallel(keys, checker(store), workers=options.workers)


def _index_faults(store: Store, there: set[str], announced: set[str], findings: Findings) -> Iterator[Fault]:
    """Yield where the index differs from the binaries that are there, and from its own dependencies."""
    missing = set(there)
    counts: dict[str, int] = {}
    needed: dict[str, int] = {}
    """How often each node is a dependency in the index: what its entry has to count."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(index.opened(store))
        except PublishError as error:
            if there - announced:
                yield Fault(key=layout.INDEX, text=str(error))
            return
        for dag_hash, entry, spec in merge.entries(file):
            findings.indexed += entry.in_buildcache
            counts[dag_hash] = entry.ref_count
            for dependency in specs.parse_node(spec).dependencies:
                needed[dependency] = needed.get(dependency, 0) + 1
            if entry.in_buildcache and dag_hash not in there:
                yield Fault(key=layout.INDEX, text=f"names {dag_hash}, which is not in the build cache")
            if entry.in_buildcache:
                missing.discard(dag_hash)
    findings.unindexed = len(missing & announced)
    for dag_hash in sorted(missing - announced):
        yield Fault(key=layout.INDEX, text=f"lacks {dag_hash}; publish index --rebuild finds it")
    for dag_hash in sorted(needed.keys() - counts.keys()):
        yield Fault(key=layout.INDEX, text=f"lacks {dag_hash}, on which others depend")
    for dag_hash in sorted(each for each in counts if counts[each] != needed.get(each, 0)):
        yield Fault(
            key=layout.INDEX, text=f"counts {counts[dag_hash]} dependents of {dag_hash}, not {needed.get(dag_hash, 0)}"
        )
