"""The story "push": unsigned binaries that Spack wrote into a folder become signed ones in a build cache.

The push record first, then blobs, then the manifest: its appearance publishes the binary. So a kill at any instant leaves a
consistent build cache, and a repeated run finishes. Never writes keys.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import msgspec

from buildjob.buildcache import clearsigned, dependencies, documents, index, layout, push_record, specs
from buildjob.buildcache.indexing.pending_pushes import Known
from buildjob.buildcache.manifest import LARGEST_MANIFEST_BYTES, BlobRef, matches, parse_manifest, with_mark
from buildjob.buildcache.push_record import AnnouncedBinary, PushRecord
from buildjob.buildcache.storage.store import Store
from buildjob.buildcache.workers import WORTH_TASKS, can_be_forked, in_parallel, in_processes
from buildjob.errors import Conflict, Denied, PublishError, RequestError, Unavailable, Unsupported
from buildjob.telemetry import Publish
from status_line.progress import Progress, silent

Sign = Callable[[bytes, str], bytes]
"""Takes a manifest's text and its key; returns what the build cache is to hold."""
_SMALL_BYTES = 256 << 10
"""Up to this size, asking whether a blob is there costs more than uploading it on the condition that it is not."""
_PRUNE_SECONDS = 3600.0
"""A prune that has not ended after this time was killed."""


class UnsignedBinary(msgspec.Struct, frozen=True, kw_only=True):
    """One binary in the folder that Spack wrote."""

    manifest_key: str
    """The same in the folder and in the build cache."""
    dag_hash: str
    text: bytes
    """The manifest, unsigned."""
    blobs: list[BlobRef]
    not_redistributable: list[str] | None
    """What the manifest says; None if it says nothing."""

    @property
    def must_stay(self) -> bool:
        """Whether its manifest says that it must not be redistributed itself."""
        return self.dag_hash in (self.not_redistributable or ())


class Redistribution(msgspec.Struct, frozen=True, kw_only=True):
    """Which binaries must not be redistributed, beside those of which their manifests say so."""

    private: bool = False
    """The build cache may have them: they are pushed, with a manifest that says so."""
    forbidden: frozenset[str] = frozenset()
    """DAG hashes."""
    is_known: bool = True
    """Otherwise, whatever is pushed to a private build cache and says nothing counts as not redistributable."""


class PushPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a push will upload."""

    unsigned: Path
    binaries: list[UnsignedBinary]
    nodes: Mapping[str, specs.SpecNode]
    there: list[str] = []
    """Keys of manifests that the build cache has already, and that stay as they are."""
    broken: list[str] = []
    """Keys of manifests that it has, and that Spack would not take: they are replaced."""
    must_stay: list[str] = []
    """Keys of manifests whose binaries must not be redistributed."""

    @property
    def bytes(self) -> int:
        """The most that there is to upload."""
        return sum(blob.content_length for binary in self.binaries for blob in binary.blobs)


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """What a push did."""

    manifest_keys: list[str]
    """In the order of the plan."""
    bytes: int
    index: index.Updated | None
    """None if the index was not to be updated."""
    is_new: bool = False
    """There was no build cache before."""


class PushOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to push."""

    workers: int = 8
    processes: int = 1
    """For a large push, if this process can be forked; the workers are shared among them."""
    update_index: bool = True
    indexing: index.IndexOptions = index.IndexOptions()
    progress: Progress = msgspec.field(default_factory=silent)
    """Counts the binaries and bytes uploaded."""
    sleep: Callable[[float], None] = time.sleep
    wall: Callable[[], float] = time.time


def plan(  # noqa: PLR0913  how a push may differ
    unsigned: Path,
    store: Store,
    *,
    replace: bool,
    signs: bool = False,
    is_changed: Callable[[bytes], bool] = lambda _: False,
    workers: int = 8,
    redistribution: Redistribution = Redistribution(),  # noqa: B008  frozen
) -> PushPlan:
    """Read the unsigned folder, and find out what the build cache lacks of it and may have.

    With `signs`, an unsigned manifest there is replaced, too: most clients would not take it. `is_changed` says whether one
    is another text than the one that was signed. Raises RequestError if there is no binary in the folder, else PublishError.
    """
    read = [_read(path, unsigned) for path in sorted(unsigned.glob(f"{layout.SPECS}*/*{layout.MANIFEST_END}"))]
    if not read:
        raise RequestError(f"{unsigned}: there is no binary in it (Spack's build cache layout 3 is expected)")
    marked = [_marked(binary, redistribution) for binary in read]
    must_stay = set() if redistribution.private else {each.manifest_key for each in marked if each.must_stay}
    binaries = [binary for binary in marked if binary.manifest_key not in must_stay]
    manifest_keys = {binary.manifest_key for binary in binaries}
    found = set() if replace else dependencies.present(store, manifest_keys, workers=workers)
    there = {
        key
        for key, is_good in in_parallel(found, lambda key: _is_good(store, key, signs, is_changed), workers=workers)
        if is_good
    }
    wanted = [binary for binary in binaries if binary.manifest_key not in there]
    nodes: dict[str, specs.SpecNode] = {}
    allowed: list[UnsignedBinary] = []
    for binary in wanted:
        own = _nodes(binary, unsigned)
        is_developed = specs.is_developed(own.values())
        if is_developed and not redistribution.private:
            must_stay.add(binary.manifest_key)
            continue
        allowed.append(_says_it_must_stay(binary) if is_developed else binary)
        nodes |= own
    forbidden = redistribution.forbidden.union(
        map(layout.hash_of, must_stay), *(each.not_redistributable or () for each in (*marked, *allowed))
    )
    allowed = [_says_what_it_lacks(binary, nodes, forbidden) for binary in allowed]
    return PushPlan(
        unsigned=unsigned,
        binaries=allowed,
        nodes=nodes,
        there=sorted(there),
        broken=sorted(found - there),
        must_stay=sorted(must_stay),
    )


def _marked(binary: UnsignedBinary, redistribution: Redistribution) -> UnsignedBinary:
    """Return the binary with a manifest that says so if it must not be redistributed, or if that is in doubt."""
    in_doubt = redistribution.private and not redistribution.is_known and binary.not_redistributable is None
    is_forbidden = in_doubt or binary.dag_hash in redistribution.forbidden
    return _says_it_must_stay(binary) if is_forbidden else binary


def _says_it_must_stay(binary: UnsignedBinary) -> UnsignedBinary:
    """Return the binary with a manifest that says that it must not be redistributed."""
    return _with_said(binary, {binary.dag_hash})


def _says_what_it_lacks(
    binary: UnsignedBinary, nodes: Mapping[str, specs.SpecNode], forbidden: frozenset[str]
) -> UnsignedBinary:
    """Return the binary with a manifest that names what it needs at run time and must not be redistributed.

    A public build cache lacks that, as does the one to which a notary copies this binary: `verify` has to know why.
    """
    # most pushes know of nothing that is forbidden, and closures of thousands of specs take seconds
    return (
        _with_said(binary, forbidden & dependencies.run_time_closure(binary.dag_hash, nodes).keys()) if forbidden else binary
    )


def _with_said(binary: UnsignedBinary, hashes: AbstractSet[str]) -> UnsignedBinary:
    """Return the binary with a manifest that says that these must not be redistributed, beside what it says already."""
    if hashes <= set(binary.not_redistributable or ()):
        return binary
    said = sorted({*(binary.not_redistributable or ()), *hashes})
    return msgspec.structs.replace(binary, text=with_mark(binary.text, said), not_redistributable=said)


def _is_good(store: Store, manifest_key: str, signs: bool, is_changed: Callable[[bytes], bool]) -> bool:  # noqa: FBT001  passed on by a lambda
    """Return whether there is a manifest of the form that Spack takes; whose signature it has is not checked."""
    try:
        text = store.read(manifest_key, limit_bytes=LARGEST_MANIFEST_BYTES).data
        parse_manifest(text, where=manifest_key)
    except (Denied, Unavailable):
        raise
    except PublishError:
        return False
    return not is_changed(text) if clearsigned.is_signed(text) else not signs


def _read(path: Path, unsigned: Path) -> UnsignedBinary:
    text = path.read_bytes()
    manifest = parse_manifest(text, where=str(path))
    if text.startswith(b"-"):
        raise PublishError(f"{path}: it is signed already; publish notarize copies signed binaries")
    key = path.relative_to(unsigned).as_posix()
    return UnsignedBinary(
        manifest_key=key,
        dag_hash=layout.hash_of(key),
        text=text,
        blobs=manifest.data,
        not_redistributable=manifest.not_redistributable,
    )


def _nodes(binary: UnsignedBinary, unsigned: Path) -> dict[str, specs.SpecNode]:
    """Return the nodes of a binary's concrete spec. Raises PublishError if it is not the one that the key names."""
    where = unsigned / binary.manifest_key
    for blob in binary.blobs:
        if blob.media_type == layout.SPEC_MEDIA_TYPE:
            path = unsigned / blob.relative_path
            _require_checksum(path, blob)
            nodes = specs.parse_spec(documents.unpacked(path.read_bytes(), where=str(path)), where=str(path))
            if next(iter(nodes)) != binary.dag_hash:
                raise PublishError(f"{where}: its spec has another hash: {next(iter(nodes))}")
            return nodes
    raise PublishError(f"{where}: names no concrete spec")


def _require_checksum(path: Path, blob: BlobRef) -> None:
    if not path.exists():
        raise PublishError(f"{path}: the manifest names this blob, but it is missing")
    if not matches(path, blob):
        raise PublishError(f"{path}: its content does not have the checksum in its name")


def push(planned: PushPlan, store: Store, *, sign: Sign, options: PushOptions) -> Pushed:
    """Upload what is planned, then update the index. Raises PublishError; the build cache stays consistent."""
    appeared = frozenset(planned.there)
    if not planned.binaries and not planned.there:
        return Pushed(manifest_keys=[], bytes=0, index=index.Updated())
    if not planned.binaries:
        return Pushed(manifest_keys=planned.there, bytes=0, index=_update(store, Known(appeared=appeared), options))
    first, *_ = planned.binaries
    first_signed = sign(first.text, first.manifest_key)  # before anything is written: an unusable key leaves no trace
    binaries = [
        AnnouncedBinary(manifest_key=each.manifest_key, dag_hash=each.dag_hash, blobs=[blob.checksum for blob in each.blobs])
        for each in planned.binaries
    ]
    at_once = _threads(options) * options.processes
    with announced_push(store, binaries, planned.nodes, at_once=at_once, options=options) as announced:
        uploaded = _upload_all(planned, store, sign, options, first_signed=first_signed)
    own = PushRecord(binaries=binaries, nodes=planned.nodes)
    updated = _update(store, Known(appeared=appeared, own=own, own_records=frozenset(announced.records)), options)
    return Pushed(
        manifest_keys=[each.manifest_key for each in planned.binaries],
        bytes=uploaded,
        index=updated,
        is_new=announced.is_new,
    )


class Announced(msgspec.Struct, frozen=True, kw_only=True):
    """A push that others know of."""

    records: Mapping[str, PushRecord]
    """By their keys."""
    is_new: bool
    """The build cache begins with this push."""


@contextlib.contextmanager
def announced_push(
    store: Store,
    binaries: Sequence[AnnouncedBinary],
    nodes: Mapping[str, specs.SpecNode],
    *,
    at_once: int,
    options: PushOptions,
) -> Iterator[Announced]:
    """Announce binaries, and give the block that uploads them, in this order and at most `at_once` at a time.

    If the block raises, the push records stay: the next update of the index finds by them what has appeared.
    """
    records = push_record.announce(store, binaries, nodes, at_once=at_once)
    # A prune that begins now reads the records and keeps what they name; one that runs may not have read them.
    wait_for_prune(store, options)
    is_new = documents.ensure_layout(store) and not any(store.list(layout.SPECS, unlisted=[]))
    yield Announced(records=records, is_new=is_new)
    push_record.complete(store, records)


def _threads(options: PushOptions) -> int:
    """Return how many threads each process has."""
    return -(-options.workers // options.processes)


def _upload_all(planned: PushPlan, store: Store, sign: Sign, options: PushOptions, *, first_signed: bytes) -> int:
    """Sign and upload the binaries in their order; return the number of bytes."""
    by_key = {binary.manifest_key: binary for binary in planned.binaries}
    first, *_ = by_key

    def uploader(to: Store) -> Callable[[str], int]:
        def upload(key: str) -> int:
            binary = by_key[key]
            signed = first_signed if key == first else sign(binary.text, key)
            total = sum(_upload_blob(blob, planned.unsigned, to) for blob in binary.blobs)
            to.write(key, signed)
            return total + len(signed)

        return upload

    options.progress.total = len(by_key)
    each_uploaded: Iterator[tuple[str, int]]
    if options.processes > 1 and len(by_key) >= WORTH_TASKS and can_be_forked():
        each_uploaded = in_processes(
            by_key, lambda: uploader(store.reopened()), processes=options.processes, threads=_threads(options)
        )
    else:
        options.progress.begin()
        each_uploaded = in_parallel(by_key, uploader(store), workers=options.workers)
    uploaded = 0
    for _, size in each_uploaded:
        uploaded += size
        options.progress.add(size_bytes=size)
    return uploaded


def _update(store: Store, known: Known, options: PushOptions) -> index.Updated | None:
    return index.update(store, known, options.indexing) if options.update_index else None


def _upload_blob(blob: BlobRef, unsigned: Path, store: Store) -> int:
    """Upload one blob unless the build cache has it; return the number of bytes uploaded."""
    key, file = layout.blob(blob.checksum), blob.file_below(unsigned)
    if file.size_bytes <= _SMALL_BYTES:
        _require_checksum(file.path, blob)
        with contextlib.suppress(Conflict, Unsupported):  # there is an object; whether it is intact is checked below
            store.upload(key, file, if_absent=True)
            return file.size_bytes
    if store.has_content(key, file):
        return 0
    _require_checksum(file.path, blob)
    store.upload(key, file)
    return file.size_bytes


def wait_for_prune(store: Store, options: PushOptions) -> None:
    """Wait until no prune is deleting. Raises PublishError if one was killed."""
    while (running := store.stat(layout.PRUNING)) is not None:
        if running.modified_seconds < options.wall() - _PRUNE_SECONDS:
            raise PublishError(
                f"{store.url}/{layout.PRUNING}: a prune began more than an hour ago and has not ended; "
                "if none runs, delete this object"
            )
        options.sleep(0.5)


def publish(unsigned: Path, store: Store, *, sign: Sign, options: PushOptions | None = None, dag_hash: str = "") -> Publish:
    """Push everything that Spack wrote into a folder, replacing what the build cache has; return it as telemetry has it.

    Its address is that of the binary with this hash; without one, of the last.
    """
    begun = time.monotonic()
    # what must not be redistributed is in the folder only if the build cache may have it
    planned = plan(unsigned, store, replace=True, redistribution=Redistribution(private=True))
    pushed = push(planned, store, sign=sign, options=options or PushOptions())
    keys = pushed.manifest_keys
    return Publish(
        state="published",
        url=f"{store.url}/{next((key for key in keys if layout.hash_of(key) == dag_hash), keys[-1])}",
        bytes=pushed.bytes,
        wall_seconds=round(time.monotonic() - begun, 3),
    )
