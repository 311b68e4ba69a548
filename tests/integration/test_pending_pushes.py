"""What pushes announce: an update requests as little of it as it can, and deletes no push record too early."""

import os
from collections.abc import Iterator
from pathlib import Path

from buildjob.buildcache import index, layout, push, push_record
from buildjob.buildcache.indexing import pending_pushes
from buildjob.buildcache.storage.folder import FolderStore
from buildjob.buildcache.storage.store import ObjectInfo, Store, Unlisted
from tests.labs.build_cache import MakeStore, add_entry, as_it_is, consistent, expected, installs

COUNT = 40
TREES: dict[str, list[str]] = {f"p{number:02}": [] for number in range(COUNT)}


class Asked(FolderStore):
    """A folder that records which manifests were asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: list[str] = []

    def stat(self, key: str) -> ObjectInfo | None:
        if key.startswith(layout.SPECS):
            self.asked.append(key)
        return super().stat(key)


def under_way(
    folder: Path, store: Store, *, done: int, at_once: int = 2
) -> tuple[push.PushPlan, list[push_record.AnnouncedBinary]]:
    """Announce all binaries and write the first ones."""
    for name, needed in TREES.items():
        add_entry(folder, name, needed)
    planned = push.plan(folder, store, replace=True)
    entries = [
        push_record.AnnouncedBinary(manifest_key=each.manifest_key, dag_hash=each.dag_hash, blobs=[])
        for each in planned.binaries
    ]
    push_record.announce(store, entries, planned.nodes, at_once=at_once)
    for each in planned.binaries[:done]:
        store.write(each.manifest_key, each.text)
    return planned, entries


def test_an_update_indexes_what_has_appeared_of_a_running_push_and_asks_for_little_more(tmp_path: Path) -> None:
    store = Asked(tmp_path / "m")
    planned, _ = under_way(tmp_path / "u", store, done=10)
    done = index.update(store, pending_pushes.Known(), index.IndexOptions(workers=1))
    assert (done.added, done.unfinished) == (10, COUNT - 10)
    assert installs(store) == expected({name: [] for name in list(TREES)[:10]})
    assert len(store.asked) == 10 + 3, "three in a row are missing, and two at most are under way"
    store.asked.clear()
    store.write(planned.binaries[11].manifest_key, planned.binaries[11].text)  # the tenth takes longer
    assert index.update(store, pending_pushes.Known(), index.IndexOptions(workers=1)).added == 1
    assert len(store.asked) == 2 + 3, "what the index has is not asked for"
    assert list(push_record.pending(store))


def test_a_large_push_lists_what_is_there_unless_the_build_cache_is_much_larger(tmp_path: Path) -> None:
    store = Asked(tmp_path / "m")
    planned, _ = under_way(tmp_path / "u", store, done=10)
    there = sorted(entry.manifest_key for entry in planned.binaries[:10])
    store.asked.clear()
    assert push.plan(tmp_path / "u", store, replace=False).there == there
    assert store.asked == []
    for number in range(10 * COUNT):
        store.write(f"{layout.SPECS}a/a-1.0-{number}{layout.MANIFEST_END}", b"")
    assert push.plan(tmp_path / "u", store, replace=False).there == there
    assert len(store.asked) == COUNT


def test_a_complete_record_costs_no_request_for_its_binaries(tmp_path: Path) -> None:
    store = Asked(tmp_path / "m")
    planned = under_way(tmp_path / "u", FolderStore(tmp_path / "other"), done=0)[0]
    push.push(planned, store, sign=as_it_is, options=push.PushOptions(update_index=False))
    store.asked.clear()
    assert index.update(store, pending_pushes.Known(), index.IndexOptions()).added == COUNT
    assert store.asked == []
    assert installs(store) == expected(TREES)
    assert not list(push_record.pending(store))


def test_a_push_that_replaces_stays_pending_while_the_old_binaries_are_there(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "m")
    add_entry(tmp_path / "u", "a")
    push.publish(tmp_path / "u", store, sign=as_it_is)
    planned = push.plan(tmp_path / "u", store, replace=True)
    (entry,) = planned.binaries
    (waiting,) = push_record.announce(
        store, [push_record.AnnouncedBinary(manifest_key=entry.manifest_key, dag_hash=entry.dag_hash, blobs=[])],
        planned.nodes, at_once=1
    )  # fmt: skip
    announced = store.stat(waiting)
    assert announced
    old = announced.modified_seconds - 100
    os.utime(store.root / entry.manifest_key, (old, old))
    later = index.IndexOptions(wall=lambda: announced.modified_seconds + 400)
    index.update(store, pending_pushes.Known(), later)
    assert [seen.key for seen in push_record.pending(store)] == [waiting]
    os.utime(store.root / entry.manifest_key)
    index.update(store, pending_pushes.Known(), later)
    assert not list(push_record.pending(store))
    assert installs(store) == expected({"a": []})


def test_a_push_indexes_its_own_binaries_even_if_its_record_was_deleted(tmp_path: Path) -> None:
    class Forgetful(FolderStore):
        def write(self, key: str, data: bytes, *, only_if: str | None = None) -> str:
            if key.startswith(layout.SPECS):
                for seen in list(push_record.pending(self)):
                    self.delete(seen.key)
            return super().write(key, data, only_if=only_if)

    store = Forgetful(tmp_path / "m")
    add_entry(tmp_path / "u", "a")
    push.publish(tmp_path / "u", store, sign=as_it_is)
    assert installs(store) == expected({"a": []})


def test_a_rebuild_that_lost_a_race_keeps_what_others_merged_meanwhile(tmp_path: Path) -> None:
    """Another push announces once the rebuild has read everything, and updates the index before the rebuild does."""
    meanwhile: list[str] = ["late"]

    class Raced(FolderStore):
        def write(self, key: str, data: bytes, *, only_if: str | None = None) -> str:
            if key.startswith(layout.REPLACED) and meanwhile:
                name = meanwhile.pop()
                push.publish(tmp_path / name, FolderStore(self.root), sign=as_it_is)
            return super().write(key, data, only_if=only_if)

        def list(self, prefix: str, *, unlisted: Unlisted | None = None) -> Iterator[ObjectInfo]:
            listed = super().list(prefix, unlisted=unlisted)
            if prefix == layout.PENDING:
                self.turns += 1
                if self.turns == 2:  # the second look of an attempt: it is announced by now, and there
                    planned = push.plan(tmp_path / "late", FolderStore(self.root), replace=False)
                    push.push(planned, FolderStore(self.root), sign=as_it_is, options=push.PushOptions(update_index=False))
                    return super().list(prefix, unlisted=unlisted)
            return listed

        turns = 0

    add_entry(tmp_path / "first", "first")
    add_entry(tmp_path / "late", "late")
    push.publish(tmp_path / "first", FolderStore(tmp_path / "m"), sign=as_it_is)
    done = index.update(Raced(tmp_path / "m"), pending_pushes.Known(), index.IndexOptions(rebuild=True))
    assert done.conflicts == 1
    assert installs(FolderStore(tmp_path / "m")) == expected({"first": [], "late": []})


def test_a_small_blob_that_is_damaged_in_the_build_cache_is_uploaded_again(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    add_entry(tmp_path / "u", "a")
    push.publish(tmp_path / "u", store, sign=as_it_is)
    (entry,) = push.plan(tmp_path / "u", store, replace=True).binaries
    for blob in entry.blobs:
        store.write(layout.blob(blob.checksum), b"cut off")
    push.publish(tmp_path / "u", store, sign=as_it_is)
    assert consistent(store) == 1
