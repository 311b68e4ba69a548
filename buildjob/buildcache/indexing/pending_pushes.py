"""Which binaries of pending pushes have appeared, found out with as few requests as possible.

Knows push records and manifests, not how an index is written. With many pushes at once, every update of the index would
otherwise request all the binaries that the other pushes have announced.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from buildjob.buildcache import push_record, specs
from buildjob.buildcache.indexing import merge
from buildjob.buildcache.push_record import AnnouncedBinary, PushRecord
from buildjob.buildcache.storage.store import ObjectInfo, Store
from buildjob.buildcache.workers import in_parallel

GRACE_SECONDS = 3600.0
"""How long a record is kept if its binaries have not all appeared."""
_KILLED_SECONDS = 300.0
"""A push rarely takes longer. Only then is it checked whether its record can be deleted."""
_CLOCK_SECONDS = 2.0
"""Some answers give an object's time in whole seconds."""
BATCH_BYTES = 24 << 20
"""Nodes held in memory at a time."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller of an update has done, or knows without a request."""

    appeared: frozenset[str] = frozenset()
    """Keys of manifests that are there."""
    own: PushRecord = PushRecord()
    """What the caller has just put there: it is merged even if its records have been deleted."""
    own_records: frozenset[str] = frozenset()
    """The keys of those records."""
    removed: frozenset[str] = frozenset()
    """DAG hashes whose binary is being deleted; they leave the index unless they are announced again."""


class Batch(msgspec.Struct, kw_only=True):
    """Binaries that are merged together."""

    with_binary: set[str] = msgspec.field(default_factory=set)
    """Their DAG hashes."""
    manifest_keys: set[str] = msgspec.field(default_factory=set)
    nodes: dict[str, specs.SpecNode] = msgspec.field(default_factory=dict)
    bytes: int = 0

    def add(self, binary: AnnouncedBinary, nodes: dict[str, specs.SpecNode]) -> None:
        """Add a binary with all its dependencies."""
        self.with_binary.add(binary.dag_hash)
        self.manifest_keys.add(binary.manifest_key)
        for dag_hash, node in nodes.items():
            if dag_hash not in self.nodes:
                self.nodes[dag_hash] = node
                self.bytes += len(node.text)


class PendingPushes:
    """The push records of a build cache, read again for each attempt at the index; remembers what has appeared."""

    def __init__(self, store: Store, known: Known, *, workers: int, wall: Callable[[], float]) -> None:
        self._store = store
        self._known = known
        self._workers = workers
        self._wall = wall
        self._appeared = dict.fromkeys(known.appeared, math.inf)
        """Keys of manifests that are there, and when they were written; infinity if that is known to be recent enough."""
        self._appeared |= {binary.manifest_key: math.inf for binary in known.own.binaries}
        self.begin(None)

    def begin(self, index: Path | None) -> None:
        """Begin again with this index, which may lack all announced binaries."""
        self.done: list[str] = []
        """Keys of records that can be deleted once the index has what was yielded."""
        self.unfinished: list[str] = []
        """Keys of announced manifests that have not appeared."""
        self._index = index
        self._read: set[str] = set()

    def batches(self) -> Iterator[Batch]:
        """Yield the binaries that have appeared, of all records not read since `begin`."""
        for group in self._records():
            in_index = self._in_index(group)
            batch = Batch()
            for info, record in group:
                missing = self._missing(record, in_index, info.modified_seconds)
                for binary in record.binaries:
                    if binary.manifest_key in self._appeared:
                        batch.add(binary, specs.reachable([binary.dag_hash], record.nodes))
                if not missing or info.modified_seconds < self._wall() - GRACE_SECONDS:
                    self.done.append(info.key)
                self.unfinished += [binary.manifest_key for binary in missing if binary.dag_hash not in in_index]
            yield batch

    def own(self) -> Batch:
        """Return what the caller has put there."""
        batch = Batch()
        for binary in self._known.own.binaries:
            batch.add(binary, specs.reachable([binary.dag_hash], self._known.own.nodes))
        return batch

    def _records(self) -> Iterator[list[tuple[ObjectInfo, PushRecord]]]:
        """Yield the records that were not read yet, as many at a time as memory allows."""
        group: list[tuple[ObjectInfo, PushRecord]] = []
        for info in push_record.pending(self._store):
            if info.key in self._read:
                continue
            self._read.add(info.key)
            if info.key in self._known.own_records:
                self.done.append(info.key)
                continue
            record = push_record.read(self._store, info.key)
            if record is not None:
                group.append((info, record))
            if sum(each.bytes for _, each in group) >= BATCH_BYTES:
                yield group
                group = []
        if group:
            yield group

    def _in_index(self, group: Sequence[tuple[ObjectInfo, PushRecord]]) -> set[str]:
        """Return the DAG hashes whose binary the index has, of those announced that are not known to have appeared."""
        unknown = {
            binary.dag_hash for _, record in group for binary in record.binaries if binary.manifest_key not in self._appeared
        }
        unknown -= self._known.removed
        if not unknown or self._index is None:
            return set()
        with self._index.open("rb") as file:
            return merge.binaries_among(file, unknown)

    def _missing(self, record: PushRecord, in_index: set[str], since_seconds: float) -> list[AnnouncedBinary]:
        """Return the binaries that a push has announced and that were not written since.

        A binary that the index has needs no request. Only for a push that may have been killed, these are looked for as
        well, so that its record can be deleted: a living push deletes it itself.
        """
        if record.complete:
            self._appeared |= {binary.manifest_key: math.inf for binary in record.binaries}
        may_be_dead = since_seconds < self._wall() - _KILLED_SECONDS
        unindexed = [binary for binary in record.binaries if binary.dag_hash not in in_index]
        if self._stat_in_order(unindexed, record.at_once) and may_be_dead:
            self._stat_in_order(record.binaries, record.at_once)
        # a push with --replace announces manifests that have been there all the time: older ones have not appeared
        since = since_seconds - _CLOCK_SECONDS
        return [binary for binary in record.binaries if self._appeared.get(binary.manifest_key, -math.inf) < since]

    def _stat_in_order(self, binaries: Sequence[AnnouncedBinary], at_once: int) -> bool:
        """Look for manifests; return whether all are there.

        A push begins its binaries in this order. If more in a row are missing than it can have under way, the ones behind
        them are not there either.
        """
        unknown = [binary.manifest_key for binary in binaries if binary.manifest_key not in self._appeared]
        missing_in_a_row = 0
        for start in range(0, len(unknown), self._workers):
            some = unknown[start : start + self._workers]
            found = dict(in_parallel(some, self._store.stat, workers=self._workers))
            for key in some:
                info = found[key]
                missing_in_a_row = 0 if info else missing_in_a_row + 1
                if info:
                    self._appeared[key] = info.modified_seconds
            if missing_in_a_row > at_once:
                break
        return all(key in self._appeared for key in unknown)
