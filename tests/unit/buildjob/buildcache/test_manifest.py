"""Reading a build cache: manifests from outside are bounded and checked."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.buildcache.manifest import find, is_whole, parse_manifest
from buildjob.errors import PublishError

BLOB = {
    "contentLength": 2, "mediaType": "application/vnd.spack.spec.v5+json", "compression": "gzip",
    "checksumAlgorithm": "sha256", "checksum": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
}  # fmt: skip


def manifest(**changes: object) -> bytes:
    return json.dumps({"version": 3, "data": [BLOB | changes]}, indent=0).encode()


def test_a_clearsigned_manifest_reads_like_a_plain_one() -> None:
    signed = (
        b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n" + manifest() + b"\n-----BEGIN PGP SIGNATURE-----\n\nxx\n"
    )
    assert parse_manifest(signed + b"-----END PGP SIGNATURE-----\n", where="x") == parse_manifest(manifest(), where="x")


HOSTILE = (
    b"",
    b"{}",
    b"[]",
    b"no json",
    b'{"version":2,"data":[]}',
    b"-----BEGIN PGP SIGNED MESSAGE-----",
    manifest(contentLength="2"),
    manifest(checksumAlgorithm="md5"),
    manifest(checksum="../../../etc/passwd"),
    manifest(checksum="ABC"),
)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_manifest_is_refused_with_its_name(text: bytes) -> None:
    with pytest.raises(PublishError, match="the-name"):
        parse_manifest(text, where="the-name")


@given(st.binary(max_size=300))
def test_any_bytes_that_are_no_manifest_are_one_error(text: bytes) -> None:
    with pytest.raises(PublishError, match=r"\Ax: "):
        parse_manifest(text, where="x")


def test_an_entry_is_whole_only_with_every_blob_as_its_manifest_says(tmp_path: Path) -> None:
    parsed = parse_manifest(manifest(), where="x")
    place = tmp_path / parsed.data[0].relative_path
    assert not is_whole(tmp_path, parsed)
    place.parent.mkdir(parents=True)
    place.write_bytes(b"{}")
    assert is_whole(tmp_path, parsed)
    place.write_bytes(b"[]")
    assert not is_whole(tmp_path, parsed)
    place.write_bytes(b"{} ")
    assert not is_whole(tmp_path, parsed)


def test_a_manifest_is_found_by_package_and_hash(tmp_path: Path) -> None:
    assert find(tmp_path, "zlib", "1.3", "abc") is None
    path = tmp_path / "v3/manifests/spec/zlib/zlib-1.3-abc.spec.manifest.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(manifest())
    assert find(tmp_path, "zlib", "1.3", "abc") == manifest()
