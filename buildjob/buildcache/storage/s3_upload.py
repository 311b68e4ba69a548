"""Uploads one large file to S3 in parts, which are read from the file as they are sent and never held in memory.

Source: Amazon S3 API Reference, CreateMultipartUpload, UploadPart, CompleteMultipartUpload.
"""

import base64
import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

from buildjob.buildcache.storage.store import LocalFile, chunks_of
from buildjob.errors import NotFound, StoreError

Ask = Callable[[Callable[[], Any]], Any]
"""Makes a call of boto3: translates its errors, retries."""


class PartsUpload:
    """The upload of one file."""

    def __init__(self, boto3: Any, place: Mapping[str, str], file: LocalFile, *, part_bytes: int, ask: Ask) -> None:
        """`place` is bucket and key, as boto3 takes them."""
        self._boto3 = boto3
        self._place = place
        self._file = file
        self._part_bytes = part_bytes
        self._ask = ask

    def run(self, size_there: Callable[[], int | None]) -> None:
        """Upload all parts and complete; an upload that fails is aborted: its parts would be paid for.

        `size_there` returns the size of the object at the place, None if there is none. Raises StoreError, also if the file
        does not have the checksum that it should have.
        """
        created = self._ask(lambda: self._boto3.create_multipart_upload(**self._place, ChecksumAlgorithm="SHA256"))
        upload = {**self._place, "UploadId": str(created["UploadId"])}
        try:
            self._complete(upload, self._send_all(upload), size_there)
        except BaseException:
            with contextlib.suppress(StoreError):
                self._ask(lambda: self._boto3.abort_multipart_upload(**upload))
            raise

    def _send_all(self, upload: Mapping[str, str]) -> list[dict[str, Any]]:
        count = -(-self._file.size_bytes // self._part_bytes)
        whole = hashlib.sha256()
        with self._file.path.open("rb") as file:
            rows = [self._send(upload, Part(file, number, self._part_bytes), whole) for number in range(1, count + 1)]
        if whole.hexdigest() != self._file.sha256:
            raise StoreError(f"{self._file.path}: it changed while it was uploaded")
        return rows

    def _send(self, upload: Mapping[str, str], part: "Part", whole: Any) -> dict[str, Any]:
        """Send one part; return its row for the completion. It is read twice: the checksum goes before the content."""
        own = hashlib.sha256()
        for chunk in chunks_of(part):
            own.update(chunk)
            whole.update(chunk)
        sha256 = base64.b64encode(own.digest()).decode()

        def call() -> dict[str, Any]:
            part.seek(0)
            answer = self._boto3.upload_part(**upload, PartNumber=part.number, Body=part, ChecksumSHA256=sha256)
            return {"PartNumber": part.number, "ETag": answer["ETag"], "ChecksumSHA256": sha256}

        row: dict[str, Any] = self._ask(call)
        return row

    def _complete(
        self, upload: Mapping[str, str], rows: Sequence[dict[str, Any]], size_there: Callable[[], int | None]
    ) -> None:
        try:
            self._ask(lambda: self._boto3.complete_multipart_upload(**upload, MultipartUpload={"Parts": rows}))
        except NotFound:
            # There is no such upload any more: perhaps an earlier try completed it, and its answer was lost.
            if size_there() != self._file.size_bytes:
                raise


class Part:
    """A window of an open file that reads like a file of its own; has what boto3 needs of a body, and no more."""

    def __init__(self, file: BinaryIO, number: int, part_bytes: int) -> None:
        self._file = file
        self.number = number
        self._start = (number - 1) * part_bytes
        file.seek(0, 2)
        self._size = min(part_bytes, file.tell() - self._start)
        self._at = 0

    def __len__(self) -> int:
        return self._size

    def tell(self) -> int:
        """Return where the next read begins, from the part's start."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a position, as in any file; return it."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes, all that are left if no size is given."""
        left = self._size - self._at
        size = left if size is None or size < 0 else min(size, left)
        self._file.seek(self._start + self._at)
        data = self._file.read(size)
        self._at += len(data)
        return data
