"""The index: it loses no entry, however many write at the same time, and equals the one that Spack makes."""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildjob.buildcache import conditions, documents, index, layout, push, push_record
from buildjob.buildcache.indexing import pending_pushes
from buildjob.buildcache.storage.folder import FolderStore
from buildjob.buildcache.storage.store import LocalFile, Store
from buildjob.buildcache.workers import in_parallel
from buildjob.errors import PublishError
from tests.labs.build_cache import MakeStore, add_entry, as_it_is, consistent, dag_hash, expected, installs
from tests.labs.checkout import ROOT

WRITERS, EACH = 16, 2


def trees(writer: int) -> dict[str, list[str]]:
    return {f"w{writer}-p{number}": ["gmake", f"lib{number}"] for number in range(EACH)}


def test_sixteen_pushes_at_once_lose_nothing_and_replace_the_manifest_once_or_twice(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store = make_store()
    conditions.require(store)
    everything: dict[str, list[str]] = {}
    for writer in range(WRITERS):
        everything |= trees(writer)
        for name, needed in trees(writer).items():
            add_entry(tmp_path / str(writer), name, needed)
    together = threading.Barrier(WRITERS)

    def one(writer: int) -> index.Updated:
        planned = push.plan(tmp_path / str(writer), store, replace=False, workers=1)
        options = push.PushOptions(workers=1, update_index=False)
        done = push.push(planned, store, sign=as_it_is, options=options)
        together.wait(60)
        return index.update(
            store, pending_pushes.Known(appeared=frozenset(done.manifest_keys)), index.IndexOptions(workers=1)
        )

    updates = [updated for _, updated in in_parallel(range(WRITERS), one, workers=WRITERS)]
    assert installs(store) == expected(everything)
    assert consistent(store) == WRITERS * EACH
    assert not list(push_record.pending(store))
    assert 1 <= sum(updated.replaced for updated in updates) <= 2
    blobs = {seen.key for seen in store.list(layout.BLOBS)}
    named = {row for seen in store.list("v3/manifests/") for row in blobs_of(store, seen.key)}
    replaced = {layout.blob(seen.key.removeprefix(layout.REPLACED)) for seen in store.list(layout.REPLACED)}
    assert blobs - named - replaced == set(), "a lost race leaves no blob behind"


def blobs_of(store: Store, key: str) -> list[str]:
    manifest = json.loads(store.read(key).data)
    return [layout.blob(row["checksum"]) for row in manifest["data"]]


def test_pushes_one_after_the_other_while_others_update(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    everything: dict[str, list[str]] = {}
    for writer in range(4):
        everything |= trees(writer)
        for name, needed in trees(writer).items():
            add_entry(tmp_path / name, name, needed)

    def one(name: str) -> None:
        push.publish(tmp_path / name, store, sign=as_it_is)

    list(in_parallel(everything, one, workers=4))
    assert installs(store) == expected(everything)
    assert not list(push_record.pending(store))


def test_the_record_of_a_killed_push_is_kept_for_an_hour(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    add_entry(tmp_path / "killed", "killed")
    planned = push.plan(tmp_path / "killed", store, replace=False)
    (entry,) = planned.binaries
    push_record.announce(
        store,
        [push_record.AnnouncedBinary(manifest_key=entry.manifest_key, dag_hash=entry.dag_hash, blobs=[])],
        planned.nodes,
        at_once=1,
    )
    add_entry(tmp_path / "other", "other")
    push.publish(tmp_path / "other", store, sign=as_it_is)
    assert installs(store) == expected({"other": []})
    (waiting,) = push_record.pending(store)
    assert index.update(store, pending_pushes.Known(), index.IndexOptions()).unfinished == 1
    later = index.IndexOptions(wall=lambda: waiting.modified_seconds + 3700)
    assert not index.update(store, pending_pushes.Known(), later).replaced
    assert not list(push_record.pending(store))


def test_a_replaced_index_stays_for_an_hour(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    for name in ("a", "b"):
        add_entry(tmp_path / name, name)
        push.publish(tmp_path / name, store, sign=as_it_is)
    (old,) = store.list(layout.REPLACED)
    blob = layout.blob(old.key.removeprefix(layout.REPLACED))
    index.update(store, pending_pushes.Known(), index.IndexOptions())
    assert store.stat(blob)
    index.update(store, pending_pushes.Known(), index.IndexOptions(wall=lambda: old.modified_seconds + 3700))
    assert not store.stat(blob)
    assert not list(store.list(layout.REPLACED))
    assert installs(store) == expected({"a": [], "b": []})


def test_a_missing_or_broken_index_is_made_again(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    for name in ("a", "b"):
        add_entry(tmp_path / "all", name, ["gmake"])
    planned = push.plan(tmp_path / "all", store, replace=False)
    push.push(planned, store, sign=as_it_is, options=push.PushOptions(update_index=False))
    for seen in list(push_record.pending(store)):
        store.delete(seen.key)
    assert index.update(store, pending_pushes.Known(), index.IndexOptions()).added == 2
    assert installs(store) == expected({"a": ["gmake"], "b": ["gmake"]})
    assert not index.update(store, pending_pushes.Known(), index.IndexOptions()).replaced
    used = json.loads(store.read(layout.INDEX).data)["data"][0]["checksum"]
    store.delete(layout.blob(used))
    with pytest.raises(PublishError, match="publish index --rebuild"):
        index.update(store, pending_pushes.Known(), index.IndexOptions())
    assert index.update(store, pending_pushes.Known(), index.IndexOptions(rebuild=True)).replaced
    assert installs(store) == expected({"a": ["gmake"], "b": ["gmake"]})


MEASURED = """
import sys
from pathlib import Path
from buildjob.buildcache import index
from buildjob.buildcache.indexing import pending_pushes
from buildjob.buildcache.storage.folder import FolderStore
done = index.update(FolderStore(Path(sys.argv[1])), pending_pushes.Known(), index.IndexOptions(scratch=Path(sys.argv[2])))
assert done.replaced
# not ru_maxrss, which begins with the memory of the process that started this one
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


def large_index(count: int) -> Iterator[bytes]:
    """An index of `count` entries of 1.2 KB each."""
    padding = "x" * 700
    yield b'{"database":{"version":"8","installs":{'
    for number in range(count):
        key = dag_hash(str(number))
        spec = {"name": f"p{number}", "parameters": {"cflags": padding}, "dependencies": [], "hash": key}
        text = json.dumps({"spec": spec, "ref_count": 0, "in_buildcache": True}, separators=(",", ":"))
        yield (b"," if number else b"") + f'"{key}":{text}'.encode()
    yield b"}}}"


def with_index(folder: Path, count: int) -> FolderStore:
    path = folder / "large"
    folder.mkdir(exist_ok=True)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for part in large_index(count):
            digest.update(part)
            file.write(part)
    store = FolderStore(folder / "m")
    blob = LocalFile(path=path, size_bytes=path.stat().st_size, sha256=digest.hexdigest())
    store.upload(layout.blob(blob.sha256), blob)
    store.write(layout.INDEX, documents.manifest_text(blob, media_type=layout.INDEX_MEDIA_TYPE))
    return store


def test_the_memory_of_an_update_does_not_grow_with_the_index(tmp_path: Path) -> None:
    store = with_index(tmp_path / "x", 100_000)
    add_entry(tmp_path / "a", "a", ["gmake"])
    planned = push.plan(tmp_path / "a", store, replace=False)
    push.push(planned, store, sign=as_it_is, options=push.PushOptions(update_index=False))
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, store.root, tmp_path],
        env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) < 100 << 10
    last = json.loads(store.read(layout.INDEX).data)["data"][0]
    tail = (store.root / layout.blob(last["checksum"])).read_bytes()[-3000:]
    assert dag_hash("a").encode() in tail
