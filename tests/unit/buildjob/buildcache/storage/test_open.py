"""The address of a build cache decides on its storage."""

from pathlib import Path

import pytest

from buildjob.buildcache.storage.access import Access, split_url
from buildjob.buildcache.storage.folder import FolderStore
from buildjob.buildcache.storage.open import load_for, open_store
from buildjob.buildcache.storage.store import base64_of
from buildjob.errors import RequestError


@pytest.mark.parametrize("url", ["{}/a b", "file://{}/a%20b"])
def test_a_path_and_a_file_url_are_a_folder(url: str, tmp_path: Path) -> None:
    store = open_store(url.format(tmp_path), Access())
    assert isinstance(store, FolderStore)
    assert store.root == tmp_path / "a b"
    load_for(url)


@pytest.mark.parametrize("url", ["https://host/m", "oci://host/m"])
def test_any_other_address_is_rejected(url: str) -> None:
    with pytest.raises(RequestError, match="give a folder or s3://BUCKET/PREFIX"):
        open_store(url, Access())


def test_a_bucket_and_its_prefix_are_told_apart() -> None:
    assert split_url("s3://bucket/some/prefix/") == ("bucket", "some/prefix")
    assert split_url("s3://bucket") == ("bucket", "")
    for url, fault in (
        ("s3://", "give a bucket"),
        ("s3://x/y", "'x' can't be a bucket"),
        ("bucket/prefix", "give a bucket"),
    ):
        with pytest.raises(RequestError, match=fault):
            split_url(url)


def test_a_checksum_in_a_header_is_base64() -> None:
    assert base64_of("00ff") == "AP8="


@pytest.mark.parametrize(
    "url",
    ["", " ", "file://mirror", "file://host/mirror", "file:mirror", "file:///m?x=1", "s3://bucket/p#f", "s3://bucket/p?x=1"],
)
def test_an_address_that_others_would_read_otherwise_is_rejected(url: str) -> None:
    with pytest.raises(RequestError):
        open_store(url, Access())


@pytest.mark.parametrize("url", ["{}/", "{}//", "{}/.", "file://{}/", "file://localhost{}"])
def test_slashes_and_dots_lead_to_the_same_folder(url: str, tmp_path: Path) -> None:
    assert open_store(url.format(tmp_path), Access()).url == tmp_path.as_uri()


def test_a_relative_path_is_one_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("mirror", Access()).url == (tmp_path / "mirror").as_uri()
