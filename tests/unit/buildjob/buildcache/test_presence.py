"""Whether there is a build cache at an address; a wrong address is not an empty one."""

from pathlib import Path

import pytest

from buildjob.buildcache import layout, presence
from buildjob.buildcache.presence import Presence
from buildjob.buildcache.storage.folder import FolderStore
from buildjob.buildcache.storage.store import ObjectInfo
from buildjob.errors import NoSuchBucket, RequestError
from tests.labs.memory_store import MemoryStore


@pytest.mark.parametrize(
    ("key", "found"),
    [
        (layout.LAYOUT, Presence.BUILD_CACHE),
        (layout.INDEX, Presence.BUILD_CACHE),  # its layout.json was deleted
        (layout.SPECS + "a/a-1-x.spec.manifest.json", Presence.BUILD_CACHE),
        (layout.blob("0" * 64), Presence.BUILD_CACHE),
        (layout.PENDING + "x.json.gz", Presence.BUILD_CACHE),
        ("build_cache/index.json", Presence.OLD_LAYOUT),
        ("v4/layout.json", Presence.NOTHING),
        (layout.TELEMETRY + "other/x.json", Presence.NOTHING),
        ("README", Presence.NOTHING),
    ],
)
def test_what_stands_at_an_address(key: str, found: Presence) -> None:
    store = MemoryStore()
    store.write(key, b"")
    assert presence.of(store) is found
    if found is Presence.BUILD_CACHE:
        presence.require(store)
        return
    with pytest.raises(RequestError, match="memory://m: "):
        presence.require(store)
    assert store.keys() == {key}


def test_a_folder_that_is_missing_empty_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    assert presence.of(FolderStore(tmp_path / "file")) is Presence.NOT_A_FOLDER
    for name in ("missing", "empty"):
        assert presence.of(FolderStore(tmp_path / name)) is Presence.NOTHING
        with pytest.raises(RequestError, match=r"there is no build cache; check the address\. spack-farm publish push"):
            presence.require(FolderStore(tmp_path / name))
    assert not (tmp_path / "missing").exists()


def test_a_missing_bucket_is_the_requests_fault() -> None:
    class NoBucket(MemoryStore):
        def stat(self, key: str) -> ObjectInfo | None:
            raise NoSuchBucket(f"s3://away/{key}: make it first")

    with pytest.raises(RequestError, match="make it first"):
        presence.require(NoBucket())
