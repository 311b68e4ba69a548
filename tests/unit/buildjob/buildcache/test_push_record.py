"""Push records: what is written is what is read, in the form that existing build caches have."""

import gzip
import json

import pytest

from buildjob.buildcache import layout, push_record, specs
from buildjob.buildcache.push_record import AnnouncedBinary, PushRecord
from buildjob.errors import PublishError
from tests.labs.build_cache import dag_hash, nodes_of
from tests.labs.memory_store import MemoryStore


def nodes(*names: str) -> dict[str, specs.SpecNode]:
    found: dict[str, specs.SpecNode] = {}
    for name in names:
        text = json.dumps({"spec": {"_meta": {"version": 5}, "nodes": nodes_of(name, ["gmake"])}}).encode()
        found |= specs.parse_spec(text, where="test")
    return found


def binary(name: str) -> AnnouncedBinary:
    return AnnouncedBinary(manifest_key=f"key of {name}", dag_hash=dag_hash(name), blobs=["a" * 64])


def test_a_record_is_read_as_it_was_announced() -> None:
    store = MemoryStore()
    records = push_record.announce(store, [binary("a"), binary("b")], nodes("a", "b", "other"), at_once=3)
    ((key, record),) = records.items()
    assert record == PushRecord(binaries=[binary("a"), binary("b")], nodes=nodes("a", "b"), at_once=3)
    assert push_record.read(store, key) == record
    assert [info.key for info in push_record.pending(store)] == [key]
    assert list(push_record.announced(store)) == [binary("a"), binary("b")]
    assert record.bytes == sum(len(node.text) for node in nodes("a", "b").values())


def test_the_form_is_that_of_existing_records() -> None:
    store = MemoryStore()
    (key,) = push_record.announce(store, [binary("a")], nodes("a"), at_once=3)
    assert key.startswith(layout.PENDING)
    assert key.endswith(".json.gz")
    assert json.loads(gzip.decompress(store.objects[key])) == {
        "version": 1,
        "entries": [{"manifest": "key of a", "hash": dag_hash("a"), "blobs": ["a" * 64]}],
        "nodes": {each["hash"]: each for each in nodes_of("a", ["gmake"])},
        "at_once": 3,
        "complete": False,
    }
    old = {"version": 1, "entries": [], "nodes": {}}
    store.write("old", gzip.compress(json.dumps(old).encode()))
    assert push_record.read(store, "old") == PushRecord(at_once=64)


def test_a_large_push_has_several_records_in_its_order() -> None:
    store = MemoryStore()
    binaries = [binary(f"p{number}") for number in range(501)]
    records = push_record.announce(store, binaries, nodes(*(f"p{number}" for number in range(501))), at_once=1)
    assert [len(record.binaries) for record in records.values()] == [500, 1]
    assert [each for record in records.values() for each in record.binaries] == binaries


@pytest.mark.parametrize(("count", "is_completed"), [(1, False), (7, False), (8, True)])
def test_a_record_is_completed_if_that_saves_requests(count: int, *, is_completed: bool) -> None:
    store = MemoryStore()
    names = [f"p{number}" for number in range(count)]
    records = push_record.announce(store, [binary(name) for name in names], nodes(*names), at_once=1)
    push_record.complete(store, records)
    (key,) = records
    read = push_record.read(store, key)
    assert read
    assert read.complete == is_completed
    assert read.binaries == records[key].binaries


def test_a_record_that_another_update_has_merged_is_none() -> None:
    store = MemoryStore()
    assert push_record.read(store, "gone") is None
    assert list(push_record.announced(store)) == []


GOOD = gzip.compress(b'{"version":1,"entries":[],"nodes":{}}')


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"no gzip", "not a push record"),
        (gzip.compress(b"no json"), "not a push record"),
        (gzip.compress(b'{"version":1}'), "not a push record"),
        (gzip.compress(b'{"version":1,"entries":[],"nodes":{"x":{}}}'), "not a push record"),
        (GOOD[:-12], "cut off or too large; delete it"),
        (gzip.compress(b" " * (65 << 20), 1), "cut off or too large; delete it"),
        (gzip.compress(b'{"version":2,"entries":[],"nodes":{}}'), "version 2; a newer spack-farm wrote it"),
    ],
)
def test_a_broken_record_is_one_error_with_its_key(data: bytes, complaint: str) -> None:
    store = MemoryStore()
    store.write("record", data)
    with pytest.raises(PublishError, match=f"memory://m/record: .*{complaint}"):
        push_record.read(store, "record")


def test_the_store_forgets_a_record_that_is_deleted_between_listing_and_reading() -> None:
    class Racing(MemoryStore):
        def _get(self, method: str, key: str) -> bytes:
            if method == "read":
                self.objects.pop(key, None)
            return super()._get(method, key)

    store = Racing()
    push_record.announce(store, [binary("a")], nodes("a"), at_once=1)
    assert list(push_record.announced(store)) == []
