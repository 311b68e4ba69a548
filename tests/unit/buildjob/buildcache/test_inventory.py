"""Which objects below the manifests of specs are manifests, and what looks like one and is left out."""

import os
from pathlib import Path

import pytest

from buildjob.buildcache import inventory, layout
from buildjob.buildcache.inventory import Fault
from buildjob.buildcache.storage.folder import FolderStore
from buildjob.buildcache.storage.store import Store
from buildjob.errors import StoreError
from tests.labs.build_cache import dag_hash
from tests.labs.memory_store import MemoryStore

HASH = dag_hash("zlib")
GOOD = f"zlib/zlib-1.3-{HASH}.spec.manifest.json"


def sorted_out(store: Store) -> tuple[list[str], list[Fault]]:
    left_out: list[Fault] = []
    return list(inventory.manifest_keys(store, left_out.append)), left_out


@pytest.mark.parametrize(
    "path",
    [
        GOOD,
        f"py-a-b/py-a-b-1.0-rc1_2-{HASH}.spec.manifest.json",
        f"zlib/zlib-git.feature_x_1.0-{HASH}.spec.manifest.json",
    ],
)
def test_spacks_own_form_is_a_manifest(path: str) -> None:
    store = MemoryStore()
    store.write(layout.SPECS + path, b"")
    assert sorted_out(store) == ([layout.SPECS + path], [])


@pytest.mark.parametrize(
    "path",
    [
        "junk.spec.manifest.json",
        "zlib/junk.spec.manifest.json",
        "zlib/zlib.spec.manifest.json",
        f"zlib/other-1.3-{HASH}.spec.manifest.json",
        f"other/{GOOD}",
        f"zlib-1.3-{HASH}.spec.manifest.json",
        f"zlib/zlib-1.3-{HASH.upper()}.spec.manifest.json",
        f"zlib/zlib-1.3-{HASH[:7]}.spec.manifest.json",
        f"{GOOD}/inside",
        f"zlib/zlib-1.3\n-{HASH}.spec.manifest.json",
    ],
)
def test_what_looks_like_one_is_left_out_by_name(path: str) -> None:
    store = MemoryStore()
    for key in (GOOD, path):
        store.write(layout.SPECS + key, b"")
    keys, left_out = sorted_out(store)
    assert keys == [layout.SPECS + GOOD]
    (fault,) = left_out
    assert fault.key.isprintable()
    assert fault.text


@pytest.mark.parametrize(
    "path", ["README", "zlib/", "zlib/notes.txt", f"zlib/zlib-1.3-{HASH}.spec.manifest.json.Ab12Cd", "zlib/.x"]
)
def test_what_does_not_look_like_one_is_ignored_as_spack_ignores_it(path: str) -> None:
    store = MemoryStore()
    store.write(layout.SPECS + path, b"")
    store.write(layout.INDEX, b"")
    assert sorted_out(store) == ([], [])


def test_a_folder_may_hold_anything(tmp_path: Path) -> None:
    specs = tmp_path / layout.SPECS
    (specs / "zlib").mkdir(parents=True)
    (specs / GOOD).touch()
    (specs / "away.spec.manifest.json").symlink_to("nowhere")
    (specs / "round").symlink_to("round")
    (specs / "above").symlink_to(tmp_path)
    (specs / "elsewhere").symlink_to("/proc/1/no-such-disk")
    os.mkfifo(specs / "pipe.spec.manifest.json")
    (specs / f"{GOOD}2.spec.manifest.json").mkdir()
    (specs / f"{GOOD}2.spec.manifest.json" / "x").touch()
    with Path(os.fsdecode(os.fsencode(specs) + b"/\xff.spec.manifest.json")).open("wb"):
        pass
    (specs / "zlib" / ".zlib.tmp").touch()
    (specs / "empty").mkdir()
    keys, left_out = sorted_out(FolderStore(tmp_path))
    assert keys == [layout.SPECS + GOOD]
    assert sorted(fault.key.removeprefix(layout.SPECS) for fault in left_out) == [
        "\\udcff.spec.manifest.json",
        "above",
        "away.spec.manifest.json",
        "elsewhere",
        "pipe.spec.manifest.json",
        "round",
        f"{GOOD}2.spec.manifest.json/x",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user other than root, who may read every folder")
def test_a_folder_without_permission_is_left_out_only_where_somebody_learns_of_it(tmp_path: Path) -> None:
    closed = tmp_path / layout.SPECS / "zlib"
    closed.mkdir(parents=True)
    closed.chmod(0)
    try:
        assert [fault.key for fault in sorted_out(FolderStore(tmp_path))[1]] == [f"{layout.SPECS}zlib"]
        with pytest.raises(StoreError):
            list(FolderStore(tmp_path).list(layout.SPECS))
    finally:
        closed.chmod(0o700)


def test_what_vanishes_while_it_is_listed_is_not_there(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / layout.SPECS / name).mkdir(parents=True)
        (tmp_path / layout.SPECS / name / f"{name}-1-{HASH}.spec.manifest.json").touch()
    listed = FolderStore(tmp_path).list(layout.SPECS, unlisted=[])
    assert next(listed).size_bytes == 0
    (tmp_path / layout.SPECS / "b" / f"b-1-{HASH}.spec.manifest.json").unlink()
    (tmp_path / layout.SPECS / "b").rmdir()
    assert list(listed) == []
