"""The story "index": what pushes have announced gets into Spack's index, and no entry is ever lost.

Reads the index once, merges all records, writes a new blob, and swings the manifest by a conditional write; where another
update was faster, it merges again on what that one wrote. Memory does not grow with the index: it passes through files.
"""

import contextlib
import itertools
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from buildjob import files
from buildjob.buildcache import conditions, documents, index_merge, layout, lock, pending_pushes, push_record, specs
from buildjob.buildcache.manifest import parse_manifest
from buildjob.buildcache.storage.retry import RetryPolicy
from buildjob.buildcache.storage.store import ABSENT, LocalFile, Store
from buildjob.buildcache.workers import in_parallel
from buildjob.errors import Conflict, NotFound, PublishError, Unavailable

_GRACE_SECONDS = 3600.0
"""So long a replaced index stays, for who has just read its manifest."""
_LARGEST_INDEX_BYTES = 8 << 30
_TRIES = 100
"""Each lost race is another writer's success; with growing random waits, a hundred in a row do not happen."""


class Updated(msgspec.Struct, frozen=True, kw_only=True):
    """What an update did."""

    swung: bool = False
    """Whether a new index was written; False if the old one held everything already."""
    added: int = 0
    """Entries that are new or whose binary is new."""
    dropped: int = 0
    conflicts: int = 0
    """How often another update was faster."""
    unfinished: int = 0
    """Announced binaries that have not appeared: their push still runs, or was killed."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to update."""

    rebuild: bool = False
    """Read every spec on the mirror instead of the index; what Spack's update-index does."""
    single_writer: bool = False
    """The user promises that no other update runs: neither conditions nor a lock are needed."""
    known: pending_pushes.Known = pending_pushes.Known()
    """What need not be asked for."""
    workers: int = 8
    wall: Callable[[], float] = time.time
    retries: RetryPolicy = RetryPolicy()
    scratch: Path | None = None
    """Where the index passes through; the system's folder for temporary files if None."""
    locking: lock.Times = lock.Times()


class _Current(msgspec.Struct, frozen=True, kw_only=True):
    """The index on the mirror."""

    etag: str = ABSENT
    sha256: str = ""
    path: Path | None = None
    overwritten: str = ""
    """SHA-256 of an older index that the manifest names: who wrote it had lost the lock. `sha256` is the newest one."""


def update(store: Store, options: Options) -> Updated:
    """Bring the index up to date; return what that took.

    Raises PublishError if the index cannot be read. A storage that keeps no conditions is written under a lock.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="spack-farm-index-", dir=options.scratch))
        held = None
        if not options.single_writer and not conditions.are_kept(store):
            held = stack.enter_context(lock.held(store, options.locking))
        work = _Work(store, options, Path(folder), held)
        for conflicts in range(_TRIES):
            try:
                done = work.attempt()
            except Conflict:
                options.retries.sleep(options.retries.wait_seconds(min(conflicts + 1, 5)))
                continue
            _sweep(store, options)
            return msgspec.structs.replace(done, conflicts=conflicts)
    raise PublishError(f"{store.url}: {_TRIES} other updates of the index were faster; run publish index again")


class _Work:
    """One update with its files; an attempt that lost leaves what can be used again."""

    def __init__(self, store: Store, options: Options, folder: Path, held: lock.Held | None = None) -> None:
        self._store = store
        self._options = options
        self._folder = folder
        self._held = held
        self._rebuilt: Path | None = None
        self._in_rebuilt: set[str] = set()
        """Manifests whose specs the rebuilt file has: an attempt that lost need not read them again."""
        self._announced = pending_pushes.Announcements(store, options.known, workers=options.workers, wall=options.wall)

    def attempt(self) -> Updated:
        """Merge once and swing. Raises Conflict if another update was faster."""
        current = self.current()
        self._announced.begin(current.path)
        from_nothing = current.path is None or self._options.rebuild
        path, edited = (self._rebuilt, _Count()) if from_nothing else (current.path, _Count())
        in_file: set[str] = set()
        for batch in itertools.chain([self._announced.own()], self._announced.batches()):
            path = self._merge(path, batch, edited) if batch.cached else path
            in_file |= batch.manifests
        if from_nothing:
            path = self._read_all(path, edited, in_file)
        if self._options.known.gone and not from_nothing:
            path = self._merge(path, pending_pushes.Batch(), edited)
        swung = path is not None and path != current.path
        if swung:
            # what was announced meanwhile comes along: many pushes at once make few swings
            for batch in self._announced.batches():
                path = self._merge(path, batch, edited) if batch.cached else path
        if swung or current.overwritten:
            assert path is not None
            self._swing(current, path)
        list(in_parallel(self._announced.done, self._store.delete, workers=self._options.workers))
        return Updated(
            swung=swung or bool(current.overwritten),
            added=edited.added,
            dropped=edited.dropped,
            unfinished=len(self._announced.late),
        )

    def current(self) -> _Current:
        """Fetch the index. A blob that is gone was replaced this moment: that is a conflict."""
        try:
            stored = self._store.read(layout.INDEX)
        except NotFound:
            return _Current()
        manifest = parse_manifest(stored.data, where=f"{self._store.url}/{layout.INDEX}")
        blobs = [blob for blob in manifest.data if blob.media_type == layout.INDEX_MEDIA_TYPE]
        if len(blobs) != 1 or blobs[0].content_length > _LARGEST_INDEX_BYTES:
            raise PublishError(f"{self._store.url}/{layout.INDEX}: names no index of Spack 1.1; publish index --rebuild")
        sha256 = blobs[0].checksum
        overwritten = ""
        if self._held and (newest := _fenced(self._store, stored.data)) not in {"", sha256}:
            overwritten, sha256 = sha256, newest
        if self._options.rebuild:
            return _Current(etag=stored.etag, sha256=sha256, overwritten=overwritten)
        path = self._folder / "current"
        try:
            found = self._store.download(layout.blob(sha256), path)
        except NotFound as error:
            if self._store.read(layout.INDEX).etag != stored.etag:
                raise Conflict(str(error)) from error
            raise PublishError(f"{error}: the index is lost; make it anew with publish index --rebuild") from error
        if found != sha256:
            raise Unavailable(f"{self._store.url}/{layout.blob(sha256)}: arrived with another checksum")
        return _Current(etag=stored.etag, sha256=found, path=path, overwritten=overwritten)

    def _read_all(self, path: Path | None, edited: "_Count", in_file: set[str]) -> Path:
        """Merge every spec on the mirror that the file has not yet, as Spack does."""
        has = self._in_rebuilt | in_file
        unknown = (
            seen.key
            for seen in self._store.list(layout.SPECS)
            if seen.key.endswith(layout.MANIFEST_END) and seen.key not in has
        )
        batch = pending_pushes.Batch()
        for key, nodes in in_parallel(unknown, self._read_spec, workers=self._options.workers):
            if nodes is None:  # deleted meanwhile
                continue
            in_file.add(key)
            root = next(iter(nodes))
            batch.add(push_record.Announced(manifest=key, hash=root, blobs=[]), specs.reachable([root], nodes))
            if batch.bytes >= pending_pushes.BATCH_BYTES:
                path = self._merge(path, batch, edited)
                batch = pending_pushes.Batch()
        path = self._merge(path, batch, edited) if batch.cached or path is None else path
        assert path is not None
        self._rebuilt = path
        self._in_rebuilt = self._in_rebuilt | in_file
        return path

    def _read_spec(self, key: str) -> dict[str, specs.Node] | None:
        try:
            return documents.read_spec(self._store, key)
        except NotFound:
            return None

    def _merge(self, path: Path | None, batch: pending_pushes.Batch, edited: "_Count") -> Path | None:
        """Return the file with the batch merged in: a new one, or the same if it holds everything already."""
        changes = index_merge.Changes(cached=frozenset(batch.cached), nodes=batch.nodes, gone=self._options.known.gone)
        with path.open("rb") if path else contextlib.nullcontext() as old:
            edits = index_merge.plan(old, changes)
            if not edits and path is not None:
                return path
            name = secrets.token_hex(16)
            new_path = self._folder / name
            with new_path.open("wb") as new:
                index_merge.merge(old, new, edits, batch.nodes, name=name)
        if path not in {None, self._rebuilt, self._folder / "current"}:
            assert path is not None
            path.unlink()
        edited.added += sum(1 for dag_hash in batch.cached if dag_hash in edits.added or dag_hash in edits.changed)
        edited.dropped += len(edits.dropped)
        return new_path

    def _swing(self, current: _Current, path: Path) -> None:
        """Put the new index in the place of exactly the one that was read. Raises Conflict."""
        blob = LocalFile(path=path, size_bytes=path.stat().st_size, sha256=files.sha256(path))
        self._store.upload(layout.blob(blob.sha256), blob)
        for sha256 in {current.sha256, current.overwritten} - {"", blob.sha256}:
            self._store.write(layout.REPLACED + sha256, b"")
        text = documents.manifest_text(
            blob, media_type=layout.INDEX_MEDIA_TYPE, fence=self._held.fence if self._held else ""
        )
        if self._held:
            self._held.raise_fence(blob.sha256)
        try:
            unconditional = self._options.single_writer or self._held is not None
            self._store.write(layout.INDEX, text, only_if=None if unconditional else current.etag)
        except (Conflict, NotFound) as error:
            self._store.delete(layout.blob(blob.sha256))
            raise Conflict(str(error)) from error
        if self._held:
            self._held.require()  # before any record is deleted: until then, whoever comes next can do all of it again
            self._held.lower_fences()


class _Fenced(msgspec.Struct):
    """Of an index's manifest, who wrote it under the lock; Spack's own has nothing of the kind."""

    fence: str = msgspec.field(default="", name="spack-farm-fence")


def _fenced(store: Store, manifest: bytes) -> str:
    """Return the SHA-256 of the newest index if the manifest is older than its fence; empty if the manifest is right."""
    written = msgspec.json.decode(manifest, type=_Fenced).fence
    fence, sha256 = lock.newest(store)
    return sha256 if written and written < fence else ""


@contextlib.contextmanager
def opened(store: Store) -> Iterator[BinaryIO]:
    """Give the index as a local file. Raises PublishError if there is none, or if it is broken."""
    with tempfile.TemporaryDirectory(prefix="spack-farm-index-") as folder:
        current = _Work(store, Options(), Path(folder)).current()
        if current.path is None:
            raise PublishError(f"{store.url}: there is no index; publish index makes one")
        with current.path.open("rb") as file:
            yield file


class _Count(msgspec.Struct):
    added: int = 0
    dropped: int = 0


def _sweep(store: Store, options: Options) -> None:
    """Delete the indices that were replaced more than an hour ago; the one in use is never among them."""
    old = [seen for seen in store.list(layout.REPLACED) if seen.modified_seconds < options.wall() - _GRACE_SECONDS]
    if not old:
        return
    used = store.read(layout.INDEX).data
    for seen in old:
        sha256 = seen.key.removeprefix(layout.REPLACED)
        if sha256.encode() not in used and len(sha256) == 64:
            store.delete(layout.blob(sha256))
        store.delete(seen.key)
