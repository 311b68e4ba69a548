"""Uploads in parts: windows of a file, checksums, and what happens to an upload that fails."""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.buildcache.storage.s3_upload import Part, PartsUpload
from buildjob.buildcache.storage.store import LocalFile
from buildjob.errors import NotFound, StoreError, Unavailable

DATA = bytes(range(256)) * 10


class Boto3:
    """Keeps the parts of one upload."""

    def __init__(self, complete: Exception | None = None) -> None:
        self.parts: dict[int, bytes] = {}
        self.rows: list[dict[str, Any]] = []
        self.aborted = False
        self._complete = complete

    def create_multipart_upload(self, **arguments: str) -> dict[str, str]:
        assert arguments == {"Bucket": "b", "Key": "k", "ChecksumAlgorithm": "SHA256"}
        return {"UploadId": "7"}

    def upload_part(self, *, PartNumber: int, Body: Part, ChecksumSHA256: str, **place: str) -> dict[str, str]:  # noqa: N803
        assert place == {"Bucket": "b", "Key": "k", "UploadId": "7"}
        self.parts[PartNumber] = Body.read()
        assert base64.b64encode(hashlib.sha256(self.parts[PartNumber]).digest()).decode() == ChecksumSHA256
        return {"ETag": f"etag-{PartNumber}"}

    def complete_multipart_upload(self, *, MultipartUpload: dict[str, Any], **_place: str) -> None:  # noqa: N803
        if self._complete:
            raise self._complete
        self.rows = MultipartUpload["Parts"]

    def abort_multipart_upload(self, **_place: str) -> None:
        self.aborted = True
        raise Unavailable("not even that")


def run(boto3: Boto3, file: LocalFile, size_there: Callable[[], int | None] = lambda: None) -> None:
    upload = PartsUpload(boto3, {"Bucket": "b", "Key": "k"}, file, part_bytes=1000, ask=lambda call: call())
    upload.run(size_there)


@pytest.fixture
def file(tmp_path: Path) -> LocalFile:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return LocalFile.of(path)


def test_the_parts_are_the_file_and_complete_in_order(file: LocalFile) -> None:
    boto3 = Boto3()
    run(boto3, file)
    assert [len(part) for part in boto3.parts.values()] == [1000, 1000, 560]
    assert b"".join(boto3.parts.values()) == DATA
    assert [(row["PartNumber"], row["ETag"]) for row in boto3.rows] == [(1, "etag-1"), (2, "etag-2"), (3, "etag-3")]
    assert not boto3.aborted


def test_a_file_that_changed_is_aborted_and_not_completed(file: LocalFile) -> None:
    boto3 = Boto3()
    file.path.write_bytes(DATA[:-1] + b"!")
    with pytest.raises(StoreError, match="it changed while it was uploaded"):
        run(boto3, file)
    assert boto3.aborted
    assert not boto3.rows


def test_a_completion_whose_answer_was_lost_has_succeeded_if_the_object_is_there(file: LocalFile) -> None:
    lost = NotFound("no such upload")
    run(Boto3(lost), file, size_there=lambda: len(DATA))
    for size in (None, 17):
        boto3 = Boto3(lost)
        with pytest.raises(NotFound):
            run(boto3, file, size_there=lambda size=size: size)  # type: ignore[misc]
        assert boto3.aborted


@given(data=st.data())
def test_a_part_reads_and_seeks_like_a_file(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "parts"
    path.write_bytes(DATA)
    number = data.draw(st.integers(1, 3))
    whole = DATA[(number - 1) * 1000 : number * 1000]
    with path.open("rb") as opened:
        part = Part(opened, number, 1000)
        assert len(part) == len(whole)
        at = 0
        for _ in range(data.draw(st.integers(0, 6))):
            size = data.draw(st.sampled_from([None, -1, 0, 1, 300, 5000]))
            end = len(whole) if size in {None, -1} else min(at + (size or 0), len(whole))
            assert part.read(size) == whole[at:end]
            at = part.tell()
            assert at == end
            at = part.seek(*data.draw(st.sampled_from([(0,), (at, 0), (0, 1), (0, 2)])))
