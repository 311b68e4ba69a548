"""Merges entries into Spack's index as bytes: an index of 100,000 entries is 126 MiB of JSON and 1 GB of Python objects.

Pure but for the files given: reads windows, checks each as JSON, and copies as it is what does not change. Knows the form of
the index and what an entry counts, not where the index lies. Source: Spack 1.1, lib/spack/spack/database.py (`_add`,
`_write_to_file`, database version 8) and binary_distribution.py (`BuildCacheDatabase`).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

import msgspec

from buildjob.buildcache.indexing.reader import VERSION, windows
from buildjob.buildcache.specs import SpecNode, parse_node, reachable
from buildjob.errors import PublishError


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """How an index is to change."""

    with_binary: frozenset[str] = frozenset()
    """DAG hashes whose binary is in the build cache."""
    nodes: Mapping[str, SpecNode] = {}
    """At least every node that can be reached from these."""
    removed: frozenset[str] = frozenset()
    """DAG hashes whose binary is no longer there."""


class IndexEntry(msgspec.Struct, kw_only=True):
    """One concrete spec in the index, without its text."""

    ref_count: int
    """How many other entries depend on it directly."""
    in_buildcache: bool


class Edits(msgspec.Struct, frozen=True, kw_only=True):
    """What `merge` does to an index; empty if the index has all changes already. By DAG hash."""

    changed: Mapping[str, IndexEntry]
    """Entries of the index with new counts."""
    added: Mapping[str, IndexEntry]
    """Entries that are new."""
    dropped: frozenset[str]
    """Entries without a binary on which no other entry depends any more."""

    def __bool__(self) -> bool:
        return bool(self.changed or self.added or self.dropped)


class _Row(msgspec.Struct):
    """The fields of an entry that are read."""

    spec: msgspec.Raw
    ref_count: int = 0
    in_buildcache: bool = False


def plan(old: BinaryIO | None, changes: Changes) -> Edits:
    """Read an index once and return the edits. Raises PublishError if it is not an index of version 8."""
    nodes = reachable(changes.with_binary, changes.nodes)
    # Only a removal needs the whole graph: it may drop dependencies anywhere in the index.
    there, graph = _survey(old, nodes, whole=bool(changes.removed))
    ledger = _Ledger(there, [dag_hash for dag_hash in nodes if dag_hash not in there])
    for dag_hash in ledger.added:
        for dependency in nodes[dag_hash].dependencies:
            ledger.entry(dependency).ref_count += 1
    for dag_hash in changes.with_binary:
        ledger.entry(dag_hash).in_buildcache = True
    dropped = _drop(changes.removed - changes.with_binary, ledger, graph)
    changed = {each: now for each, now in ledger.changed.items() if each not in dropped and now != there[each]}
    return Edits(changed=changed, added=ledger.added, dropped=frozenset(dropped))


def _survey(old: BinaryIO | None, nodes: Mapping[str, SpecNode], *, whole: bool) -> tuple[dict[str, IndexEntry], "_Graph"]:
    """Return the index's entries for the nodes; with `whole`, all entries, and their dependencies."""
    there: dict[str, IndexEntry] = {}
    graph = _Graph()
    for rows, _window in windows(old):
        for dag_hash, raw in rows.items():
            if not whole and dag_hash not in nodes:
                continue
            row = _row(raw, dag_hash)
            there[dag_hash] = IndexEntry(ref_count=row.ref_count, in_buildcache=row.in_buildcache)
            if whole:
                graph.add(dag_hash, parse_node(bytes(row.spec)).dependencies)
    return there, graph


class _Ledger:
    """Entries while they change; the index's own stay as they were."""

    def __init__(self, there: Mapping[str, IndexEntry], added: Iterable[str]) -> None:
        self._there = there
        self.added = {dag_hash: IndexEntry(ref_count=0, in_buildcache=False) for dag_hash in added}
        self.changed: dict[str, IndexEntry] = {}

    def __contains__(self, dag_hash: str) -> bool:
        return dag_hash in self._there

    def entry(self, dag_hash: str) -> IndexEntry:
        """Return the entry of a node that is in the index or added; the caller may change it."""
        if dag_hash in self.added:
            return self.added[dag_hash]
        if dag_hash not in self.changed:
            self.changed[dag_hash] = msgspec.structs.replace(self._there[dag_hash])
        return self.changed[dag_hash]


def _drop(removed: Iterable[str], ledger: _Ledger, graph: "_Graph") -> set[str]:
    """Remove binaries; return the nodes that then have no binary and on which no other entry depends."""
    dropped: set[str] = set()
    waiting = [dag_hash for dag_hash in removed if dag_hash in ledger]
    for dag_hash in waiting:
        ledger.entry(dag_hash).in_buildcache = False
    while waiting:
        dag_hash = waiting.pop()
        entry = ledger.entry(dag_hash)
        if dag_hash in dropped or entry.ref_count > 0 or entry.in_buildcache:
            continue
        dropped.add(dag_hash)
        for dependency in graph.dependencies(dag_hash):
            if dependency in ledger:
                ledger.entry(dependency).ref_count -= 1
                waiting.append(dependency)
    return dropped


class _Graph:
    """The dependencies of a whole index, in a few tens of bytes for each edge."""

    def __init__(self) -> None:
        self._edges: dict[str, tuple[str, ...]] = {}
        self._one: dict[str, str] = {}
        """Each DAG hash once, however many edges lead to it."""

    def add(self, dag_hash: str, dependencies: Iterable[str]) -> None:
        one = self._one
        self._edges[one.setdefault(dag_hash, dag_hash)] = tuple(one.setdefault(each, each) for each in dependencies)

    def dependencies(self, dag_hash: str) -> tuple[str, ...]:
        return self._edges[dag_hash]


def merge(old: BinaryIO | None, new: BinaryIO, edits: Edits, nodes: Mapping[str, SpecNode], *, name: str) -> None:
    """Write the edited index to `new`: unchanged entries byte by byte, new ones at the end.

    `name` makes the file's bytes unique, so that two indices of the same content are never one blob.
    """
    touched = edits.changed.keys() | edits.dropped
    new.write(b'{"database":{"version":"' + VERSION.encode() + b'","installs":{')
    separator = b""
    for rows, window in windows(old):
        if not touched or touched.isdisjoint(rows):
            new.write(separator + window)
            separator = b","
            continue
        for dag_hash, raw in rows.items():
            if dag_hash in edits.dropped:
                continue
            now = edits.changed.get(dag_hash)
            text = bytes(raw) if now is None else _with_counts(raw, now)
            new.write(separator + b'"' + dag_hash.encode() + b'":' + text)
            separator = b","
    for dag_hash, entry in edits.added.items():
        text = _with_counts(msgspec.Raw(b'{"spec":' + nodes[dag_hash].text + b"}"), entry)
        new.write(separator + b'"' + dag_hash.encode() + b'":' + text)
        separator = b","
    new.write(b'}},"spack-farm":{"name":"' + name.encode() + b'"}}')


def _with_counts(raw: msgspec.Raw, entry: IndexEntry) -> bytes:
    fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    fields["ref_count"] = msgspec.Raw(str(entry.ref_count).encode())
    fields["in_buildcache"] = msgspec.Raw(b"true" if entry.in_buildcache else b"false")
    return msgspec.json.encode(fields)


def _row(raw: msgspec.Raw, dag_hash: str) -> _Row:
    try:
        return msgspec.json.decode(raw, type=_Row)
    except msgspec.MsgspecError as error:
        raise PublishError(f"the index's entry {dag_hash} is not in Spack's form: {error}") from error


def entries(old: BinaryIO | None) -> Iterator[tuple[str, IndexEntry, bytes]]:
    """Yield DAG hash, entry and the node's JSON of every entry of an index."""
    for rows, _window in windows(old):
        for dag_hash, raw in rows.items():
            row = _row(raw, dag_hash)
            yield dag_hash, IndexEntry(ref_count=row.ref_count, in_buildcache=row.in_buildcache), bytes(row.spec)


def binaries_among(old: BinaryIO | None, dag_hashes: set[str]) -> set[str]:
    """Return those of the DAG hashes whose binary an index has."""
    found: set[str] = set()
    for rows, _window in windows(old):
        found |= {dag_hash for dag_hash in rows.keys() & dag_hashes if _row(rows[dag_hash], dag_hash).in_buildcache}
    return found
