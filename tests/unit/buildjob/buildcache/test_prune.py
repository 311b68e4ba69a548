"""What a prune decides: by keep rules, marks, references and announcements."""

import functools
import json
from pathlib import Path

import pytest

from buildjob.buildcache import index, layout, prune, push, push_record
from buildjob.buildcache.prune import KeepRules, PrunePlan
from buildjob.buildcache.push_record import AnnouncedBinary
from buildjob.errors import PublishError, RequestError, Unsupported
from tests.labs.build_cache import add_entry, as_it_is, dag_hash, expected, installs
from tests.labs.memory_store import MemoryStore

RULES = KeepRules(age_seconds=1000, grace_seconds=500)
ONCE = index.IndexOptions(workers=1)


class Farm:
    """A build cache with binaries that were pushed at the same time."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.store = MemoryStore()
        self.keys = {name: add_entry(folder, name) for name in names}
        self.folder = folder
        self.push()

    def push(self) -> None:
        push.publish(self.folder, self.store, sign=as_it_is, options=push.PushOptions(workers=1, indexing=ONCE))

    def plan(self, rules: KeepRules = RULES) -> PrunePlan:
        return prune.plan(self.store, rules, wall=lambda: self.store.now, workers=1)

    @functools.cached_property
    def blobs_of_a(self) -> list[str]:
        """What stays known when the manifest is damaged."""
        manifest = json.loads((self.folder / self.keys["a"]).read_text())
        return [layout.blob(row["checksum"]) for row in manifest["data"]]

    def blobs(self, name: str) -> list[str]:
        return [layout.blob(row["checksum"]) for row in json.loads(self.store.objects[self.keys[name]])["data"]]


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path / "u", "a", "b")


def test_what_is_younger_or_locked_is_kept(farm: Farm, tmp_path: Path) -> None:
    farm.store.now += 1000
    assert farm.plan().marked == []
    farm.store.now += 1
    assert farm.plan().marked == sorted(farm.keys.values())
    lock = tmp_path / "spack.lock"
    lock.write_text(json.dumps({"concrete_specs": {dag_hash("a"): {}, dag_hash("glibc"): {}}}))
    kept = prune.kept_by(lock)
    assert kept == {dag_hash("a"), dag_hash("glibc")}
    rules = KeepRules(dag_hashes=kept, age_seconds=1000, grace_seconds=500)
    assert farm.plan(rules).marked == [farm.keys["b"]]


@pytest.mark.parametrize("text", ["no json", "{}", None])
def test_a_file_that_is_no_lock_file_is_rejected(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "spack.lock").write_text(text)
    with pytest.raises(RequestError, match=r"spack\.lock: not a lock file"):
        prune.kept_by(tmp_path / "spack.lock")


def test_what_was_marked_is_swept_after_the_grace_period_and_not_before(farm: Farm) -> None:
    farm.store.now += 2000
    first = farm.plan()
    assert (first.sweepable, first.sweepable_blobs, first.mark_documents) == ({}, [], [])
    assert prune.mark(farm.store, first)
    (marks,) = farm.store.keys(layout.MARKED)
    assert json.loads(farm.store.objects[marks]) == {"version": 1, "manifests": sorted(farm.keys.values()), "blobs": []}
    farm.store.now += 499
    assert farm.plan().sweepable == {}
    farm.store.now += 1
    second = farm.plan()
    assert list(second.sweepable) == sorted(farm.keys.values())
    assert second.sweepable_blobs == sorted({*farm.blobs("a"), *farm.blobs("b")})
    assert second.mark_documents == [marks]
    assert not prune.mark(farm.store, second), "nothing is left to mark"
    done = prune.sweep(farm.store, second, ONCE)
    assert (done.manifests, done.blobs, done.is_complete) == (2, len(second.sweepable_blobs), True)
    assert not farm.store.keys(layout.SPECS)
    assert not farm.store.keys(layout.MARKED)
    assert installs(farm.store) == {}


def test_a_blob_that_a_kept_binary_names_is_kept(farm: Farm) -> None:
    shared = json.loads(farm.store.objects[farm.keys["a"]])
    shared["data"] += json.loads(farm.store.objects[farm.keys["b"]])["data"]
    farm.store.objects[farm.keys["a"]] = json.dumps(shared).encode()
    farm.store.now += 2000
    rules = KeepRules(dag_hashes=frozenset({dag_hash("a")}), age_seconds=1000, grace_seconds=500)
    prune.mark(farm.store, farm.plan(rules))
    farm.store.now += 500
    planned = farm.plan(rules)
    assert list(planned.sweepable) == [farm.keys["b"]]
    assert planned.sweepable_blobs == []


def test_an_unreferenced_blob_is_marked_and_a_replaced_index_is_none(farm: Farm) -> None:
    stray, replaced = layout.blob("f" * 64), layout.blob("e" * 64)
    for key in (stray, replaced, layout.REPLACED + "e" * 64):
        farm.store.write(key, b"")
    assert farm.plan().unreferenced == [], "a push may be about to name it"
    farm.store.now += 2000
    rules = KeepRules(dag_hashes=frozenset({dag_hash("a"), dag_hash("b")}), age_seconds=1000, grace_seconds=500)
    planned = farm.plan(rules)
    assert planned.unreferenced == [stray]
    prune.mark(farm.store, planned)
    farm.store.now += 500
    assert farm.plan(rules).sweepable_blobs == [stray]


def test_what_a_push_has_announced_or_replaced_since_is_kept(farm: Farm) -> None:
    farm.store.now += 2000
    prune.mark(farm.store, farm.plan())
    farm.store.now += 500
    planned = farm.plan()
    binary = AnnouncedBinary(
        manifest_key=farm.keys["a"], dag_hash=dag_hash("a"), blobs=[key.rpartition("/")[2] for key in farm.blobs("a")]
    )
    push_record.announce(farm.store, [binary], push.plan(farm.folder, farm.store, replace=True).nodes, at_once=1)
    farm.store.now += 10
    farm.store.write(farm.keys["b"], farm.store.objects[farm.keys["b"]])
    done = prune.sweep(farm.store, planned, ONCE)
    assert (done.manifests, done.blobs, done.is_complete) == (0, 0, True)
    assert installs(farm.store) == expected({"a": [], "b": []})


def test_a_prune_that_runs_out_of_time_keeps_its_marks(farm: Farm) -> None:
    farm.store.now += 2000
    prune.mark(farm.store, farm.plan())
    farm.store.now += 500
    clock = iter(range(0, 10_000, 300))
    done = prune.sweep(farm.store, farm.plan(), ONCE, clock=lambda: float(next(clock)))
    assert (done.manifests, done.is_complete) == (1, False)
    assert farm.store.keys(layout.MARKED)
    assert not farm.store.keys(layout.PRUNING)


def test_only_one_prune_deletes_at_a_time_and_none_without_conditions(farm: Farm) -> None:
    farm.store.write(layout.PRUNING, b"")
    with pytest.raises(PublishError, match="another prune runs; if it was killed, delete this object"):
        prune.sweep(farm.store, farm.plan(), ONCE)
    assert farm.store.keys(layout.PRUNING), "it is the other one's"
    with pytest.raises(Unsupported):
        prune.sweep(MemoryStore("ignored"), farm.plan(), ONCE)


@pytest.mark.parametrize("junk", [b"", b"{}", b"\xff\xfe", b"<html>", b"-----BEGIN PGP SIGNED MESSAGE-----\n"])
def test_one_that_is_no_manifest_is_left_out_and_the_others_are_pruned(farm: Farm, junk: bytes) -> None:
    farm.store.write(farm.keys["a"], junk)
    farm.store.now += 2000
    planned = farm.plan()
    assert [fault.key for fault in planned.left_out] == [farm.keys["a"]]
    assert planned.marked == [farm.keys["b"]], "nor is it deleted"
    assert not planned.keeps_blobs
    assert set(farm.blobs_of_a) <= set(planned.unreferenced)
    prune.mark(farm.store, planned)
    farm.store.now += 600
    prune.sweep(farm.store, farm.plan(), ONCE)
    assert farm.store.keys(layout.SPECS) == {farm.keys["a"]}


def test_what_a_newer_manifest_seems_to_name_is_kept(farm: Farm) -> None:
    manifest = json.loads(farm.store.objects[farm.keys["a"]])
    farm.store.write(farm.keys["a"], json.dumps(manifest | {"version": 4}).encode())
    farm.store.now += 2000
    planned = farm.plan()
    assert "not a spec manifest of layout 3" in planned.left_out[0].text
    assert not set(farm.blobs_of_a) & {*planned.unreferenced, *planned.sweepable_blobs}


def test_no_blob_is_deleted_while_a_manifest_cannot_be_read(farm: Farm) -> None:
    farm.store.now += 2000
    prune.mark(farm.store, farm.plan())
    farm.store.now += 600
    farm.store.unreadable.add(farm.keys["a"])
    planned = farm.plan()
    assert planned.keeps_blobs
    assert planned.sweepable.keys() == {farm.keys["b"]}
    assert planned.sweepable_blobs == []
    blobs = {*farm.blobs("a"), *farm.blobs("b")}
    prune.sweep(farm.store, planned, ONCE)
    assert farm.store.keys(layout.SPECS) == {farm.keys["a"]}
    assert farm.store.keys(layout.BLOBS) >= blobs


def test_no_blob_is_deleted_if_a_manifest_becomes_unreadable_meanwhile(farm: Farm) -> None:
    farm.store.now += 2000
    prune.mark(farm.store, farm.plan())
    farm.store.now += 600
    planned = farm.plan()
    assert planned.sweepable_blobs
    other = layout.SPECS + f"c/c-1.0-{dag_hash('c')}{layout.MANIFEST_END}"
    farm.store.write(other, b"")
    farm.store.unreadable.add(other)
    assert prune.sweep(farm.store, planned, ONCE).blobs == 0


def test_a_folder_without_permission_keeps_every_blob(tmp_path: Path) -> None:
    farm = Farm(tmp_path / "u", "a")
    farm.store.unlisted.append(layout.SPECS + "zlib/")
    farm.store.now += 2000
    planned = farm.plan()
    assert planned.keeps_blobs
    assert [fault.key for fault in planned.left_out] == [layout.SPECS + "zlib"]
    farm.store.unlisted[:] = [layout.SPECS + "pipe"]
    assert not farm.plan().keeps_blobs, "it hides nothing"


def test_what_was_not_marked_by_a_prune_marks_nothing(farm: Farm) -> None:
    farm.store.write(layout.MARKED + "notes.txt", b"no JSON")
    farm.store.now += 2000
    assert farm.plan().sweepable == {}


def test_a_manifest_that_is_deleted_meanwhile_names_nothing(tmp_path: Path) -> None:
    farm = Farm(tmp_path / "u", "a")
    listed = list(farm.store.list("v3/manifests/"))
    farm.store.delete(farm.keys["a"])
    farm.store.now += 2000
    everything = farm.store.list
    farm.store.list = lambda prefix, **_: iter(listed) if prefix == "v3/manifests/" else everything(prefix)  # type: ignore[method-assign]
    assert set(farm.plan().unreferenced) >= farm.store.keys(layout.BLOBS) - farm.store.keys(layout.REPLACED) - {
        layout.blob(json.loads(farm.store.objects[layout.INDEX])["data"][0]["checksum"])
    }
