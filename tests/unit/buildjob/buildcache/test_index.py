"""Updates of the index, step by step: what is read, what is written, and what ends an update."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buildjob.buildcache import index, layout, push
from buildjob.buildcache.index import Draft, IndexOptions
from buildjob.buildcache.indexing import lock
from buildjob.buildcache.indexing.pending_pushes import Batch, Known
from buildjob.buildcache.push_record import AnnouncedBinary
from buildjob.buildcache.storage.retry import RetryPolicy
from buildjob.errors import Conflict, PublishError, Unavailable
from tests.labs.build_cache import add_entry, as_it_is, dag_hash, expected, installs
from tests.labs.memory_store import Conditions, MemoryStore

NO_WAITS = RetryPolicy(sleep=lambda _seconds: None)


class Farm:
    """A build cache in memory, and a folder for unsigned binaries."""

    def __init__(self, folder: Path, store: MemoryStore) -> None:
        self.store, self._folder = store, folder

    def push(self, *names: str, update_index: bool = True) -> push.Pushed:
        folder = self._folder / "-".join(names)
        for name in names:
            add_entry(folder, name)
        options = push.PushOptions(workers=1, update_index=update_index, indexing=self._options())
        planned = push.plan(folder, self.store, replace=True, workers=1)
        return push.push(planned, self.store, sign=as_it_is, options=options)

    def update(self, known: Known | None = None, **options: Any) -> index.Updated:
        return index.update(self.store, known or Known(), self._options(**options))

    def _options(self, **options: Any) -> IndexOptions:
        return IndexOptions(**{"workers": 1, "wall": lambda: self.store.now, "retries": NO_WAITS, **options})


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path, MemoryStore())


def test_what_a_push_announced_is_indexed_by_any_update(farm: Farm) -> None:
    farm.push("a", "b", update_index=False)
    assert farm.store.keys(layout.PENDING)
    done = farm.update()
    assert (done.replaced, done.added, done.dropped, done.unfinished) == (True, 2, 0, 0)
    assert installs(farm.store) == expected({"a": [], "b": []})
    assert not farm.store.keys(layout.PENDING)
    assert farm.update() == index.Updated()


def test_a_removed_binary_leaves_the_index_with_what_only_it_needs(farm: Farm) -> None:
    farm.push("a")
    farm.push("b")
    done = farm.update(Known(removed=frozenset({dag_hash("a")})))
    assert (done.replaced, done.added, done.dropped) == (True, 0, 1)
    assert installs(farm.store) == expected({"b": []})


def test_a_rebuild_reads_every_spec_and_an_empty_build_cache_gets_an_empty_index(farm: Farm) -> None:
    assert farm.update().replaced
    assert installs(farm.store) == {}
    farm.push("a", "b")
    for key in farm.store.keys(layout.PENDING):
        farm.store.delete(key)
    assert farm.update(rebuild=True).added == 2
    assert installs(farm.store) == expected({"a": [], "b": []})


@pytest.mark.parametrize(
    ("junk", "reason"),
    [
        (b"", "not JSON"),
        (b"{}", "required field"),
        (b"\xff\0", "not JSON"),
        (None, "permission denied"),
        (b'{"version":3,"data":[]}', "names no concrete spec"),
    ],
)
def test_a_rebuild_leaves_out_what_is_no_manifest_and_says_so(farm: Farm, junk: bytes | None, reason: str) -> None:
    farm.push("a", "b")
    key = layout.SPECS + f"c/c-1.0-{dag_hash('c')}{layout.MANIFEST_END}"
    farm.store.write(key, junk or b"x")
    if junk is None:
        farm.store.unreadable.add(key)
    farm.store.write(layout.SPECS + "odd.spec.manifest.json", b"")
    done = farm.update(rebuild=True)
    assert [fault.key for fault in done.left_out] == [layout.SPECS + "odd.spec.manifest.json", key]
    assert reason in done.left_out[1].text
    assert installs(farm.store) == expected({"a": [], "b": []})


def test_a_rebuild_leaves_out_what_its_spec_contradicts_or_lacks(farm: Farm) -> None:
    farm.push("a", "b")
    (a,), (b,) = (farm.store.keys(layout.SPECS + name) for name in ("a/", "b/"))
    farm.store.write(layout.SPECS + f"c/c-1.0-{dag_hash('c')}{layout.MANIFEST_END}", farm.store.objects[a])
    spec = json.loads(farm.store.objects[b])["data"][1]["checksum"]
    farm.store.delete(layout.blob(spec))
    done = farm.update(rebuild=True)
    assert [fault.text.partition(":")[0] for fault in done.left_out] == [
        "memory",
        "its spec is another one than its key names",
    ]
    assert installs(farm.store) == expected({"a": []})


def test_a_spec_that_is_deleted_during_a_rebuild_is_passed_over(tmp_path: Path) -> None:
    class Racing(MemoryStore):
        def _get(self, method: str, key: str) -> bytes:
            if key.startswith(layout.SPECS + "b/"):
                self.objects.pop(key, None)
            return super()._get(method, key)

    farm = Farm(tmp_path, Racing())
    farm.push("a")
    farm.push("b")
    assert farm.update(rebuild=True).added == 1
    assert installs(farm.store) == expected({"a": []})


def test_a_lost_race_is_merged_again_and_leaves_no_blob(tmp_path: Path) -> None:
    other: list[Callable[[], object]] = []

    class Raced(MemoryStore):
        def write(self, key: str, data: bytes, *, only_if: str | None = None) -> str:
            if key == layout.INDEX and other:
                other.pop()()
            return super().write(key, data, only_if=only_if)

    farm = Farm(tmp_path, Raced())
    farm.push("a")
    farm.push("b", update_index=False)
    other.append(lambda: farm.push("c"))
    assert farm.update().conflicts == 1
    assert installs(farm.store) == expected({"a": [], "b": [], "c": []})
    named = {
        row["checksum"] for key in farm.store.keys("v3/manifests/") for row in json.loads(farm.store.objects[key])["data"]
    }
    replaced = {key.removeprefix(layout.REPLACED) for key in farm.store.keys(layout.REPLACED)}
    assert {key.rpartition("/")[2] for key in farm.store.keys(layout.BLOBS)} == named | replaced


def test_a_rebuild_that_lost_a_race_does_not_read_the_specs_again(tmp_path: Path) -> None:
    races = [1]

    class Raced(MemoryStore):
        def write(self, key: str, data: bytes, *, only_if: str | None = None) -> str:
            if key == layout.INDEX and races and races.pop():
                raise Conflict(key)
            return super().write(key, data, only_if=only_if)

    farm = Farm(tmp_path, Raced())
    farm.push("a", update_index=False)
    for key in farm.store.keys(layout.PENDING):
        farm.store.delete(key)
    farm.store.requests.clear()
    done = farm.update(rebuild=True)
    assert (done.conflicts, done.added) == (1, 1)
    assert len([key for method, key in farm.store.requests if method == "read" and key.startswith(layout.SPECS)]) == 1


def test_an_update_that_always_loses_ends(tmp_path: Path) -> None:
    class Lost(MemoryStore):
        def write(self, key: str, data: bytes, *, only_if: str | None = None) -> str:
            if key == layout.INDEX:
                raise Conflict(key)
            return super().write(key, data, only_if=only_if)

    waits: list[float] = []
    farm = Farm(tmp_path, Lost())
    with pytest.raises(PublishError, match="100 other updates of the index were faster"):
        farm.update(retries=RetryPolicy(sleep=waits.append, random=lambda: 1.0))
    assert waits[:6] == [0.2, 0.4, 0.8, 1.6, 3.2, 3.2]


@pytest.mark.parametrize(
    "damage",
    [
        lambda manifest: manifest | {"data": []},
        lambda manifest: manifest | {"data": manifest["data"] * 2},
        lambda manifest: manifest | {"data": [manifest["data"][0] | {"mediaType": "application/vnd.spack.db.v9+json"}]},
        lambda manifest: manifest | {"data": [manifest["data"][0] | {"contentLength": 9 << 30}]},
    ],
)
def test_a_manifest_that_names_no_index_of_spack_1_1_is_an_error(farm: Farm, damage: Callable[[Any], Any]) -> None:
    farm.push("a")
    farm.store.write(layout.INDEX, json.dumps(damage(json.loads(farm.store.objects[layout.INDEX]))).encode())
    with pytest.raises(PublishError, match=r"names no index of Spack 1\.1; run publish index --rebuild"):
        farm.update()


def test_a_lost_or_damaged_index_is_an_error(farm: Farm) -> None:
    farm.push("a")
    (row,) = json.loads(farm.store.objects[layout.INDEX])["data"]
    farm.store.objects[layout.blob(row["checksum"])] = b"something else"
    with pytest.raises(Unavailable, match="arrived with another checksum"):
        farm.update()
    farm.store.delete(layout.blob(row["checksum"]))
    with pytest.raises(PublishError, match="the index is lost; make a new one"):
        farm.update()
    assert farm.update(rebuild=True).replaced
    assert installs(farm.store) == expected({"a": []})


def test_an_index_that_is_replaced_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    farm: Farm

    class Racing(MemoryStore):
        raced = False

        def download(self, key: str, path: Path) -> str:
            if not self.raced:
                self.raced = True
                farm.push("b")
                self.delete(key)
            return super().download(key, path)

    store = Racing()
    store.raced = True
    farm = Farm(tmp_path, store)
    farm.push("a")
    store.raced = False
    assert farm.update().conflicts == 1
    assert installs(store) == expected({"a": [], "b": []})


def test_replaced_indices_are_deleted_after_an_hour_but_never_the_one_in_use(farm: Farm) -> None:
    farm.push("a")
    farm.push("b")
    (old,) = farm.store.keys(layout.REPLACED)
    (row,) = json.loads(farm.store.objects[layout.INDEX])["data"]
    farm.store.write(layout.REPLACED + row["checksum"], b"")
    farm.store.write(layout.REPLACED + "not-a-checksum", b"")
    farm.store.now += 3599
    farm.update()
    assert old in farm.store.objects
    farm.store.now += 2
    farm.update()
    assert not farm.store.keys(layout.REPLACED)
    assert layout.blob(old.removeprefix(layout.REPLACED)) not in farm.store.objects
    assert installs(farm.store) == expected({"a": [], "b": []})


@pytest.mark.parametrize("kind", ["ignored", "rejected"])
def test_without_conditions_an_index_of_a_stalled_owner_is_noticed(kind: Conditions, tmp_path: Path) -> None:
    farm = Farm(tmp_path, MemoryStore(kind))
    farm.push("a")
    stale = farm.store.objects[layout.INDEX]
    farm.push("b")
    farm.store.write(layout.INDEX, stale)
    done = farm.update()
    assert (done.replaced, done.added) == (True, 0)
    assert installs(farm.store) == expected({"a": [], "b": []})
    assert json.loads(farm.store.objects[layout.INDEX])["spack-farm-fence"] == lock.newest(farm.store)[0]


def test_a_single_writer_needs_neither_conditions_nor_a_lock(tmp_path: Path) -> None:
    farm = Farm(tmp_path, MemoryStore("rejected"))
    farm.push("a", update_index=False)
    farm.store.requests.clear()
    assert farm.update(single_writer=True).added == 1
    assert not [key for _, key in farm.store.requests if key.startswith((layout.LOCK, layout.CONDITIONAL))]


def test_an_open_index_is_a_file_and_none_is_an_error(farm: Farm) -> None:
    with pytest.raises(PublishError, match="there is no index; publish index makes one"), index.opened(farm.store):
        pass
    farm.push("a")
    with index.opened(farm.store) as file:
        (row,) = json.loads(farm.store.objects[layout.INDEX])["data"]
        assert hashlib.sha256(file.read()).hexdigest() == row["checksum"]


def test_a_draft_is_a_value_and_only_its_own_files_are_deleted(tmp_path: Path) -> None:
    def batch(name: str) -> Batch:
        made = Batch()
        planned = push.plan(unsigned(name), MemoryStore(), replace=True)
        (each,) = planned.binaries
        binary = AnnouncedBinary(manifest_key=each.manifest_key, dag_hash=each.dag_hash, blobs=[])
        made.add(binary, dict(planned.nodes))
        return made

    def unsigned(name: str) -> Path:
        add_entry(tmp_path / name, name)
        return tmp_path / name

    (tmp_path / "drafts").mkdir()
    first = Draft(folder=tmp_path / "drafts", file=None, removed=frozenset()).merge(batch("a"))
    assert (first.added, first.dropped, first.is_temporary) == (1, 0, True)
    assert first.file
    same = first.merge(batch("a"))
    assert (same.file, same.added) == (first.file, 1)
    kept = Draft(folder=first.folder, file=first.file, removed=frozenset())
    second = kept.merge_all([batch("b"), Batch(), batch("c")])
    assert second.added == 2
    assert len(second.manifest_keys) == 2
    assert first.file.exists()
    assert {path.name for path in first.folder.iterdir()} == {first.file.name, second.file.name if second.file else ""}


@pytest.mark.parametrize("broken", [b"", b"garbage", b"{}", b'{"version":3,"data":[]}', b"\xff"])
def test_a_rebuild_replaces_a_manifest_that_names_no_index(farm: Farm, broken: bytes) -> None:
    farm.push("a")
    farm.store.write(layout.INDEX, broken)
    with pytest.raises(PublishError, match="run publish index --rebuild"):
        farm.update()
    assert farm.update(rebuild=True).replaced
    assert installs(farm.store) == expected({"a": []})
