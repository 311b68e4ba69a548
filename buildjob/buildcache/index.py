"""The story "index": the binaries that pushes have announced get into Spack's index, and no entry is ever lost.

Reads the index once, merges all push records, uploads a new blob, and replaces the manifest by a conditional write. If
another update was faster, it merges again into the index that the other one wrote. Memory does not grow with the index: it
passes through files.
"""

import contextlib
import itertools
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from buildjob.buildcache import conditions, documents, inventory, layout, push_record, specs
from buildjob.buildcache.indexing import lock, merge
from buildjob.buildcache.indexing.pending_pushes import BATCH_BYTES, Batch, Known, PendingPushes
from buildjob.buildcache.inventory import Fault
from buildjob.buildcache.manifest import parse_manifest
from buildjob.buildcache.storage.retry import RetryPolicy
from buildjob.buildcache.storage.store import ABSENT, LocalFile, Store
from buildjob.buildcache.workers import in_parallel
from buildjob.errors import Conflict, Denied, NotFound, PublishError, Unavailable

_GRACE_SECONDS = 3600.0
"""How long a replaced index is kept for readers who have just read its manifest."""
_LARGEST_INDEX_BYTES = 8 << 30
_TRIES = 100
"""Each lost race is another writer's success; with growing random waits, a hundred in a row do not happen."""


class Updated(msgspec.Struct, frozen=True, kw_only=True):
    """What an update did."""

    replaced: bool = False
    """Whether a new index was written; False if the old one held everything already."""
    added: int = 0
    """Entries that are new, or whose binary is new."""
    dropped: int = 0
    conflicts: int = 0
    """How often another update was faster."""
    unfinished: int = 0
    """Announced binaries that have not appeared: their push still runs, or was killed."""
    left_out: list[Fault] = []
    """What a rebuild could not read as a binary."""


class IndexOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to update."""

    rebuild: bool = False
    """Read every spec in the build cache instead of the index; what Spack's update-index does."""
    single_writer: bool = False
    """The user promises that no other update runs: neither conditional writes nor a lock are needed."""
    workers: int = 8
    wall: Callable[[], float] = time.time
    retries: RetryPolicy = RetryPolicy()
    scratch: Path | None = None
    """For temporary copies of the index; the system's folder for temporary files if None."""
    locking: lock.Times = lock.Times()


def update(store: Store, known: Known, options: IndexOptions) -> Updated:
    """Bring the index up to date; return what that took. `known` is what the caller has just done, or knows.

    Raises PublishError if the index cannot be read. Storage without conditional writes is written under a lock.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="spack-farm-index-", dir=options.scratch))
        held = None
        if not options.single_writer and not conditions.are_kept(store):
            held = stack.enter_context(lock.held(store, options.locking))
        work = _Work(store, known, options, Path(folder), held)
        for conflicts in range(_TRIES):
            try:
                done = work.attempt()
            except Conflict:
                options.retries.sleep(options.retries.wait_seconds(min(conflicts + 1, 5)))
                continue
            _delete_old_indices(store, options)
            return msgspec.structs.replace(done, conflicts=conflicts)
    raise PublishError(f"{store.url}: {_TRIES} other updates of the index were faster; run publish index again")


class Current(msgspec.Struct, frozen=True, kw_only=True):
    """The index in the build cache."""

    etag: str = ABSENT
    """Of its manifest."""
    sha256: str = ""
    file: Path | None = None
    """A local copy; None if there is no index, or if it is not needed."""
    overwritten: str = ""
    """SHA-256 of an older index that the manifest names: its writer had lost the lock. `sha256` is the newest one."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """The index that is to be: a local file that is never changed, but merged into a new one."""

    folder: Path
    file: Path | None
    """None for an empty index."""
    removed: frozenset[str]
    """DAG hashes whose binary was deleted."""
    is_temporary: bool = False
    """Whether the next merge may delete the file."""
    manifest_keys: frozenset[str] = frozenset()
    """Of the binaries that were merged in."""
    added: int = 0
    dropped: int = 0

    def merge(self, batch: Batch) -> "Draft":
        """Return a draft with the binaries of the batch, and without the removed ones."""
        changes = merge.Changes(with_binary=frozenset(batch.with_binary), nodes=batch.nodes, removed=self.removed)
        merged = msgspec.structs.replace(self, manifest_keys=self.manifest_keys | batch.manifest_keys)
        with self.file.open("rb") if self.file else contextlib.nullcontext() as old:
            edits = merge.plan(old, changes)
            if not edits and self.file is not None:
                return merged
            name = secrets.token_hex(16)
            with (self.folder / name).open("wb") as new:
                merge.merge(old, new, edits, batch.nodes, name=name)
        if self.file and self.is_temporary:
            self.file.unlink()
        added = sum(1 for dag_hash in batch.with_binary if dag_hash in edits.added or dag_hash in edits.changed)
        return msgspec.structs.replace(
            merged,
            file=self.folder / name,
            is_temporary=True,
            added=self.added + added,
            dropped=self.dropped + len(edits.dropped),
        )

    def merge_all(self, batches: Iterable[Batch]) -> "Draft":
        """Return a draft with the binaries of all batches."""
        draft = self
        for batch in batches:
            if batch.with_binary:
                draft = draft.merge(batch)
        return draft


class _Work:
    """One update with its files; an attempt that lost a race leaves what the next one can use."""

    def __init__(
        self, store: Store, known: Known, options: IndexOptions, folder: Path, held: lock.Held | None = None
    ) -> None:
        self._store = store
        self._known = known
        self._options = options
        self._folder = folder
        self._held = held
        self._rebuilt: Draft | None = None
        """The draft of an attempt that read every spec: the next one need not read them again."""
        self._left_out: list[Fault] = []
        self._pending = PendingPushes(store, known, workers=options.workers, wall=options.wall)

    def attempt(self) -> Updated:
        """Merge once and replace the manifest. Raises Conflict if another update was faster."""
        current = self.current()
        self._pending.begin(current.file)
        draft, is_rebuild = self._first_draft(current)
        draft = draft.merge_all(itertools.chain([self._pending.own()], self._pending.batches()))
        if is_rebuild:
            draft = self._rebuilt = self._merge_all_specs(draft)
        elif self._known.removed:
            draft = draft.merge(Batch())
        is_new = draft.file != current.file
        if is_new:
            # with what was announced meanwhile: then many pushes at once replace the manifest only a few times
            draft = draft.merge_all(self._pending.batches())
        if is_new or current.overwritten:
            assert draft.file
            self._replace(current, draft.file)
        list(in_parallel(self._pending.done, self._store.delete, workers=self._options.workers))
        return Updated(
            replaced=is_new or bool(current.overwritten),
            added=draft.added,
            dropped=draft.dropped,
            unfinished=len(self._pending.unfinished),
            left_out=self._left_out,
        )

    def current(self) -> Current:
        """Download the index. Raises Conflict if it is being replaced at this moment."""
        try:
            stored = self._store.read(layout.INDEX)
        except NotFound:
            return Current()
        try:
            sha256 = _index_named_by(stored.data, where=f"{self._store.url}/{layout.INDEX}")
        except PublishError:
            if self._options.rebuild:
                return Current(etag=stored.etag)  # it is replaced, whatever it is
            raise
        overwritten = ""
        if self._held and (newest := _newest_if_stale(self._store, stored.data)) not in {"", sha256}:
            overwritten, sha256 = sha256, newest
        if self._options.rebuild:
            return Current(etag=stored.etag, sha256=sha256, overwritten=overwritten)
        file = self._folder / "current"
        try:
            found = self._store.download(layout.blob(sha256), file)
        except NotFound as error:
            # either another update has replaced the manifest since it was read here, or somebody deleted the blob
            if self._store.read(layout.INDEX).etag != stored.etag:
                raise Conflict(str(error)) from error
            raise PublishError(f"{error}: the index is lost; make a new one with publish index --rebuild") from error
        if found != sha256:
            raise Unavailable(f"{self._store.url}/{layout.blob(sha256)}: arrived with another checksum")
        return Current(etag=stored.etag, sha256=found, file=file, overwritten=overwritten)

    def _first_draft(self, current: Current) -> tuple[Draft, bool]:
        """Return the draft to begin with, and whether all specs are to be read into it."""
        is_rebuild = current.file is None or self._options.rebuild
        if is_rebuild and self._rebuilt:
            return self._rebuilt, True
        file = None if is_rebuild else current.file
        return Draft(folder=self._folder, file=file, removed=self._known.removed), is_rebuild

    def _merge_all_specs(self, draft: Draft) -> Draft:
        """Return a draft with every spec in the build cache, as Spack's own rebuild makes it."""
        has = draft.manifest_keys
        self._left_out = []
        unread = (key for key in inventory.manifest_keys(self._store, self._left_out.append) if key not in has)
        batch = Batch()
        for manifest_key, nodes in in_parallel(unread, self._read_spec, workers=self._options.workers):
            if isinstance(nodes, Fault):
                self._left_out.append(nodes)
                continue
            if nodes is None:  # deleted meanwhile
                continue
            root = next(iter(nodes))
            binary = push_record.AnnouncedBinary(manifest_key=manifest_key, dag_hash=root, blobs=[])
            batch.add(binary, specs.reachable([root], nodes))
            if batch.bytes >= BATCH_BYTES:
                draft = draft.merge(batch)
                batch = Batch()
        if batch.with_binary or draft.file is None:  # also an empty build cache gets an index
            draft = draft.merge(batch)
        return msgspec.structs.replace(draft, is_temporary=False)

    def _read_spec(self, manifest_key: str) -> dict[str, specs.SpecNode] | Fault | None:
        """Return the nodes of a binary's spec; None if it was deleted meanwhile, a fault if it is none."""
        try:
            nodes = documents.read_spec(self._store, manifest_key)
        except NotFound as error:  # a prune deletes the manifest first
            return inventory.fault_from(error, manifest_key, self._store) if self._store.stat(manifest_key) else None
        except (Denied, Unavailable):
            raise
        except PublishError as error:
            return inventory.fault_from(error, manifest_key, self._store)
        root, node = next(iter(nodes.items()))
        if not specs.is_named(manifest_key.removeprefix(layout.SPECS), root, node):
            return Fault(key=manifest_key, text=f"its spec is another one than its key names: {root}")
        return nodes

    def _replace(self, current: Current, file: Path) -> None:
        """Upload the new index, and replace exactly the manifest that was read. Raises Conflict."""
        blob = LocalFile.of(file)
        self._store.upload(layout.blob(blob.sha256), blob)
        for sha256 in {current.sha256, current.overwritten} - {"", blob.sha256}:
            self._store.write(layout.REPLACED + sha256, b"")
        token = self._held.token if self._held else ""
        text = documents.manifest_text(blob, media_type=layout.INDEX_MEDIA_TYPE, fencing_token=token)
        if self._held:
            self._held.claim_newest(blob.sha256)
        try:
            unconditional = self._options.single_writer or self._held is not None
            self._store.write(layout.INDEX, text, only_if=None if unconditional else current.etag)
        except (Conflict, NotFound) as error:
            self._store.delete(layout.blob(blob.sha256))
            raise Conflict(str(error)) from error
        if self._held:
            # before any push record is deleted: until then, the next update can do all of this again
            self._held.require()
            self._held.delete_older_tokens()


def _index_named_by(manifest: bytes, *, where: str) -> str:
    """Return the SHA-256 of the index that a manifest names. Raises PublishError, with what to do, if it names none."""
    try:
        blobs = [blob for blob in parse_manifest(manifest, where=where).data if blob.media_type == layout.INDEX_MEDIA_TYPE]
    except PublishError as error:
        raise PublishError(f"{error}; run publish index --rebuild") from error
    if len(blobs) != 1 or blobs[0].content_length > _LARGEST_INDEX_BYTES:
        raise PublishError(f"{where}: names no index of Spack 1.1; run publish index --rebuild")
    return blobs[0].checksum


class _Fenced(msgspec.Struct):
    """The fencing token in an index's manifest; Spack writes none."""

    token: str = msgspec.field(default="", name=documents.FENCE)


def _newest_if_stale(store: Store, manifest: bytes) -> str:
    """Return the SHA-256 of the newest index if the manifest was written with an older fencing token; else nothing."""
    written = msgspec.json.decode(manifest, type=_Fenced).token
    token, sha256 = lock.newest(store)
    return sha256 if written and written < token else ""


@contextlib.contextmanager
def opened(store: Store) -> Iterator[BinaryIO]:
    """Give the index as a local file. Raises PublishError if there is none, or if it is broken."""
    with tempfile.TemporaryDirectory(prefix="spack-farm-index-") as folder:
        current = _Work(store, Known(), IndexOptions(), Path(folder)).current()
        if current.file is None:
            raise PublishError(f"{store.url}: there is no index; publish index makes one")
        with current.file.open("rb") as file:
            yield file


def _delete_old_indices(store: Store, options: IndexOptions) -> None:
    """Delete the indices that were replaced more than an hour ago, never the one in use."""
    replaced = [info for info in store.list(layout.REPLACED) if info.modified_seconds < options.wall() - _GRACE_SECONDS]
    if not replaced:
        return
    used = store.read(layout.INDEX).data
    for info in replaced:
        sha256 = info.key.removeprefix(layout.REPLACED)
        if sha256.encode() not in used and len(sha256) == 64:
            store.delete(layout.blob(sha256))
        store.delete(info.key)
