"""Which of the binaries that pushes have announced have appeared, asking for as few of them as possible.

Knows records and manifests, not how an index is written. With many pushes at once, whoever updates the index would else ask
for everything that all others are about to put there.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from buildjob.buildcache import index_merge, push_record, specs
from buildjob.buildcache.storage.store import ObjectInfo, Store
from buildjob.buildcache.workers import in_parallel

GRACE_SECONDS = 3600.0
"""So long a record stays whose manifests have not all appeared."""
_KILLED_SECONDS = 300.0
"""A push is rarely longer under way; until then nobody looks whether its record can be deleted."""
_CLOCK_SECONDS = 2.0
"""The time of an object is told in whole seconds by some answers."""
BATCH_BYTES = 24 << 20
"""Nodes held in memory at a time."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What need not be asked for."""

    appeared: frozenset[str] = frozenset()
    """Manifests that are known to be there."""
    own: push_record.Push = push_record.Push()
    """What the caller has just put on the mirror: it is merged even if its records should be gone."""
    own_records: frozenset[str] = frozenset()
    """The keys of those records."""
    gone: frozenset[str] = frozenset()
    """Hashes whose binary has been taken away, unless it is announced anew."""


class Batch(msgspec.Struct, kw_only=True):
    """Announced changes that are merged together."""

    cached: set[str] = msgspec.field(default_factory=set)
    manifests: set[str] = msgspec.field(default_factory=set)
    nodes: dict[str, specs.Node] = msgspec.field(default_factory=dict)
    bytes: int = 0

    def add(self, entry: push_record.Announced, nodes: dict[str, specs.Node]) -> None:
        """Add a binary with all that it depends on."""
        self.cached.add(entry.hash)
        self.manifests.add(entry.manifest)
        for each, node in nodes.items():
            if each not in self.nodes:
                self.nodes[each] = node
                self.bytes += len(node.text)


class Announcements:
    """What is announced on a mirror, read anew for each attempt at the index; what was seen to be there stays known."""

    def __init__(self, store: Store, known: Known, *, workers: int, wall: Callable[[], float]) -> None:
        self._store = store
        self._known = known
        self._workers = workers
        self._wall = wall
        self._there = dict.fromkeys(known.appeared, math.inf)
        """Manifests that are on the mirror, and since when."""
        self._there |= {entry.manifest: math.inf for entry in known.own.entries}
        self.begin(None)

    def begin(self, index: Path | None) -> None:
        """Begin anew with this index, in which nothing of what is announced may be yet."""
        self.done: list[str] = []
        self.late: list[str] = []
        self._index = index
        self._read: set[str] = set()

    def batches(self) -> Iterator[Batch]:
        """Yield what has appeared of what the records announce that were not read before."""
        for group in self._records():
            in_index = self._indexed(group)
            batch = Batch()
            for seen, pushed in group:
                missing = self._missing(pushed, in_index, seen.modified_seconds)
                for entry in pushed.entries:
                    if entry.manifest in self._there:
                        batch.add(entry, specs.reachable([entry.hash], pushed.nodes))
                if not missing or seen.modified_seconds < self._wall() - GRACE_SECONDS:
                    self.done.append(seen.key)
                self.late += [each.manifest for each in missing if each.hash not in in_index]
            yield batch

    def own(self) -> Batch:
        """Return what the caller has put on the mirror."""
        batch = Batch()
        for entry in self._known.own.entries:
            batch.add(entry, specs.reachable([entry.hash], self._known.own.nodes))
        return batch

    def _records(self) -> Iterator[list[tuple[ObjectInfo, push_record.Push]]]:
        """Yield the records not seen before, as many at a time as memory may hold."""
        group: list[tuple[ObjectInfo, push_record.Push]] = []
        for seen in push_record.pending(self._store):
            if seen.key in self._read:
                continue
            self._read.add(seen.key)
            if seen.key in self._known.own_records:
                self.done.append(seen.key)
                continue
            pushed = push_record.read(self._store, seen.key)
            if pushed is not None:
                group.append((seen, pushed))
            if sum(each.bytes for _, each in group) >= BATCH_BYTES:
                yield group
                group = []
        if group:
            yield group

    def _indexed(self, group: Sequence[tuple[ObjectInfo, push_record.Push]]) -> set[str]:
        """Return which of the hashes that are announced, and not known to be there, the index has already."""
        asked = {each.hash for _, pushed in group for each in pushed.entries if each.manifest not in self._there}
        asked -= self._known.gone
        if not asked or self._index is None:
            return set()
        with self._index.open("rb") as file:
            return index_merge.cached_among(file, asked)

    def _missing(self, pushed: push_record.Push, in_index: set[str], since_seconds: float) -> list[push_record.Announced]:
        """Return what a push has announced and not put there since, asking for as few as possible: others run for long.

        What the index has needs no merging. That a record is done with is seen only when its push may have been killed:
        one that lives deletes it itself.
        """
        if pushed.complete:
            self._there |= {each.manifest: math.inf for each in pushed.entries}
        old = since_seconds < self._wall() - _KILLED_SECONDS
        if self._look([each for each in pushed.entries if each.hash not in in_index], pushed.at_once) and old:
            self._look(pushed.entries, pushed.at_once)
        since = since_seconds - _CLOCK_SECONDS  # what --replace is to replace is there all the time
        return [each for each in pushed.entries if self._there.get(each.manifest, -math.inf) < since]

    def _look(self, entries: Sequence[push_record.Announced], at_once: int) -> bool:
        """Look for manifests; say whether all are there.

        They are begun in this order. Where more in a row are missing than can be under way, nothing behind them is there.
        """
        unknown = [each.manifest for each in entries if each.manifest not in self._there]
        row = 0
        for start in range(0, len(unknown), self._workers):
            some = unknown[start : start + self._workers]
            looked = dict(in_parallel(some, self._store.stat, workers=self._workers))
            for key in some:
                seen = looked[key]
                row = 0 if seen else row + 1
                if seen:
                    self._there[key] = seen.modified_seconds
            if row > at_once:
                break
        return all(key in self._there for key in unknown)
