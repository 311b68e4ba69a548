"""The index on a storage without conditional writes: one update at a time, and one that stalled does no harm."""

import threading
from pathlib import Path

import pytest

from buildjob.buildcache import documents, index, layout, manifest, push, push_record
from buildjob.buildcache.indexing import lock, pending_pushes
from buildjob.buildcache.storage.folder import FolderStore
from buildjob.buildcache.storage.store import LocalFile
from buildjob.buildcache.workers import in_parallel
from buildjob.errors import Unavailable, Unsupported
from tests.labs.build_cache import add_entry, as_it_is, expected, installs


class Careless(FolderStore):
    """A server that ignores conditions."""

    def write(self, key: str, data: bytes, *, only_if: str | None = None) -> str:
        del only_if
        return super().write(key, data)


class Refusing(FolderStore):
    """A server that rejects conditional writes."""

    def write(self, key: str, data: bytes, *, only_if: str | None = None) -> str:
        if only_if is not None:
            raise Unsupported(key)
        return super().write(key, data)


class Clock:
    """A clock that only advances by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def times(self) -> lock.Times:
        return lock.Times(clock=lambda: self.now, sleep=self.sleep)


def test_only_one_has_the_lock_at_a_time(tmp_path: Path) -> None:
    store = Careless(tmp_path)
    inside = threading.Semaphore(1)
    fences: list[str] = []

    def one(_turn: int) -> None:
        with lock.held(store, lock.Times()) as held:
            assert inside.acquire(blocking=False), "two at once"
            held.claim_newest("0" * 64)
            fences.append(held.token)
            inside.release()

    assert len(list(in_parallel(range(12), one, workers=6))) == 12
    assert fences == sorted(fences)
    assert len(set(fences)) == 12
    assert not list(store.list(layout.LOCK))


@pytest.mark.parametrize("kind", [Careless, Refusing])
def test_pushes_at_once_lose_nothing_without_conditions(kind: type[FolderStore], tmp_path: Path) -> None:
    store = kind(tmp_path / "m")
    trees = {f"p{number}": ["gmake"] for number in range(8)}
    for name, needed in trees.items():
        add_entry(tmp_path / name, name, needed)

    def one(name: str) -> None:
        push.publish(tmp_path / name, store, sign=as_it_is)

    list(in_parallel(trees, one, workers=8))
    assert installs(store) == expected(trees)
    assert not list(push_record.pending(store))
    assert not list(store.list(layout.LOCK))
    assert len(list(store.list(layout.FENCING_TOKENS))) == 1


def test_a_killed_owner_is_taken_for_dead_after_a_while(tmp_path: Path) -> None:
    store, clock = Careless(tmp_path / "m"), Clock()
    store.write(layout.LOCK + "ticket/000000000007-killed", b"")
    store.write(layout.LOCK + "choosing/killed-too", b"")
    with lock.held(store, clock.times()) as held:
        assert 300 < clock.now < 700
        assert held.token.startswith("000000000008-")
        held.require()
        clock.now += 201
        with pytest.raises(Unavailable, match="publish index adds it"):
            held.require()


def test_the_next_update_repairs_an_index_that_a_stalled_owner_has_overwritten(tmp_path: Path) -> None:
    store = Careless(tmp_path / "m")
    for name in ("a", "b", "c"):
        add_entry(tmp_path / name, name)
    push.publish(tmp_path / "a", store, sign=as_it_is)
    stale = store.read(layout.INDEX).data
    push.publish(tmp_path / "b", store, sign=as_it_is)
    store.write(layout.INDEX, stale)
    assert installs(store) == expected({"a": []})
    assert index.update(store, pending_pushes.Known(), index.IndexOptions()).replaced
    assert installs(store) == expected({"a": [], "b": []})
    store.write(layout.INDEX, stale)
    push.publish(tmp_path / "c", store, sign=as_it_is)
    assert installs(store) == expected({"a": [], "b": [], "c": []})
    assert not index.update(store, pending_pushes.Known(), index.IndexOptions()).replaced


def test_an_index_that_spack_wrote_meanwhile_is_taken_as_it_is(tmp_path: Path) -> None:
    store = Careless(tmp_path / "m")
    for name in ("a", "b"):
        add_entry(tmp_path / name, name)
        push.publish(tmp_path / name, store, sign=as_it_is)
    (checksum,) = (blob.checksum for blob in manifest.parse_manifest(store.read(layout.INDEX).data, where="test").data)
    blob = LocalFile(path=store.root / layout.blob(checksum), size_bytes=1, sha256=checksum)
    text = documents.manifest_text(blob, media_type=layout.INDEX_MEDIA_TYPE)
    size = blob.path.stat().st_size
    store.write(layout.INDEX, text.replace(b'"contentLength":1', f'"contentLength":{size}'.encode()))
    assert not index.update(store, pending_pushes.Known(), index.IndexOptions()).replaced
