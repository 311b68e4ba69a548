"""The story "push": unsigned entries that Spack wrote into a folder become signed ones on a mirror.

The announcement first, then blobs, then the manifest: its appearance is the commit point, so a kill at any instant leaves a
consistent mirror and a repeated run finishes. Writes no keys, ever.
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from buildjob.buildcache import documents, index, layout, pending_pushes, push_record, specs
from buildjob.buildcache.manifest import BlobRef, matches, parse_manifest
from buildjob.buildcache.storage.store import ABSENT, LocalFile, Store
from buildjob.buildcache.workers import WORTH_TASKS, can_be_forked, in_parallel, in_processes
from buildjob.errors import Conflict, PublishError, Unsupported
from buildjob.telemetry import Publish

Sign = Callable[[bytes, str], bytes]
"""Takes a manifest's text and its name, returns what is to stand on the mirror."""
_SMALL_BYTES = 256 << 10
"""Up to this size asking first costs more than sending on the condition that there is none."""
_WORTH_LISTING = 32
"""From so many manifests on, one request that lists a thousand is cheaper than one for each."""
_LISTED_FOR_EACH = 10
"""On a mirror with more manifests for each that is asked for, the listing ends: it would take longer than asking."""
_PRUNE_SECONDS = 3600.0
"""A prune that has not ended after so long was killed."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One binary in the folder that Spack wrote."""

    key: str
    """Of its manifest, the same there and on the mirror."""
    hash: str
    text: bytes
    """The manifest, unsigned."""
    blobs: list[BlobRef]


class PushPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a push sends."""

    unsigned: Path
    entries: list[Entry]
    nodes: Mapping[str, specs.Node]
    there: list[str] = []
    """Manifests that the mirror has already and that stay as they are."""

    @property
    def bytes(self) -> int:
        """What there is to send at most."""
        return sum(blob.content_length for entry in self.entries for blob in entry.blobs)


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """What a push did."""

    manifests: list[str]
    """Keys, in order."""
    bytes: int
    index: index.Updated | None
    """None if the index was left alone."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to push."""

    workers: int = 8
    processes: int = 1
    """A large push is done by so many, each with its share of the workers, where this process can be forked."""
    update_index: bool = True
    indexing: index.Options = index.Options()
    progress: Callable[[int, int, int], None] = lambda _done, _all, _bytes: None
    """Told after each binary: how many are done, of how many, and the bytes sent so far."""
    sleep: Callable[[float], None] = time.sleep
    wall: Callable[[], float] = time.time


def plan(unsigned: Path, store: Store, *, replace: bool, workers: int = 8) -> PushPlan:
    """Read the unsigned tree and look what the mirror has; return what is to be sent. Raises PublishError."""
    entries = [_entry(path, unsigned) for path in sorted(unsigned.glob(f"{layout.SPECS}*/*{layout.MANIFEST_END}"))]
    if not entries:
        raise PublishError(f"{unsigned}: there is no binary in it (Spack's build cache layout 3 is expected)")
    there = set() if replace else _there(store, {entry.key for entry in entries}, workers=workers)
    wanted = [entry for entry in entries if entry.key not in there]
    nodes: dict[str, specs.Node] = {}
    for entry in wanted:
        nodes |= _nodes(entry, unsigned)
    return PushPlan(unsigned=unsigned, entries=wanted, nodes=nodes, there=sorted(there))


def _there(store: Store, keys: set[str], *, workers: int) -> set[str]:
    """Return which of these manifests the mirror has: by listing where many are asked for, one by one what is left."""
    found: set[str] = set()
    if len(keys) >= _WORTH_LISTING:
        most = _LISTED_FOR_EACH * len(keys)
        listed = {seen.key for seen in itertools.islice(store.list(layout.SPECS), most)}
        found = keys & listed
        if len(listed) < most:
            return found  # that was all that there is
    looked = in_parallel(keys - found, store.stat, workers=workers)
    return found | {key for key, seen in looked if seen is not None}


def _entry(path: Path, unsigned: Path) -> Entry:
    text = path.read_bytes()
    manifest = parse_manifest(text, where=str(path))
    if text.startswith(b"-"):
        raise PublishError(f"{path}: it is signed already; publish notarize copies what is signed")
    key = path.relative_to(unsigned).as_posix()
    return Entry(key=key, hash=layout.hash_of(key), text=text, blobs=manifest.data)


def _nodes(entry: Entry, unsigned: Path) -> dict[str, specs.Node]:
    """Return the nodes of an entry's concrete spec. Raises PublishError if it is not the one that the name says."""
    for blob in entry.blobs:
        if blob.media_type == layout.SPEC_MEDIA_TYPE:
            path = unsigned / blob.relative_path
            _require_checksum(path, blob)
            nodes = specs.parse_spec(documents.unpacked(path.read_bytes(), where=str(path)), where=str(path))
            if next(iter(nodes)) != entry.hash:
                raise PublishError(f"{unsigned / entry.key}: its spec has another hash: {next(iter(nodes))}")
            return nodes
    raise PublishError(f"{unsigned / entry.key}: names no concrete spec")


def _require_checksum(path: Path, blob: BlobRef) -> None:
    if not path.exists():
        raise PublishError(f"{path}: the manifest names this blob, and it is missing")
    if not matches(path, blob):
        raise PublishError(f"{path}: its content does not have the checksum that its name promises")


def push(asked: PushPlan, store: Store, *, sign: Sign, options: Options) -> Pushed:
    """Send what is planned, then bring the index up to date. Raises PublishError; the mirror stays consistent."""
    if not asked.entries:
        updated = _update(store, options, pending_pushes.Known(appeared=frozenset(asked.there)))
        return Pushed(manifests=asked.there, bytes=0, index=updated)
    first, *_ = asked.entries
    threads = -(-options.workers // options.processes)
    first_signed = sign(first.text, first.key)  # before anything is written: an unusable key leaves no trace
    entries = [
        push_record.Announced(manifest=entry.key, hash=entry.hash, blobs=[blob.checksum for blob in entry.blobs])
        for entry in asked.entries
    ]
    keys = [entry.key for entry in asked.entries]
    records = push_record.announce(store, entries, asked.nodes, at_once=threads * options.processes)
    wait_for_prune(store, options)
    ensure_layout(store)
    sent = 0
    by_key = {entry.key: entry for entry in asked.entries}

    def sender(to: Store) -> Callable[[str], int]:
        def one(key: str) -> int:
            entry = by_key[key]
            signed = first_signed if entry is first else sign(entry.text, entry.key)
            total = sum(_send_blob(blob, asked.unsigned, to) for blob in entry.blobs)
            to.write(entry.key, signed)
            return total + len(signed)

        return one

    each_sent: Iterator[tuple[str, int]]
    if options.processes > 1 and len(keys) >= WORTH_TASKS and can_be_forked():
        each_sent = in_processes(keys, lambda: sender(store.reopened()), processes=options.processes, threads=threads)
    else:
        each_sent = in_parallel(keys, sender(store), workers=options.workers)
    for done, (_, size) in enumerate(each_sent, 1):
        sent += size
        options.progress(done, len(keys), sent)
    push_record.complete(store, records)
    own = push_record.Push(entries=entries, nodes=dict(asked.nodes))
    known = pending_pushes.Known(appeared=frozenset(asked.there), own=own, own_records=frozenset(records))
    updated = _update(store, options, known)
    return Pushed(manifests=keys, bytes=sent, index=updated)


def _update(store: Store, options: Options, known: pending_pushes.Known) -> index.Updated | None:
    if not options.update_index:
        return None
    return index.update(store, msgspec.structs.replace(options.indexing, known=known))


def _send_blob(blob: BlobRef, unsigned: Path, store: Store) -> int:
    """Send one blob unless the mirror has it; return the number of bytes sent."""
    key, path = layout.blob(blob.checksum), unsigned / blob.relative_path
    local = LocalFile(path=path, size_bytes=blob.content_length, sha256=blob.checksum)
    if blob.content_length <= _SMALL_BYTES:
        _require_checksum(path, blob)
        with contextlib.suppress(Conflict, Unsupported):  # there is one; whether it is whole is to be seen
            store.upload(key, local, if_absent=True)
            return blob.content_length
    if store.has_content(key, local):
        return 0
    _require_checksum(path, blob)
    store.upload(key, local)
    return blob.content_length


def ensure_layout(store: Store) -> None:
    """Write the document that says which signatures the mirror has, unless it is there."""
    if store.stat(layout.LAYOUT) is None:
        try:
            store.write(layout.LAYOUT, layout.LAYOUT_CONTENT, only_if=ABSENT)
        except Conflict:
            return
        except Unsupported:
            store.write(layout.LAYOUT, layout.LAYOUT_CONTENT)


def wait_for_prune(store: Store, options: Options) -> None:
    """Wait until no binary is being deleted; what begins later sees our announcement and spares its blobs."""
    while (seen := store.stat(layout.PRUNING)) is not None:
        if seen.modified_seconds < options.wall() - _PRUNE_SECONDS:
            raise PublishError(
                f"{store.url}/{layout.PRUNING}: a prune began more than an hour ago and has not ended; "
                "if none runs, delete this object"
            )
        options.sleep(0.5)


def publish(unsigned: Path, store: Store, *, sign: Sign, options: Options | None = None) -> Publish:
    """Push all that Spack left in a folder, replacing what the mirror has; return what stands in telemetry."""
    begun = time.monotonic()
    asked = plan(unsigned, store, replace=True)
    pushed = push(asked, store, sign=sign, options=options or Options())
    return Publish(
        state="published",
        url=f"{store.url}/{pushed.manifests[-1]}",
        bytes=pushed.bytes,
        wall_seconds=round(time.monotonic() - begun, 3),
    )
