"""Merges entries into Spack's index as bytes: an index of 100,000 entries is 126 MiB of JSON and 1 GB of Python objects.

Pure but for the files given: reads windows, checks each as JSON, copies what does not change as it is. Knows the form of
the index and what an entry counts, not where it lies. Source: Spack 1.1, lib/spack/spack/database.py (`_add`,
`_write_to_file`, database version 8) and binary_distribution.py (`BuildCacheDatabase`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

import msgspec

from buildjob.errors import PublishError

VERSION = "8"
_SPEC_VERSION = 5
_WINDOW_BYTES = 1 << 20
_SHORTEST_READ_BYTES = 256
_LARGEST_ENTRY_BYTES = 64 << 20
_LARGEST_TAIL_BYTES = 1 << 16
_HEAD = re.compile(rb'\s*\{\s*"database"\s*:\s*\{\s*"version"\s*:\s*"([0-9.]+)"\s*,\s*"installs"\s*:\s*\{\s*')
# Where one entry ends and the next begins. A quote between these structural characters can only begin a key.
_BOUNDARY = re.compile(rb'\}(\s*,\s*)"[a-z2-7]{32}"\s*:\s*\{')
# The end of the last entry, followed by those of `installs` and of `database`.
_INSTALLS_END = re.compile(rb"\}(?=\s*\}\s*\}\s*[,}])")
_HASH = re.compile(r"[a-z2-7]{32}")


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One concrete spec, as Spack writes it into spec files and into the index alike."""

    text: bytes
    """Its JSON."""
    dependencies: tuple[str, ...]
    """Hashes of its direct dependencies, each once."""


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What is to become of an index."""

    cached: frozenset[str] = frozenset()
    """Hashes whose binary is on the mirror."""
    nodes: Mapping[str, Node] = {}
    """At least every node that can be reached from these."""
    gone: frozenset[str] = frozenset()
    """Hashes whose binary is no longer on the mirror."""


class Entry(msgspec.Struct, kw_only=True):
    """What an entry counts, beside its spec."""

    ref_count: int
    in_buildcache: bool


class Edits(msgspec.Struct, frozen=True, kw_only=True):
    """What `merge` does to an index; empty if it holds all of the changes already."""

    changed: Mapping[str, Entry]
    """Entries that count differently from now on."""
    added: Mapping[str, Entry]
    """Entries that are new."""
    dropped: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.changed or self.added or self.dropped)


class _Head(msgspec.Struct):
    """Of a node, only what is read."""

    hash: str
    dependencies: list["_Dependency"] = []


class _Dependency(msgspec.Struct):
    hash: str


class _Row(msgspec.Struct):
    """Of an entry, only what is read."""

    spec: msgspec.Raw
    ref_count: int = 0
    in_buildcache: bool = False


class _SpecFile(msgspec.Struct):
    spec: "_Nodes"


class _Meta(msgspec.Struct):
    version: int


class _Nodes(msgspec.Struct):
    nodes: list[msgspec.Raw]
    meta: _Meta = msgspec.field(name="_meta")


def parse_spec(text: bytes, *, where: str) -> dict[str, Node]:
    """Return the nodes of a concrete spec file by hash, the root first. Raises PublishError, naming `where`."""
    try:
        spec = msgspec.json.decode(text, type=_SpecFile).spec
        nodes = dict(_node(bytes(raw)) for raw in spec.nodes)
    except msgspec.MsgspecError as error:
        raise PublishError(f"{where}: not a concrete spec: {error}") from error
    if spec.meta.version != _SPEC_VERSION:
        # Spack would translate its nodes for the index
        raise PublishError(f"{where}: spec format {spec.meta.version}, and Spack 1.1 writes {_SPEC_VERSION}; build it anew")
    for dag_hash, node in nodes.items():
        if not _HASH.fullmatch(dag_hash) or any(each not in nodes for each in node.dependencies):
            raise PublishError(f"{where}: node '{dag_hash[:40]}' is not whole")
    if not nodes:
        raise PublishError(f"{where}: a spec without nodes")
    return nodes


def parse_node(text: bytes) -> Node:
    """Return a node. Raises msgspec.MsgspecError if it is none."""
    return _node(text)[1]


def _node(text: bytes) -> tuple[str, Node]:
    head = msgspec.json.decode(text, type=_Head)
    return head.hash, Node(text=text, dependencies=tuple(dict.fromkeys(edge.hash for edge in head.dependencies)))


class _Named(msgspec.Struct):
    """Of a node, what its manifest's folder is named after."""

    name: str


def is_named(path: str, dag_hash: str, node: Node) -> bool:
    """Say whether a manifest's path, below those of all specs, is the one of this node.

    The version in it is not compared: Spack writes it with characters replaced that a path may not have.
    Source: url_buildcache.py, `get_manifest_url`.
    """
    name = msgspec.json.decode(node.text, type=_Named).name
    return path.startswith(f"{name}/{name}-") and path.endswith(f"-{dag_hash}.spec.manifest.json") and path.count("/") == 1


def reachable(roots: Iterable[str], nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Return the nodes that can be reached from the roots. Raises PublishError if one is missing."""
    found: dict[str, Node] = {}
    waiting = list(roots)
    while waiting:
        dag_hash = waiting.pop()
        if dag_hash in found:
            continue
        if dag_hash not in nodes:
            raise PublishError(f"node {dag_hash} is missing in the record of a push")
        found[dag_hash] = nodes[dag_hash]
        waiting += nodes[dag_hash].dependencies
    return found


def plan(old: BinaryIO | None, changes: Changes) -> Edits:
    """Read an index once and return what is to be edited. Raises PublishError if it is no index of version 8."""
    nodes = reachable(changes.cached, changes.nodes)
    there, graph = _survey(old, nodes, whole=bool(changes.gone))
    ledger = _Ledger(there, [dag_hash for dag_hash in nodes if dag_hash not in there])
    for dag_hash in ledger.added:
        for dependency in nodes[dag_hash].dependencies:
            ledger.entry(dependency).ref_count += 1
    for dag_hash in changes.cached:
        ledger.entry(dag_hash).in_buildcache = True
    dropped = _drop(changes.gone - changes.cached, ledger, graph)
    changed = {each: now for each, now in ledger.changed.items() if each not in dropped and now != there[each]}
    return Edits(changed=changed, added=ledger.added, dropped=frozenset(dropped))


def _survey(old: BinaryIO | None, nodes: Mapping[str, Node], *, whole: bool) -> tuple[dict[str, Entry], "_Graph"]:
    """Return what an index counts for the nodes; with `whole`, for all entries, and who depends on whom."""
    there: dict[str, Entry] = {}
    graph = _Graph()
    for rows, _window in windows(old):
        for dag_hash, raw in rows.items():
            if not whole and dag_hash not in nodes:
                continue
            row = _row(raw, dag_hash)
            there[dag_hash] = Entry(ref_count=row.ref_count, in_buildcache=row.in_buildcache)
            if whole:
                graph.add(dag_hash, parse_node(bytes(row.spec)).dependencies)
    return there, graph


class _Ledger:
    """Counts while they change; the index's own stay as they were."""

    def __init__(self, there: Mapping[str, Entry], added: Iterable[str]) -> None:
        self._there = there
        self.added = {dag_hash: Entry(ref_count=0, in_buildcache=False) for dag_hash in added}
        self.changed: dict[str, Entry] = {}

    def __contains__(self, dag_hash: str) -> bool:
        return dag_hash in self._there

    def entry(self, dag_hash: str) -> Entry:
        """Return what is counted for a node that is there or added; the caller may change it."""
        if dag_hash in self.added:
            return self.added[dag_hash]
        if dag_hash not in self.changed:
            self.changed[dag_hash] = msgspec.structs.replace(self._there[dag_hash])
        return self.changed[dag_hash]


def _drop(gone: Iterable[str], ledger: _Ledger, graph: "_Graph") -> set[str]:
    """Take binaries away, and each node that neither has one any more nor is needed by another; return those nodes."""
    dropped: set[str] = set()
    waiting = [dag_hash for dag_hash in gone if dag_hash in ledger]
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
    """Who depends on whom in a whole index, in a few tens of bytes an edge."""

    def __init__(self) -> None:
        self._edges: dict[str, tuple[str, ...]] = {}
        self._one: dict[str, str] = {}

    def add(self, dag_hash: str, dependencies: Iterable[str]) -> None:
        one = self._one
        self._edges[one.setdefault(dag_hash, dag_hash)] = tuple(one.setdefault(each, each) for each in dependencies)

    def dependencies(self, dag_hash: str) -> tuple[str, ...]:
        return self._edges[dag_hash]


def merge(old: BinaryIO | None, new: BinaryIO, edits: Edits, nodes: Mapping[str, Node], *, name: str) -> None:
    """Write the edited index to `new`: what does not change byte by byte, new entries at the end.

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


def _with_counts(raw: msgspec.Raw, entry: Entry) -> bytes:
    fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    fields["ref_count"] = msgspec.Raw(str(entry.ref_count).encode())
    fields["in_buildcache"] = msgspec.Raw(b"true" if entry.in_buildcache else b"false")
    return msgspec.json.encode(fields)


def _row(raw: msgspec.Raw, dag_hash: str) -> _Row:
    try:
        return msgspec.json.decode(raw, type=_Row)
    except msgspec.MsgspecError as error:
        raise PublishError(f"the index's entry {dag_hash} is not one of Spack's: {error}") from error


def entries(old: BinaryIO | None) -> Iterator[tuple[str, Entry, bytes]]:
    """Yield hash, counts and the node's JSON of every entry of an index."""
    for rows, _window in windows(old):
        for dag_hash, raw in rows.items():
            row = _row(raw, dag_hash)
            yield dag_hash, Entry(ref_count=row.ref_count, in_buildcache=row.in_buildcache), bytes(row.spec)


def cached_among(old: BinaryIO | None, hashes: set[str]) -> set[str]:
    """Return those of the hashes whose binary an index names already."""
    found: set[str] = set()
    for rows, _window in windows(old):
        found |= {dag_hash for dag_hash in rows.keys() & hashes if _row(rows[dag_hash], dag_hash).in_buildcache}
    return found


def windows(old: BinaryIO | None, *, window_bytes: int = _WINDOW_BYTES) -> Iterator[tuple[dict[str, msgspec.Raw], bytes]]:
    """Yield an index in windows of about 1 MiB: the entries by hash, and the bytes that hold them. None is an empty index.

    Every window is decoded as JSON, so that a cut within an entry is seen and mended, whatever a string contains.
    """
    if old is None:
        return
    old.seek(0)
    buffer = old.read(max(window_bytes, _SHORTEST_READ_BYTES))
    head = _HEAD.match(buffer)
    if head is None:
        raise PublishError("the index is not in the form that Spack writes; make it anew with publish index --rebuild")
    if head[1].decode() != VERSION:
        raise PublishError(f"the index has database version {head[1].decode()}, Spack 1.1 writes {VERSION}")
    buffer = buffer[head.end() :]
    while True:
        more = old.read(window_bytes)
        if not more:
            break
        rows, used, skip = _cut(buffer)
        if used:
            yield rows, buffer[:used]
            buffer = buffer[used + skip :]
        buffer += more
        if len(buffer) > _LARGEST_ENTRY_BYTES:
            raise PublishError("the index has an entry of more than 64 MiB, or is no index at all")
    yield from _last(buffer)


def _cut(buffer: bytes) -> tuple[dict[str, msgspec.Raw], int, int]:
    """Return the entries that are whole, how many bytes they take, and how many separate them from the next."""
    for boundary in reversed(list(_BOUNDARY.finditer(buffer))[-3:]):
        used = boundary.start() + 1
        rows = _rows(buffer[:used])
        if rows is not None:
            return rows, used, len(boundary[1])
    return {}, 0, 0


def _rows(window: bytes) -> dict[str, msgspec.Raw] | None:
    try:
        return msgspec.json.decode(b"{" + window + b"}", type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        return None


def _last(buffer: bytes) -> Iterator[tuple[dict[str, msgspec.Raw], bytes]]:
    """Yield the last window: it ends where `installs` does, with a short tail behind it."""
    if re.match(rb"\}\s*\}", buffer):
        return
    before = max(len(buffer) - _LARGEST_TAIL_BYTES, 0)
    for end in _INSTALLS_END.finditer(buffer, before):
        used = end.start() + 1
        rows = _rows(buffer[:used])
        if rows is not None and _rows(b'"database":{"installs":{' + buffer[used:].rstrip()[:-1]) is not None:
            yield rows, buffer[:used]
            return
    raise PublishError("the index ends too early; make it anew with publish index --rebuild")
