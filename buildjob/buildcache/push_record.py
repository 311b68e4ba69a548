"""The push record: what a push writes first, so that whatever appears afterwards gets into the index.

One small compressed JSON object below our own prefix. It names the manifests that will appear, the blobs they need, and the
concrete specs, so that an update of the index reads nothing else.
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

BINARIES_PER_RECORD = 500
_END = ".json.gz"
_WORTH_COMPLETING = 8
"""Binaries; for fewer, completing the record takes as many requests as it saves other updates."""
_LARGEST_RECORD_BYTES = 64 << 20
"""Unpacked; 500 specs with all their dependencies take 2 MiB."""


class AnnouncedBinary(msgspec.Struct, frozen=True, kw_only=True):
    """One binary that a push will put into the build cache."""

    manifest_key: str = msgspec.field(name="manifest")
    dag_hash: str = msgspec.field(name="hash")
    blobs: list[str]
    """SHA-256 of each."""


class PushRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a push announces."""

    binaries: list[AnnouncedBinary] = []
    nodes: Mapping[str, specs.SpecNode] = {}
    """Concrete specs by DAG hash: the binaries' own and all their dependencies."""
    at_once: int = 64
    """The push begins the binaries in their order, with at most this many under way."""
    complete: bool = False
    """All of them have appeared: their manifests need no request."""

    @property
    def bytes(self) -> int:
        """How much memory the nodes take."""
        return sum(len(node.text) for node in self.nodes.values())


class _RecordFile(msgspec.Struct, frozen=True, kw_only=True):
    """A push record as it is stored."""

    version: int = 1
    entries: list[AnnouncedBinary]
    nodes: dict[str, msgspec.Raw]
    at_once: int = 64
    complete: bool = False


_RECORD_FILE = msgspec.json.Decoder(_RecordFile)  # before there are threads: see manifest.py


def announce(
    store: Store, binaries: Sequence[AnnouncedBinary], nodes: Mapping[str, specs.SpecNode], *, at_once: int
) -> dict[str, PushRecord]:
    """Write the records of a push, and return them by their keys.

    The push must begin the binaries in this order, and never have more than `at_once` under way.
    """
    records = {}
    for start in range(0, len(binaries), BINARIES_PER_RECORD):
        some = list(binaries[start : start + BINARIES_PER_RECORD])
        needed = specs.reachable((binary.dag_hash for binary in some), nodes)
        record = PushRecord(binaries=some, nodes=needed, at_once=at_once)
        now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S")
        key = f"{layout.PENDING}{now}-{secrets.token_hex(8)}{_END}"
        _write(store, key, record)
        records[key] = record
    return records


def complete(store: Store, records: Mapping[str, PushRecord]) -> None:
    """Record that all binaries have appeared, if that saves others more requests than it takes."""
    for key, record in records.items():
        if len(record.binaries) >= _WORTH_COMPLETING:
            _write(store, key, msgspec.structs.replace(record, complete=True))


def _write(store: Store, key: str, record: PushRecord) -> None:
    texts = {dag_hash: msgspec.Raw(node.text) for dag_hash, node in record.nodes.items()}
    file = _RecordFile(entries=record.binaries, nodes=texts, at_once=record.at_once, complete=record.complete)
    store.write(key, gzip.compress(msgspec.json.encode(file), 6, mtime=0))


def pending(store: Store) -> Iterator[ObjectInfo]:
    """Yield the records in the build cache, oldest first; not what others have put among them."""
    return (info for info in store.list(layout.PENDING) if info.key.endswith(_END))


def read(store: Store, key: str) -> PushRecord | None:
    """Return a record; None if another update has merged it meanwhile. Raises PublishError if it is broken."""
    try:
        packed = store.read(key).data
    except NotFound:
        return None
    unpack = zlib.decompressobj(wbits=31)
    try:
        text = unpack.decompress(packed, _LARGEST_RECORD_BYTES)
        if unpack.unconsumed_tail or not unpack.eof:
            raise PublishError(f"{store.url}/{key}: this push record is cut off or too large; delete it")
        file = _RECORD_FILE.decode(text)
        nodes = {dag_hash: specs.parse_node(bytes(raw)) for dag_hash, raw in file.nodes.items()}
    except (zlib.error, msgspec.MsgspecError) as error:
        raise PublishError(f"{store.url}/{key}: not a push record ({error}); delete it") from error
    if file.version != 1:
        raise PublishError(f"{store.url}/{key}: version {file.version}; a newer spack-farm wrote it")
    return PushRecord(binaries=file.entries, nodes=nodes, at_once=file.at_once, complete=file.complete)


def announced(store: Store) -> Iterator[AnnouncedBinary]:
    """Yield the binaries of all records in the build cache."""
    for info in pending(store):
        record = read(store, info.key)
        if record is not None:
            yield from record.binaries
