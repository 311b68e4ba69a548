"""Small documents: manifests as Spack writes them, and specs that are checked before they are believed."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from buildjob.buildcache import documents, layout
from buildjob.buildcache.manifest import parse_manifest
from buildjob.buildcache.storage.folder import FolderStore
from buildjob.buildcache.storage.store import LocalFile
from buildjob.errors import NotFound, PublishError, StoreError, Unavailable
from tests.labs.build_cache import dag_hash, nodes_of
from tests.labs.memory_store import MemoryStore

SPEC = json.dumps({"spec": {"_meta": {"version": 5}, "nodes": nodes_of("zlib")}}).encode()


def with_spec(store: MemoryStore, data: bytes, **changes: Any) -> str:
    """Store a binary whose spec's blob has this content; return its manifest's key."""
    checksum = hashlib.sha256(data).hexdigest()
    store.write(layout.blob(checksum), data)
    row = {
        "contentLength": len(data), "mediaType": layout.SPEC_MEDIA_TYPE, "compression": "gzip",
        "checksumAlgorithm": "sha256", "checksum": checksum,
    }  # fmt: skip
    store.write("manifest", json.dumps({"version": 3, "data": [row | changes]}).encode())
    return "manifest"


def test_a_manifest_names_its_blob_as_spack_does(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"content")
    blob = LocalFile.of(tmp_path / "blob")
    text = documents.manifest_text(blob, media_type="m")
    assert json.loads(text) == {
        "version": 3,
        "data": [
            {
                "contentLength": 7, "mediaType": "m", "compression": "none", "checksumAlgorithm": "sha256",
                "checksum": hashlib.sha256(b"content").hexdigest(),
            }
        ],
    }  # fmt: skip
    (row,) = parse_manifest(text, where="here").data
    assert row.file_below(tmp_path).sha256 == blob.sha256
    fenced = documents.manifest_text(blob, media_type="m", fencing_token="7-a")
    assert json.loads(fenced) == json.loads(text) | {"spack-farm-fence": "7-a"}


@pytest.mark.parametrize("data", [SPEC, gzip.compress(SPEC)])
def test_a_spec_is_read_compressed_or_not(data: bytes) -> None:
    store = MemoryStore()
    assert list(documents.read_spec(store, with_spec(store, data))) == [dag_hash("zlib"), dag_hash("glibc")]


@pytest.mark.parametrize(
    ("data", "changes", "complaint"),
    [
        (SPEC, {"mediaType": "other"}, "names no concrete spec"),
        (SPEC, {"contentLength": 3}, f"has {len(SPEC)} bytes, not 3"),
        (b"\x1f\x8bno gzip", {}, "blob is damaged"),
        (gzip.compress(SPEC)[:-9], {}, "cut off, or larger than 67108864 bytes"),
        (gzip.compress(b" " * (65 << 20), 1), {}, "cut off, or larger than 67108864 bytes"),
        (b"{}", {}, "not a concrete spec"),
    ],
)
def test_a_damaged_spec_is_one_error_with_the_binarys_key(data: bytes, changes: dict[str, Any], complaint: str) -> None:
    store = MemoryStore()
    with pytest.raises(PublishError, match=f"^memory://m/manifest: .*{complaint}"):
        documents.read_spec(store, with_spec(store, data, **changes))


def test_a_blob_with_another_content_and_one_that_is_missing() -> None:
    store = MemoryStore()
    key = with_spec(store, SPEC)
    blob = layout.blob(hashlib.sha256(SPEC).hexdigest())
    store.write(blob, SPEC.replace(b"zlib", b"blib"))
    with pytest.raises(PublishError, match="does not have the checksum in its name"):
        documents.read_spec(store, key)
    store.delete(blob)
    with pytest.raises(NotFound):
        documents.read_spec(store, key)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b'{"signing": "gpg"}', ""),
        (b'{"signing":"gpg","future":[1]}', ""),
        (None, "is missing"),
        (b"", "is broken: not JSON"),
        (b"<html>", "is broken: not JSON"),
        (b"[]", "does not say that gpg signs"),
        (b"{}", "does not say that gpg signs"),
        (b'{"signing":"sigstore"}', "does not say that gpg signs"),
    ],
)
def test_the_document_that_says_how_a_build_cache_is_signed(content: bytes | None, fault: str) -> None:
    store = MemoryStore()
    if content is not None:
        store.write(layout.LAYOUT, content)
    assert documents.layout_fault(store).startswith(fault)
    assert bool(documents.layout_fault(store)) == bool(fault)
    assert documents.ensure_layout(store) == (content is None)
    assert store.objects[layout.LAYOUT] == (content if content is not None else layout.LAYOUT_CONTENT)


def test_a_layout_that_cannot_be_read_is_broken_or_ends_it() -> None:
    store = MemoryStore()
    store.unreadable.add(layout.LAYOUT)
    assert "permission denied" in documents.layout_fault(store)
    store.failure = Unavailable("no answer")
    with pytest.raises(Unavailable):
        documents.layout_fault(store)


def test_a_layout_that_is_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    (tmp_path / "v3").mkdir()
    link = tmp_path / layout.LAYOUT
    link.symlink_to(tmp_path / "nowhere")
    assert documents.layout_fault(store).startswith("is a link to what does not exist: mount it, or delete the link")
    with pytest.raises(StoreError, match=r"layout\.json is a link to what does not exist"):
        documents.ensure_layout(store)
    link.unlink()
    assert documents.ensure_layout(store)
    assert not documents.layout_fault(store)
