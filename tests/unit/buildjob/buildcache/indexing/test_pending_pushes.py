"""Which announced binaries have appeared, and with how few requests that is found out."""

import io
import json
from pathlib import Path

from buildjob.buildcache import layout, push_record, specs
from buildjob.buildcache.indexing import merge, pending_pushes
from buildjob.buildcache.indexing.pending_pushes import Batch, Known, PendingPushes
from buildjob.buildcache.push_record import AnnouncedBinary, PushRecord
from tests.labs.build_cache import dag_hash, nodes_of
from tests.labs.memory_store import MemoryStore

NAMES = [f"p{number:02}" for number in range(20)]


def nodes(*names: str) -> dict[str, specs.SpecNode]:
    found: dict[str, specs.SpecNode] = {}
    for name in names:
        text = json.dumps({"spec": {"_meta": {"version": 5}, "nodes": nodes_of(name)}}).encode()
        found |= specs.parse_spec(text, where="test")
    return found


def key_of(name: str) -> str:
    return f"{layout.SPECS}{name}/{name}-1.0-{dag_hash(name)}{layout.MANIFEST_END}"


def binaries(*names: str) -> list[AnnouncedBinary]:
    return [AnnouncedBinary(manifest_key=key_of(name), dag_hash=dag_hash(name), blobs=[]) for name in names]


class Farm:
    """A storage with pushes, and what an update of its index sees."""

    def __init__(self) -> None:
        self.store = MemoryStore()

    def announce(self, *names: str, at_once: int = 2) -> str:
        (key,) = push_record.announce(self.store, binaries(*names), nodes(*names), at_once=at_once)
        return key

    def appear(self, *names: str) -> None:
        for name in names:
            self.store.write(key_of(name), b"a manifest")

    def pending(self, known: Known | None = None, *, index: Path | None = None, after_seconds: float = 0) -> PendingPushes:
        now = self.store.now + after_seconds
        made = PendingPushes(self.store, known or Known(), workers=1, wall=lambda: now)
        made.begin(index)
        self.store.requests.clear()
        return made

    def asked(self) -> list[str]:
        return [key for method, key in self.store.requests if method == "stat"]


def appeared(pending: PendingPushes) -> set[str]:
    return {dag_hash for batch in pending.batches() for dag_hash in batch.with_binary}


def hashes(*names: str) -> set[str]:
    return {dag_hash(name) for name in names}


def index_with(folder: Path, *names: str) -> Path:
    changes = merge.Changes(with_binary=frozenset(hashes(*names)), nodes=nodes(*names))
    new = io.BytesIO()
    merge.merge(None, new, merge.plan(None, changes), changes.nodes, name="n")
    path = folder / "index"
    path.write_bytes(new.getvalue())
    return path


def test_what_has_appeared_is_yielded_with_all_it_depends_on() -> None:
    farm = Farm()
    key = farm.announce("a", "b")
    farm.appear("a")
    pending = farm.pending()
    (batch,) = pending.batches()
    assert batch.with_binary == hashes("a")
    assert batch.manifest_keys == {key_of("a")}
    assert batch.nodes.keys() == hashes("a", "glibc")
    assert pending.done == []
    assert pending.unfinished == [key_of("b")]
    farm.appear("b")
    pending.begin(None)
    assert appeared(pending) == hashes("a", "b")
    assert (pending.done, pending.unfinished) == ([key], [])


def test_a_record_is_read_once_until_it_begins_again() -> None:
    farm = Farm()
    farm.announce("a")
    farm.appear("a")
    pending = farm.pending()
    assert appeared(pending) == hashes("a")
    assert appeared(pending) == set()
    farm.announce("b")
    farm.appear("b")
    assert appeared(pending) == hashes("b")


def test_no_more_are_asked_for_than_can_be_under_way() -> None:
    farm = Farm()
    farm.announce(*NAMES, at_once=2)
    farm.appear(*NAMES[:5])
    pending = farm.pending()
    assert appeared(pending) == hashes(*NAMES[:5])
    assert len(farm.asked()) == 5 + 3
    assert len(pending.unfinished) == 15


def test_what_was_seen_is_not_asked_for_again() -> None:
    farm = Farm()
    farm.announce("a", "b")
    farm.appear("a")
    pending = farm.pending()
    appeared(pending)
    farm.store.requests.clear()
    pending.begin(None)
    assert appeared(pending) == hashes("a")
    assert farm.asked() == [key_of("b")]


def test_what_the_index_has_is_asked_for_only_if_the_push_may_be_dead(tmp_path: Path) -> None:
    farm = Farm()
    key = farm.announce("a", "b")
    farm.appear("a", "b")
    index = index_with(tmp_path, "a", "b")
    alive = farm.pending(index=index, after_seconds=200)
    assert appeared(alive) == set()
    assert (farm.asked(), alive.done, alive.unfinished) == ([], [], [])
    dead = farm.pending(index=index, after_seconds=400)
    appeared(dead)
    assert (farm.asked(), dead.done) == ([key_of("a"), key_of("b")], [key])


def test_what_is_removed_is_asked_for_though_the_index_has_it(tmp_path: Path) -> None:
    farm = Farm()
    farm.announce("a")
    farm.appear("a")
    known = Known(removed=frozenset(hashes("a")))
    assert appeared(farm.pending(known, index=index_with(tmp_path, "a"))) == hashes("a")


def test_a_record_whose_binaries_never_appear_is_kept_for_an_hour() -> None:
    farm = Farm()
    key = farm.announce("a")
    for after_seconds, done in ((3599, []), (3601, [key])):
        pending = farm.pending(after_seconds=after_seconds)
        assert appeared(pending) == set()
        assert pending.done == done
        assert pending.unfinished == [key_of("a")]


def test_an_older_manifest_is_not_the_one_that_a_push_with_replace_announces() -> None:
    farm = Farm()
    farm.appear("a")
    farm.store.now += 10
    key = farm.announce("a")
    pending = farm.pending()
    assert appeared(pending) == hashes("a"), "it is there, and may be indexed"
    assert pending.done == []
    farm.appear("a")
    again = farm.pending()
    appeared(again)
    assert again.done == [key]


def test_the_binaries_of_a_complete_record_are_not_asked_for() -> None:
    farm = Farm()
    records = push_record.announce(farm.store, binaries(*NAMES), nodes(*NAMES), at_once=2)
    push_record.complete(farm.store, records)
    pending = farm.pending()
    assert appeared(pending) == hashes(*NAMES)
    assert farm.asked() == []
    assert pending.done == list(records)


def test_what_the_caller_knows_is_not_asked_for() -> None:
    farm = Farm()
    farm.announce("a")
    assert appeared(farm.pending(Known(appeared=frozenset({key_of("a")})))) == hashes("a")
    assert farm.asked() == []


def test_the_callers_own_binaries_are_there_without_their_record() -> None:
    farm = Farm()
    key = farm.announce("a")
    own = PushRecord(binaries=binaries("a"), nodes=nodes("a"))
    pending = farm.pending(Known(own=own, own_records=frozenset({key})))
    assert pending.own().with_binary == hashes("a")
    assert appeared(pending) == set(), "it is not read"
    assert pending.done == [key]
    assert [method for method, _ in farm.store.requests] == ["list"]
    farm.store.delete(key)
    assert farm.pending(Known(own=own)).own().nodes.keys() == hashes("a", "glibc")


def test_a_record_that_is_deleted_before_it_is_read_is_passed_over() -> None:
    farm = Farm()
    key = farm.announce("a")
    listed = list(farm.store.list(layout.PENDING))
    farm.store.list = lambda prefix, **_: iter(listed if prefix == layout.PENDING else [])  # type: ignore[method-assign]
    farm.store.delete(key)
    pending = farm.pending()
    assert appeared(pending) == set()
    assert pending.done == []


def test_memory_holds_one_batch_at_a_time() -> None:
    farm = Farm()
    half = pending_pushes.BATCH_BYTES // 2 + 1
    for name in ("a", "b", "c"):
        large = {
            dag_hash(name): specs.parse_node(
                json.dumps(nodes_of(name)[1] | {"hash": dag_hash(name), "x": "x" * half}).encode()
            )
        }
        push_record.announce(farm.store, binaries(name), large, at_once=1)
        farm.appear(name)
    assert [len(batch.with_binary) for batch in farm.pending().batches()] == [2, 1]


def test_a_batch_counts_each_node_once() -> None:
    batch = Batch()
    for binary in binaries("a", "b"):
        batch.add(binary, nodes("a", "b"))
    assert batch.bytes == sum(len(node.text) for node in nodes("a", "b").values())
