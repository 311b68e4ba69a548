"""The record of a push: written before anything else of it, so that whatever appears on the mirror gets into the index.

One small compressed JSON below our own prefix. It names the manifests that are about to appear, the blobs they need, and
the concrete specs, so that an update of the index reads nothing else.
"""

import datetime as dt
import gzip
import secrets
import zlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from buildjob.buildcache import layout, specs
from buildjob.buildcache.storage.store import ObjectInfo, Store
from buildjob.errors import NotFound, PublishError

ENTRIES_PER_RECORD = 500
_WORTH_TELLING = 8
_LARGEST_RECORD_BYTES = 64 << 20
"""Unpacked; 500 specs with all that they depend on take 2 MiB."""


class Announced(msgspec.Struct, frozen=True, kw_only=True):
    """One binary that a push puts on the mirror."""

    manifest: str
    """Its key."""
    hash: str
    blobs: list[str]
    """SHA-256 of each."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a push is going to do."""

    version: int = 1
    entries: list[Announced]
    nodes: dict[str, msgspec.Raw]
    """Concrete specs by hash: the entries' own and all that they depend on."""
    at_once: int = 64
    """The entries are begun in their order, and so many are under way at most."""
    complete: bool = False
    """All of them are on the mirror: nobody need ask for them."""


_RECORD = msgspec.json.Decoder(Record)  # before there are threads: see mirror.py


def announce(
    store: Store, entries: Sequence[Announced], nodes: Mapping[str, specs.Node], *, at_once: int
) -> dict[str, Record]:
    """Write the records of a push, which must keep the entries' order and never have more than `at_once` under way.

    Returns them by their keys.
    """
    records = {}
    for start in range(0, len(entries), ENTRIES_PER_RECORD):
        some = list(entries[start : start + ENTRIES_PER_RECORD])
        needed = specs.reachable((entry.hash for entry in some), nodes)
        texts = {dag_hash: msgspec.Raw(node.text) for dag_hash, node in needed.items()}
        record = Record(entries=some, nodes=texts, at_once=at_once)
        now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S")
        key = f"{layout.PENDING}{now}-{secrets.token_hex(8)}.json.gz"
        _write(store, key, record)
        records[key] = record
    return records


def complete(store: Store, records: Mapping[str, Record]) -> None:
    """Tell that all is there, where that saves others more requests than it takes."""
    for key, record in records.items():
        if len(record.entries) >= _WORTH_TELLING:
            _write(store, key, msgspec.structs.replace(record, complete=True))


def _write(store: Store, key: str, record: Record) -> None:
    store.write(key, gzip.compress(msgspec.json.encode(record), 6, mtime=0))


def pending(store: Store) -> Iterator[ObjectInfo]:
    """Yield the records that are on the mirror, oldest first."""
    return store.list(layout.PENDING)


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """A record that was read."""

    entries: list[Announced] = []
    nodes: dict[str, specs.Node] = {}
    at_once: int = 1
    complete: bool = False

    @property
    def bytes(self) -> int:
        """What its nodes take in memory."""
        return sum(len(node.text) for node in self.nodes.values())


def read(store: Store, key: str) -> Push | None:
    """Return what a record says; None if another update has merged it meanwhile. Raises PublishError if it is broken."""
    try:
        packed = store.read(key).data
    except NotFound:
        return None
    unpack = zlib.decompressobj(wbits=31)
    try:
        text = unpack.decompress(packed, _LARGEST_RECORD_BYTES)
        if unpack.unconsumed_tail or not unpack.eof:
            raise PublishError(f"{store.url}/{key}: a record that is cut off or too large; delete it")
        record = _RECORD.decode(text)
        nodes = {dag_hash: specs.parse_node(bytes(raw)) for dag_hash, raw in record.nodes.items()}
    except (zlib.error, msgspec.MsgspecError) as error:
        raise PublishError(f"{store.url}/{key}: no record of a push ({error}); delete it") from error
    if record.version != 1:
        raise PublishError(f"{store.url}/{key}: version {record.version}; a newer spack-farm wrote it")
    return Push(entries=record.entries, nodes=nodes, at_once=record.at_once, complete=record.complete)
