"""A mirror in S3. Every answer is classified once, by status and code, never by its text.

The tag of an object is its ETag. Every write carries the SHA-256 of what is sent, so that the server refuses what arrives
changed. Source: Amazon S3 API Reference (PutObject, CopyObject, error responses), "Conditional requests".
"""

import base64
import builtins
import contextlib
import email.utils
import hashlib
import http.client
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import botocore.exceptions

from buildjob.buildcache.storage.access import Access
from buildjob.buildcache.storage.retry import RetryPolicy, with_retries
from buildjob.buildcache.storage.s3_client import Client, prepare
from buildjob.buildcache.storage.s3_errors import classified
from buildjob.buildcache.storage.s3_fast_path import ShortWay
from buildjob.buildcache.storage.s3_upload import Part
from buildjob.buildcache.storage.store import (
    ABSENT,
    CHUNK_BYTES,
    LARGEST_DOCUMENT_BYTES,
    LocalFile,
    ObjectInfo,
    Store,
    StoredObject,
)
from buildjob.errors import Conflict, NotFound, RequestError, StoreError, Unavailable

__all__ = ["S3Store", "prepare", "split_url"]

_Result = TypeVar("_Result")

_NO_ANSWER = (
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,  # closed, timed out, broken off while reading
    botocore.exceptions.IncompleteReadError,
)
_NO_STATUS, _NOT_ASKED = 0, -1
"""Of the short way: it was asked and did not answer; it was not asked."""


class S3Store:
    """The storage below a prefix of a bucket. Threads may share it."""

    def __init__(
        self, url: str, access: Access, *, retries: RetryPolicy | None = None, client: Client | None = None
    ) -> None:
        self.bucket, prefix = split_url(url)
        self._prefix = f"{prefix}/" if prefix else ""
        self.url = f"s3://{self.bucket}/{prefix}".rstrip("/")
        self._access = access
        self._retries = retries or RetryPolicy()
        try:
            self._made = Client(access, like=client)
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise RequestError(f"{self.url}: {error}") from error
        self._client = self._made.boto3
        self._short: ShortWay | None = None

    def read(self, key: str, *, limit_bytes: int = LARGEST_DOCUMENT_BYTES) -> StoredObject:
        """Return an object."""

        def call() -> StoredObject:
            answer = self._client.get_object(Bucket=self.bucket, Key=self._prefix + key)
            with contextlib.closing(answer["Body"]) as body:
                if answer["ContentLength"] > limit_bytes:
                    raise StoreError(f"{self.url}/{key}: larger than {limit_bytes} bytes, which nothing of its kind is")
                return StoredObject(data=body.read(), etag=answer["ETag"])

        def take(answer: http.client.HTTPResponse) -> StoredObject | None:
            fits = int(answer.headers["Content-Length"]) <= limit_bytes
            return StoredObject(data=answer.read(), etag=answer.headers["ETag"]) if fits else None

        return self._shortly("GET", key, take)[1] or self._ask(key, call, teaches=True)

    def download(self, key: str, path: Path) -> str:
        """Write an object to a local file; return its SHA-256."""

        def call() -> str:
            digest = hashlib.sha256()
            answer = self._client.get_object(Bucket=self.bucket, Key=self._prefix + key)
            with contextlib.closing(answer["Body"]) as body, path.open("wb") as file:
                while chunk := body.read(CHUNK_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
            return digest.hexdigest()

        return self._ask(key, call)

    def digest(self, key: str) -> tuple[int, str]:
        """Read an object; return its size and SHA-256."""

        def call() -> tuple[int, str]:
            digest, size = hashlib.sha256(), 0
            answer = self._client.get_object(Bucket=self.bucket, Key=self._prefix + key)
            with contextlib.closing(answer["Body"]) as body:
                while chunk := body.read(CHUNK_BYTES):
                    digest.update(chunk)
                    size += len(chunk)
            return size, digest.hexdigest()

        def take(answer: http.client.HTTPResponse) -> tuple[int, str]:
            digest, size = hashlib.sha256(), 0
            while chunk := answer.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
            if size != int(answer.headers["Content-Length"]):
                raise http.client.IncompleteRead(b"")
            return size, digest.hexdigest()

        return self._shortly("GET", key, take)[1] or self._ask(key, call, teaches=True)

    def stat(self, key: str) -> ObjectInfo | None:
        """Return what is known of an object; None if there is none."""

        def take(answer: http.client.HTTPResponse) -> ObjectInfo:
            modified = email.utils.parsedate_to_datetime(answer.headers["Last-Modified"]).timestamp()
            return ObjectInfo(key=key, size_bytes=int(answer.headers["Content-Length"]), modified_seconds=modified)

        status, seen = self._shortly("HEAD", key, take)
        if seen or status == http.HTTPStatus.NOT_FOUND:
            return seen
        try:
            answer = self._head(key, teaches=True)
        except NotFound:
            return None
        modified = answer["LastModified"].timestamp()
        return ObjectInfo(key=key, size_bytes=answer["ContentLength"], modified_seconds=modified)

    def has_content(self, key: str, blob: LocalFile) -> bool:
        """Say whether there is an object of that size, and, where the server kept it, of that SHA-256.

        Objects are content-addressed and appear whole; what was sent in parts has a checksum of checksums, which says less.
        """
        try:
            answer = self._head(key, ChecksumMode="ENABLED")
        except NotFound:
            return False
        kept = answer.get("ChecksumSHA256", "")
        expected = base64.b64encode(bytes.fromhex(blob.sha256)).decode()
        return answer["ContentLength"] == blob.size_bytes and (not kept or "-" in kept or kept == expected)

    def write(self, key: str, data: bytes, *, only_if: str | None = None) -> str:
        """Write an object; return its tag.

        A conditional write that is repeated after a lost answer may meet its own result: where the content says that it is
        this very write, it has succeeded.
        """
        sha256 = base64.b64encode(hashlib.sha256(data).digest()).decode()
        status, tag = self._put_shortly(key, data, sha256, only_if=only_if)
        if tag:
            return tag
        condition = {} if only_if is None else {"IfNoneMatch": "*"} if only_if == ABSENT else {"IfMatch": only_if}
        unanswered = status == _NO_STATUS or status >= 500

        def call() -> str:
            nonlocal unanswered
            try:
                answer = self._client.put_object(
                    Bucket=self.bucket, Key=self._prefix + key, Body=data, ChecksumSHA256=sha256, **condition
                )
            except _NO_ANSWER:
                unanswered = True
                raise
            except botocore.exceptions.ClientError as error:
                unanswered = unanswered or _status(error) >= 500
                raise
            return str(answer["ETag"])

        try:
            return self._ask(key, call, teaches=True)
        except Conflict:
            if unanswered and (there := self.read(key)).data == data:
                return there.etag
            raise

    def upload(self, key: str, blob: LocalFile, *, if_absent: bool = False) -> None:
        """Send a local file; in parts, and then whatever is there, if it is large."""
        if blob.size_bytes >= self._access.multipart_bytes:
            self._send_parts(key, blob)
            return
        sha256 = base64.b64encode(bytes.fromhex(blob.sha256)).decode()
        if blob.size_bytes <= CHUNK_BYTES:
            _, tag = self._put_shortly(key, blob.path.read_bytes(), sha256, only_if=ABSENT if if_absent else None)
            if tag:
                return
        condition = {"IfNoneMatch": "*"} if if_absent else {}

        def call() -> None:
            with blob.path.open("rb") as file:
                body = file.read() if blob.size_bytes <= CHUNK_BYTES else file
                self._client.put_object(
                    Bucket=self.bucket, Key=self._prefix + key, Body=body, ChecksumSHA256=sha256, **condition
                )

        self._ask(key, call, teaches=True)

    def delete(self, key: str) -> None:
        """Delete an object; its absence is success."""
        with contextlib.suppress(NotFound):
            self._ask(key, lambda: self._client.delete_object(Bucket=self.bucket, Key=self._prefix + key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose key begins with the prefix, 1,000 a request."""
        token: dict[str, str] = {}
        while True:
            page = self._page(prefix, token)
            for row in page.get("Contents", ()):
                yield ObjectInfo(
                    key=row["Key"].removeprefix(self._prefix),
                    size_bytes=row["Size"],
                    modified_seconds=row["LastModified"].timestamp(),
                )
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def copy(self, key: str, source: Store) -> bool:
        """Let the server copy between buckets that one client reaches; False if they are not both on it, or it refuses."""
        if not isinstance(source, S3Store) or source._access.endpoint_url != self._access.endpoint_url:  # noqa: SLF001
            return False
        origin = {"Bucket": source.bucket, "Key": source._prefix + key}  # noqa: SLF001  the same class

        def call() -> None:
            self._client.copy_object(Bucket=self.bucket, Key=self._prefix + key, CopySource=origin)

        try:
            self._ask(key, call)
        except (NotFound, Unavailable):
            raise
        except StoreError:  # above 5 GiB, or a policy that lets us read and write but not copy
            return False
        return True

    def reopened(self) -> Store:
        """Return the same storage with connections of its own; what the credentials are is not looked up again."""
        return S3Store(self.url, self._access, retries=self._retries, client=self._made)

    def _head(self, key: str, *, teaches: bool = False, **asked: str) -> Mapping[str, Any]:
        head: Callable[[], Mapping[str, Any]] = lambda: self._client.head_object(  # noqa: E731  typed here
            Bucket=self.bucket, Key=self._prefix + key, **asked
        )
        return self._ask(key, head, teaches=teaches)

    def _page(self, prefix: str, token: Mapping[str, str]) -> Mapping[str, Any]:
        page: Callable[[], Mapping[str, Any]] = lambda: self._client.list_objects_v2(  # noqa: E731  typed here
            Bucket=self.bucket, Prefix=self._prefix + prefix, **token
        )
        return self._ask(prefix, page)

    def _send_parts(self, key: str, blob: LocalFile) -> None:
        """Send a large file part by part; what is broken off for good leaves nothing that costs."""
        place = {"Bucket": self.bucket, "Key": self._prefix + key}
        upload = self._ask(key, lambda: self._client.create_multipart_upload(**place, ChecksumAlgorithm="SHA256"))
        place["UploadId"] = upload["UploadId"]
        count = -(-blob.size_bytes // self._access.part_bytes)
        try:
            digest = hashlib.sha256()
            with blob.path.open("rb") as file:
                windows = (Part(file, number, self._access.part_bytes) for number in range(1, count + 1))
                parts = [self._send_part(key, place, window, digest) for window in windows]
            self._complete(key, place, parts, blob, whole=digest.hexdigest() == blob.sha256)
        except BaseException:
            with contextlib.suppress(StoreError):
                self._ask(key, lambda: self._client.abort_multipart_upload(**place))
            raise

    def _complete(
        self, key: str, place: Mapping[str, str], parts: "builtins.list[dict[str, Any]]", blob: LocalFile, *, whole: bool
    ) -> None:
        if not whole:
            raise StoreError(f"{blob.path}: it changed while it was sent")
        try:
            self._ask(key, lambda: self._client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts}))
        except NotFound:
            # the answer of an earlier try was lost: the upload is complete, so that there is no such upload any more
            there = self.stat(key)
            if there is None or there.size_bytes != blob.size_bytes:
                raise

    def _send_part(self, key: str, place: Mapping[str, str], part: Part, digest: Any) -> dict[str, Any]:
        """Send one part, read twice and never held in memory; return its row for the completion."""
        own = hashlib.sha256()
        for chunk in part.chunks():
            own.update(chunk)
            digest.update(chunk)
        sha256 = base64.b64encode(own.digest()).decode()

        def call() -> dict[str, Any]:
            part.seek(0)
            answer = self._client.upload_part(**place, PartNumber=part.number, Body=part, ChecksumSHA256=sha256)
            return {"PartNumber": part.number, "ETag": answer["ETag"], "ChecksumSHA256": sha256}

        return self._ask(key, call)

    def _put_shortly(self, key: str, data: bytes, sha256: str, *, only_if: str | None) -> tuple[int, str | None]:
        """Return status and tag of what was written by the short way; no tag if boto3 has to do it. Raises Conflict."""
        if len(data) > CHUNK_BYTES:
            return _NOT_ASKED, None
        headers = {"x-amz-checksum-sha256": sha256}
        if only_if is not None:
            headers |= {"If-None-Match": "*"} if only_if == ABSENT else {"If-Match": only_if}

        def take(answer: http.client.HTTPResponse) -> str | None:
            answer.read()
            return answer.headers["ETag"]

        status, tag = self._shortly("PUT", key, take, headers=headers, body=data)
        if status == http.HTTPStatus.PRECONDITION_FAILED:
            raise classified(status, "PreconditionFailed", "", where=f"{self.url}/{key}")
        return status, tag

    def _shortly(
        self,
        method: str,
        key: str,
        take: Callable[[http.client.HTTPResponse], _Result | None],
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> tuple[int, _Result | None]:
        """Return the status and what the short way brings; None if there is no such way yet, or boto3 has to ask anew."""
        if self._short is None or not self._short.is_open:
            return _NOT_ASKED, None
        return self._short.ask(method, self._prefix + key, headers or {}, body, take)

    def _ask(self, key: str, call: Callable[[], _Result], *, teaches: bool = False) -> _Result:
        """Return what the call returns, errors translated, tried again while that may help.

        One that `teaches` shows the short way to all that come after it, or that it does not lead there.
        """

        def once() -> _Result:
            try:
                return call()
            except botocore.exceptions.ClientError as error:
                raise _classified(error, f"{self.url}/{key}") from error
            except _NO_ANSWER as error:
                raise Unavailable(f"{self.url}/{key}: no answer from {self._where()}: {error}") from error
            except botocore.exceptions.BotoCoreError as error:  # no credentials, a broken profile …
                raise StoreError(f"{self.url}/{key}: {error}") from error

        result = with_retries(once, self._retries)
        if teaches and self._short is None:
            self._short = self._made.short_way(self._prefix + key)
        elif teaches and self._short:
            self._short.failed()
        return result

    def _where(self) -> str:
        return self._access.endpoint_url or "AWS"


def split_url(url: str) -> tuple[str, str]:
    """Return bucket and prefix of `s3://bucket/prefix`. Raises RequestError if it is none."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or len(bucket) < 3:
        raise RequestError(f"{url}: give a bucket as s3://BUCKET/PREFIX")
    return bucket, prefix.strip("/")


def _status(error: botocore.exceptions.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _classified(error: botocore.exceptions.ClientError, where: str) -> StoreError:
    """Return what a server's error means."""
    told = error.response.get("Error", {})
    return classified(_status(error), str(told.get("Code", "")), str(told.get("Message") or ""), where=where)
