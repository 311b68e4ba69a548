"""The story "verify": is every binary on a mirror whole, well signed, and in the index, and does the index promise no more.

Reads, never writes. Each fault is a value: which object, what is wrong with it.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator

import msgspec

from buildjob.buildcache import documents, index, index_merge, layout, push_record, specs
from buildjob.buildcache.manifest import BlobRef, parse_manifest
from buildjob.buildcache.signing import TrustHome
from buildjob.buildcache.storage.store import Store
from buildjob.buildcache.workers import WORTH_TASKS, can_be_forked, in_parallel, in_processes
from buildjob.errors import NotFound, PublishError

_LARGEST_MANIFEST_BYTES = 1 << 20


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it must be."""

    key: str
    text: str


class Binary(msgspec.Struct, frozen=True, kw_only=True):
    """A binary on a mirror that has passed every check of its own."""

    key: str
    hash: str
    text: bytes
    """Its manifest without the signature, as gpg gave it where there is one."""
    blobs: list[BlobRef]
    nodes: dict[str, specs.Node]
    """Of its concrete spec."""


def binary(store: Store, key: str, trust: TrustHome | None, *, blobs: bool) -> Binary | Fault:
    """Check one binary: signature, form, the spec that its name says, and with `blobs` every byte. None trusts all."""
    where = f"{store.url}/{key}"
    try:
        signed = store.read(key, limit_bytes=_LARGEST_MANIFEST_BYTES).data
        text = signed if trust is None else trust.signed_text(signed)
        if text is None:
            kind = "its signature is not good, or by nobody trusted" if signed.startswith(b"-----") else "it is not signed"
            return Fault(key=key, text=kind)
        manifest = parse_manifest(text, where=where)
        spec = documents.spec_blob(manifest, where=where)  # which is read anyhow, below
        for blob in manifest.data:
            if blob is not spec and (fault := _blob_fault(store, blob, whole=blobs)):
                return Fault(key=key, text=fault)
        nodes = documents.spec_of(store, manifest, where=where)
    except NotFound as error:
        return Fault(key=key, text=f"something of it is missing: {error}")
    except PublishError as error:
        return Fault(key=key, text=str(error))
    root, node = next(iter(nodes.items()))
    if not specs.is_named(key.removeprefix(layout.SPECS), root, node):
        return Fault(key=key, text=f"it holds another spec than its name says: {root}")
    return Binary(key=key, hash=root, text=text, blobs=manifest.data, nodes=nodes)


def _blob_fault(store: Store, blob: BlobRef, *, whole: bool) -> str:
    key = layout.blob(blob.checksum)
    try:
        size, checksum = store.digest(key) if whole else (_size(store, key), blob.checksum)
    except NotFound:
        return f"{key} is missing"
    if size != blob.content_length:
        return f"{key} has {size} bytes, {blob.content_length} were promised"
    return "" if checksum == blob.checksum else f"{key} has another content than its name says"


def _size(store: Store, key: str) -> int:
    seen = store.stat(key)
    if seen is None:
        raise NotFound(key)
    return seen.size_bytes


def manifests(store: Store) -> Iterator[str]:
    """Yield the keys of all binaries' manifests."""
    return (seen.key for seen in store.list(layout.SPECS) if seen.key.endswith(layout.MANIFEST_END))


class Verdict(msgspec.Struct, kw_only=True):
    """What was looked at, while it is looked at."""

    binaries: int = 0
    good_keys: list[str] = []
    indexed: int = 0
    unindexed: int = 0
    """Binaries whose push has announced them to the next update of the index: no fault."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to verify."""

    blobs: bool = True
    """Read every byte; otherwise look at sizes only."""
    workers: int = 8
    processes: int = 1
    """A large mirror is read by so many, each with its share of the workers, where this process can be forked."""
    only: list[str] = []
    """Look at these manifests and at no index; at everything if empty."""


def verify(store: Store, trust: TrustHome | None, verdict: Verdict, options: Options) -> Iterator[Fault]:
    """Yield the faults of a mirror; `verdict` counts meanwhile."""
    announced = {
        entry.hash
        for seen in push_record.pending(store)
        for entry in (push_record.read(store, seen.key) or push_record.Push()).entries
    }
    there: set[str] = set()
    for key, fault in _checked(store, trust, options):
        verdict.binaries += 1
        there.add(layout.hash_of(key))
        if fault:
            yield Fault(key=key, text=fault)
        else:
            verdict.good_keys.append(key)
    if not options.only:
        yield from _index_faults(store, there, announced, verdict)


def _checked(store: Store, trust: TrustHome | None, options: Options) -> Iterator[tuple[str, str]]:
    """Yield each manifest's key with its fault, empty if it has none; in several processes where that is worth it."""

    def checker(of: Store) -> Callable[[str], str]:
        def one(key: str) -> str:
            found = binary(of, key, trust, blobs=options.blobs)
            return found.text if isinstance(found, Fault) else ""

        return one

    keys = iter(options.only or manifests(store))
    first = list(itertools.islice(keys, WORTH_TASKS))
    keys = itertools.chain(first, keys)
    if options.processes > 1 and len(first) == WORTH_TASKS and can_be_forked():
        threads = -(-options.workers // options.processes)
        return in_processes(keys, lambda: checker(store.reopened()), processes=options.processes, threads=threads)
    return in_parallel(keys, checker(store), workers=options.workers)


def _index_faults(store: Store, there: set[str], announced: set[str], verdict: Verdict) -> Iterator[Fault]:
    missing = set(there)
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(index.opened(store))
        except PublishError as error:
            if there - announced:
                yield Fault(key=layout.INDEX, text=str(error))
            return
        counts: dict[str, int] = {}
        needed: dict[str, int] = {}
        for dag_hash, entry, spec in index_merge.entries(file):
            verdict.indexed += entry.in_buildcache
            counts[dag_hash] = entry.ref_count
            for dependency in specs.parse_node(spec).dependencies:
                needed[dependency] = needed.get(dependency, 0) + 1
            if entry.in_buildcache and dag_hash not in there:
                yield Fault(key=layout.INDEX, text=f"promises {dag_hash}, which is not on the mirror")
            if entry.in_buildcache:
                missing.discard(dag_hash)
    verdict.unindexed = len(missing & announced)
    for dag_hash in sorted(missing - announced):
        yield Fault(key=layout.INDEX, text=f"lacks {dag_hash}; publish index --rebuild finds it")
    for dag_hash in sorted(needed.keys() - counts.keys()):
        yield Fault(key=layout.INDEX, text=f"lacks {dag_hash}, on which others depend")
    for dag_hash in sorted(each for each in counts if counts[each] != needed.get(each, 0)):
        yield Fault(
            key=layout.INDEX, text=f"counts {counts[dag_hash]} dependents of {dag_hash}, not {needed.get(dag_hash, 0)}"
        )
