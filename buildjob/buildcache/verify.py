"""The story "verify": is every binary in a build cache intact, signed by a trusted key, and in the index; and nothing else.

Good is what Spack accepts, and no less: docs/publish.md has the points in which this is stricter. Reads, never writes. Each
fault is a value: which object, what is wrong with it.
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator

import msgspec

from buildjob.buildcache import dependencies, documents, index, inventory, layout, push_record, specs
from buildjob.buildcache.indexing import merge
from buildjob.buildcache.inventory import Fault
from buildjob.buildcache.manifest import LARGEST_MANIFEST_BYTES, BlobRef, parse_manifest
from buildjob.buildcache.signing import TrustHome
from buildjob.buildcache.storage.store import Store
from buildjob.buildcache.workers import WORTH_TASKS, can_be_forked, in_parallel, in_processes
from buildjob.errors import Denied, NotFound, PublishError, Unavailable
from status_line.progress import Progress, silent

_LONGEST_FAULT = 2000
_MOST_BLOBS = 500
_MOST_NEEDS = 200


class CheckedBinary(msgspec.Struct, frozen=True, kw_only=True):
    """A binary in a build cache that has passed every check of its own."""

    manifest_key: str
    dag_hash: str
    text: bytes
    """Its manifest without the signature, as gpg returned it if there was one."""
    blobs: list[BlobRef]
    nodes: dict[str, specs.SpecNode]
    """Of its concrete spec."""
    not_redistributable: list[str] = []
    """As its manifest says."""


class Findings(msgspec.Struct, kw_only=True):
    """What a verification has counted so far."""

    binaries: int = 0
    good_keys: list[str] = []
    """Of the manifests of binaries without a fault."""
    indexed: int = 0
    unindexed: int = 0
    """Binaries that a push has announced to the next update of the index: not a fault."""
    unreferenced: int = 0
    """Blobs that nothing names, and that were there when the verification began: not a fault."""
    unreferenced_bytes: int = 0
    not_redistributable: set[str] = set()
    """DAG hashes of what binaries need and must not be there, as their pushes have noted: not a fault."""


class VerifyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to verify."""

    read_blobs: bool = True
    """Read every byte; otherwise compare sizes only."""
    workers: int = 8
    processes: int = 1
    """For a large build cache, if this process can be forked; the workers are shared among them."""
    manifest_keys: list[str] = []
    """Check only these binaries, and not the index; everything if empty."""
    allow_missing: bool = False
    """Binaries may need at run time what is not in the build cache: another one has it."""
    wall: Callable[[], float] = time.time
    progress: Progress = msgspec.field(default_factory=silent)
    """Counts the binaries that were checked, and the bytes that were read of them."""


def verify(store: Store, trust: TrustHome | None, findings: Findings, options: VerifyOptions) -> Iterator[Fault]:
    """Yield the faults of a build cache; `findings` counts meanwhile. Without `trust`, signatures are not checked."""
    is_whole, begun = not options.manifest_keys, options.wall()
    if is_whole and (fault := documents.layout_fault(store)):
        yield Fault(key=layout.LAYOUT, text=fault)
    # Read before the index: an update may merge and delete a record in between, and then the index has its binaries.
    announced = {binary.dag_hash for binary in push_record.announced(store)}
    there: set[str] = set()
    named = _Named()
    left_out: list[Fault] = []
    graph = dependencies.Graph()
    for manifest_key, result in _checked(store, trust, options, left_out):
        findings.binaries += 1
        options.progress.add(size_bytes=result.bytes if options.read_blobs else 0)
        there.add(layout.hash_of(manifest_key))
        named.add(result.blobs)
        if result.fault:
            yield Fault(key=manifest_key, text=result.fault)
            continue
        findings.good_keys.append(manifest_key)
        findings.not_redistributable |= set(result.not_redistributable)
        graph.add(manifest_key, result.needs)
    yield from left_out
    intact = set(map(layout.hash_of, findings.good_keys))  # what a rebuild would index, whatever else these need
    findings.not_redistributable -= there
    if not options.allow_missing:
        yield from _dependency_faults(store, graph, there, findings, options)
    if is_whole:
        yield from _index_faults(store, there, announced, findings, intact=intact)
        _count_unreferenced(store, named, findings, before_seconds=begun)


def _dependency_faults(
    store: Store, graph: dependencies.Graph, there: set[str], findings: Findings, options: VerifyOptions
) -> Iterator[Fault]:
    """Yield which binaries need at run time what is not there; they are good no longer."""
    known = there | findings.not_redistributable
    if options.manifest_keys:
        # the others were not listed: what these need is asked for
        closure = [each for key in findings.good_keys for each in dependencies.missing_of(store, key, known)]
        found = dependencies.present(store, {each.manifest_key for each in closure}, workers=options.workers)
        known |= {layout.hash_of(key) for key in found}
        lacking = [key for key in findings.good_keys if dependencies.missing_of(store, key, known)]
    else:
        lacking = graph.lacking(known)
    bad = set(lacking[dependencies.LINES_AT_MOST :])
    for key, text in dependencies.faults(store, lacking, known, workers=options.workers):
        bad.add(key)
        yield Fault(key=key, text=text)
    findings.good_keys = [key for key in findings.good_keys if key not in bad]


def check(store: Store, manifest_key: str, trust: TrustHome | None, *, read_blobs: bool) -> CheckedBinary | Fault:
    """Check one binary: signature, form, the spec that its key names, and with `read_blobs` every byte.

    Raises Denied and Unavailable if the storage can't be read at all.
    """
    where = f"{store.url}/{manifest_key}"
    try:
        signed = store.read(manifest_key, limit_bytes=LARGEST_MANIFEST_BYTES).data
        text = signed if trust is None else trust.signed_text(signed)
        manifest = parse_manifest(text, where=where)
        spec = documents.spec_blob(manifest, where=where)  # read and checked below
        if all(blob.media_type != layout.TARBALL_MEDIA_TYPE for blob in manifest.data):
            return Fault(key=manifest_key, text="names no tarball that Spack installs")
        for blob in manifest.data:
            if blob is not spec and (fault := _blob_fault(store, blob, read=read_blobs)):
                return Fault(key=manifest_key, text=fault)
        nodes = documents.spec_of(store, manifest, where=where)
    except NotFound as error:
        return Fault(key=manifest_key, text=f"an object is missing: {error}")
    except (Denied, Unavailable):
        raise
    except PublishError as error:
        return inventory.fault_from(error, manifest_key, store)
    root, node = next(iter(nodes.items()))
    if not specs.is_named(manifest_key.removeprefix(layout.SPECS), root, node):
        return Fault(key=manifest_key, text=f"its spec is another one than its key names: {root}")
    return CheckedBinary(
        manifest_key=manifest_key,
        dag_hash=root,
        text=text,
        blobs=manifest.data,
        nodes=nodes,
        not_redistributable=manifest.not_redistributable or [],
    )


def _result_of(found: CheckedBinary) -> "_Result":
    blobs = [blob.checksum for blob in found.blobs][:_MOST_BLOBS]
    try:
        needs = dependencies.direct(found.dag_hash, found.nodes)
    except PublishError as error:
        return _Result(str(error)[:_LONGEST_FAULT], blobs)
    # what it does not need says nothing about it, whether we or Spack wrote it
    forbidden = [each for each in found.not_redistributable if each in found.nodes]
    return _Result(
        "", blobs, needs[:_MOST_NEEDS], forbidden[:_MOST_NEEDS], bytes=sum(each.content_length for each in found.blobs)
    )


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


class _Result(msgspec.Struct, frozen=True):
    """What one check found, in a form that passes between processes."""

    fault: str
    """Empty if there is none."""
    blobs: list[str]
    """What the manifest names, as far as it can be read at all; the first of very many."""
    needs: list[str] = []
    """DAG hashes of the binaries that it needs directly at run time; the first of very many."""
    not_redistributable: list[str] = []
    """Those of the DAG hashes that its manifest says must not be redistributed that it needs."""
    bytes: int = 0
    """The sizes of its blobs; 0 if there is a fault."""


def _checked(
    store: Store, trust: TrustHome | None, options: VerifyOptions, left_out: list[Fault]
) -> Iterator[tuple[str, _Result]]:
    """Yield each manifest key with what was found; from several processes if that is worth it."""

    def checker(of: Store) -> Callable[[str], str]:
        def result_of(manifest_key: str) -> str:
            try:
                found = check(of, manifest_key, trust, read_blobs=options.read_blobs)
            except Denied as error:
                if options.manifest_keys:  # who asks for some binaries must know that they could not be looked at
                    raise
                found = inventory.fault_from(error, manifest_key, of)
            if isinstance(found, Fault):
                result = _Result(found.text[:_LONGEST_FAULT], _blobs_of(of, manifest_key)[:_MOST_BLOBS])
            else:
                result = _result_of(found)
            return msgspec.json.encode(result).decode()

        return result_of

    keys = iter(options.manifest_keys or inventory.manifest_keys(store, left_out.append))
    first = list(itertools.islice(keys, WORTH_TASKS))
    keys = itertools.chain(first, keys)
    results: Iterator[tuple[str, str]]
    if options.processes > 1 and len(first) == WORTH_TASKS and can_be_forked():
        threads = -(-options.workers // options.processes)
        results = in_processes(keys, lambda: checker(store.reopened()), processes=options.processes, threads=threads)
    else:
        options.progress.begin()
        results = in_parallel(keys, checker(store), workers=options.workers)
    return ((manifest_key, msgspec.json.decode(result, type=_Result)) for manifest_key, result in results)


def _blobs_of(store: Store, manifest_key: str) -> list[str]:
    """Return the checksums that a manifest names, its signature unchecked; none if it is missing or can't be read."""
    try:
        return [blob.checksum for blob in parse_manifest(store.read(manifest_key).data, where=manifest_key).data]
    except PublishError:
        return []


class _Named:
    """The blobs that something names, in a third of the memory that their names take."""

    def __init__(self) -> None:
        self._checksums: set[bytes] = set()

    def add(self, checksums: Iterable[str]) -> None:
        self._checksums.update(bytes.fromhex(each) for each in checksums if layout.is_sha256(each))

    def __contains__(self, key: str) -> bool:
        name = key.rpartition("/")[2]
        # what is not named as a blob is none: it is not counted
        return not layout.is_sha256(name) or bytes.fromhex(name) in self._checksums


def _count_unreferenced(store: Store, named: _Named, findings: Findings, *, before_seconds: float) -> None:
    """Count the blobs that no manifest, no push under way and no replaced index names."""
    for prefix in (layout.INDICES, layout.KEYS):
        for info in store.list(prefix):
            named.add(_blobs_of(store, info.key))
    named.add(info.key.removeprefix(layout.REPLACED) for info in store.list(layout.REPLACED))
    for binary in push_record.announced(store):
        named.add(binary.blobs)
    for info in store.list(layout.BLOBS):
        # a younger one is that of a push which has ended since the manifests were listed
        if info.modified_seconds < before_seconds and info.key not in named:
            findings.unreferenced += 1
            findings.unreferenced_bytes += info.size_bytes


def _index_faults(
    store: Store, there: set[str], announced: set[str], findings: Findings, *, intact: set[str]
) -> Iterator[Fault]:
    """Yield where the index differs from the binaries that are there, and from its own dependencies.

    A binary with a fault of its own need not be indexed: a rebuild leaves it out.
    """
    missing = set(intact)
    counts: dict[str, int] = {}
    needed: dict[str, int] = {}
    """How often each node is a dependency in the index: what its entry has to count."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(index.opened(store))
        except PublishError as error:
            if missing - announced:
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
