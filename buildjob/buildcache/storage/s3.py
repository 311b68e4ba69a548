"""A build cache in S3, by boto3. Every answer is classified once, by status and code, never by its text.

Every write carries the SHA-256 of what is sent, so that the server rejects what arrived changed. Source: Amazon S3 API
Reference (PutObject, CopyObject, error responses), "Conditional requests".
"""

import base64
import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import botocore.exceptions

from buildjob.buildcache.storage.access import Access
from buildjob.buildcache.storage.retry import RetryPolicy, with_retries
from buildjob.buildcache.storage.s3_client import Client
from buildjob.buildcache.storage.s3_errors import classified
from buildjob.buildcache.storage.s3_upload import PartsUpload
from buildjob.buildcache.storage.store import (
    ABSENT,
    CHUNK_BYTES,
    LARGEST_DOCUMENT_BYTES,
    LocalFile,
    ObjectInfo,
    Store,
    StoredObject,
    chunks_of,
)
from buildjob.errors import Conflict, NotFound, RequestError, StoreError, Unavailable

_Result = TypeVar("_Result")

_NO_ANSWER = (
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,  # closed, timed out, broken off while reading
    botocore.exceptions.IncompleteReadError,
)


class S3Store:
    """The storage below a prefix of a bucket. Threads may share it."""

    def __init__(
        self, url: str, access: Access, *, retries: RetryPolicy | None = None, client: Client | None = None
    ) -> None:
        """`client` is one with the same access, whose credentials need not be looked up again."""
        self.bucket, prefix = split_url(url)
        self._prefix = f"{prefix}/" if prefix else ""
        self.url = f"s3://{self.bucket}/{prefix}".rstrip("/")
        self._access = access
        self._retries = retries or RetryPolicy()
        try:
            self.client = Client(access, like=client)
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise RequestError(f"{self.url}: {error}") from error
        self._boto3 = self.client.boto3

    def key_in_bucket(self, key: str) -> str:
        """Return a key with the store's prefix."""
        return self._prefix + key

    def read(self, key: str, *, limit_bytes: int = LARGEST_DOCUMENT_BYTES) -> StoredObject:
        """Return an object."""

        def call() -> StoredObject:
            answer = self._boto3.get_object(**self._place(key))
            with contextlib.closing(answer["Body"]) as body:
                if answer["ContentLength"] > limit_bytes:
                    raise StoreError(
                        f"{self.url}/{key}: larger than {limit_bytes} bytes, the most that such an object may be"
                    )
                return StoredObject(data=body.read(), etag=answer["ETag"])

        return self._ask(key, call)

    def download(self, key: str, path: Path) -> str:
        """Write an object to a local file; return its SHA-256."""

        def call() -> str:
            digest = hashlib.sha256()
            answer = self._boto3.get_object(**self._place(key))
            with contextlib.closing(answer["Body"]) as body, path.open("wb") as file:
                for chunk in chunks_of(body):
                    digest.update(chunk)
                    file.write(chunk)
            return digest.hexdigest()

        return self._ask(key, call)

    def digest(self, key: str) -> tuple[int, str]:
        """Read an object; return its size and SHA-256."""

        def call() -> tuple[int, str]:
            digest, size = hashlib.sha256(), 0
            answer = self._boto3.get_object(**self._place(key))
            with contextlib.closing(answer["Body"]) as body:
                for chunk in chunks_of(body):
                    digest.update(chunk)
                    size += len(chunk)
            return size, digest.hexdigest()

        return self._ask(key, call)

    def stat(self, key: str) -> ObjectInfo | None:
        """Return size and time of an object; None if there is none."""
        try:
            answer = self._head(key)
        except NotFound:
            return None
        modified = answer["LastModified"].timestamp()
        return ObjectInfo(key=key, size_bytes=answer["ContentLength"], modified_seconds=modified)

    def has_content(self, key: str, file: LocalFile) -> bool:
        """Return whether there is an object of that size, and, if the server keeps checksums, of that SHA-256.

        Objects are content-addressed and appear whole. The checksum of an upload in parts is one of checksums and says less.
        """
        try:
            answer = self._head(key, ChecksumMode="ENABLED")
        except NotFound:
            return False
        kept = answer.get("ChecksumSHA256", "")
        return answer["ContentLength"] == file.size_bytes and (not kept or "-" in kept or kept == base64_of(file.sha256))

    def write(self, key: str, data: bytes, *, only_if: str | None = None, is_retry: bool = False) -> str:
        """Write an object; return its ETag.

        `is_retry` says that the same write was sent before, and its answer was lost. The condition of a repeated write may
        fail because of its own first try: if the object has exactly this content, the write has succeeded.
        """
        condition = {} if only_if is None else {"IfNoneMatch": "*"} if only_if == ABSENT else {"IfMatch": only_if}
        body = {"Body": data, "ChecksumSHA256": base64_of(hashlib.sha256(data).hexdigest())}
        may_be_done = is_retry

        def call() -> str:
            nonlocal may_be_done
            try:
                answer = self._boto3.put_object(**self._place(key), **body, **condition)
            except _NO_ANSWER:
                may_be_done = True
                raise
            except botocore.exceptions.ClientError as error:
                may_be_done = may_be_done or _status(error) >= 500
                raise
            return str(answer["ETag"])

        try:
            return self._ask(key, call)
        except Conflict:
            if may_be_done and (there := self.read(key)).data == data:
                return there.etag
            raise

    def upload(self, key: str, file: LocalFile, *, if_absent: bool = False) -> None:
        """Upload a local file; in parts if it is large, and then whatever is there is replaced."""
        if file.size_bytes >= self._access.multipart_bytes:
            self._upload_parts(key, file)
            return
        condition = {"IfNoneMatch": "*"} if if_absent else {}

        def call() -> None:
            with file.path.open("rb") as opened:
                # bytes, not a file, if it is small: then the server is not asked before (`s3_client`)
                body = opened.read() if file.size_bytes <= CHUNK_BYTES else opened
                self._boto3.put_object(**self._place(key), Body=body, ChecksumSHA256=base64_of(file.sha256), **condition)

        self._ask(key, call)

    def delete(self, key: str) -> None:
        """Delete an object; its absence is success."""
        with contextlib.suppress(NotFound):
            self._ask(key, lambda: self._boto3.delete_object(**self._place(key)))

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
        """Let the server copy between buckets that one client reaches; False if it is another server, or does not copy."""
        if not isinstance(source, S3Store) or source._access.endpoint_url != self._access.endpoint_url:  # noqa: SLF001
            return False
        origin = source._place(key)  # noqa: SLF001  the same class
        try:
            self._ask(key, lambda: self._boto3.copy_object(**self._place(key), CopySource=origin))
        except (NotFound, Unavailable):
            raise
        except StoreError:  # above 5 GiB, or a policy that lets us read and write but not copy
            return False
        return True

    def reopened(self) -> "S3Store":
        """Return the same storage with connections of its own; the credentials are not looked up again."""
        return S3Store(self.url, self._access, retries=self._retries, client=self.client)

    def _place(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.key_in_bucket(key)}

    def _head(self, key: str, **options: str) -> Mapping[str, Any]:
        head: Callable[[], Mapping[str, Any]] = lambda: self._boto3.head_object(**self._place(key), **options)  # noqa: E731  typed here
        return self._ask(key, head)

    def _page(self, prefix: str, token: Mapping[str, str]) -> Mapping[str, Any]:
        page: Callable[[], Mapping[str, Any]] = lambda: self._boto3.list_objects_v2(  # noqa: E731  typed here
            Bucket=self.bucket, Prefix=self.key_in_bucket(prefix), **token
        )
        return self._ask(prefix, page)

    def _upload_parts(self, key: str, file: LocalFile) -> None:
        def size_there() -> int | None:
            info = self.stat(key)
            return info.size_bytes if info else None

        ask = functools.partial(self._ask, key)
        upload = PartsUpload(self._boto3, self._place(key), file, part_bytes=self._access.part_bytes, ask=ask)
        upload.run(size_there)

    def _ask(self, key: str, call: Callable[[], _Result]) -> _Result:
        """Return what the call returns, with boto3's errors translated, and retried while that may help."""

        def once() -> _Result:
            try:
                return call()
            except botocore.exceptions.ClientError as error:
                raise _classified(error, f"{self.url}/{key}") from error
            except _NO_ANSWER as error:
                server = self._access.endpoint_url or "AWS"
                raise Unavailable(f"{self.url}/{key}: no answer from {server}: {error}") from error
            except botocore.exceptions.BotoCoreError as error:  # no credentials, a broken profile …
                raise StoreError(f"{self.url}/{key}: {error}") from error

        return with_retries(once, self._retries)


def split_url(url: str) -> tuple[str, str]:
    """Return bucket and prefix of `s3://bucket/prefix`. Raises RequestError if it is not such an address."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or len(bucket) < 3:
        raise RequestError(f"{url}: give a bucket as s3://BUCKET/PREFIX")
    return bucket, prefix.strip("/")


def base64_of(sha256: str) -> str:
    """Return a hexadecimal checksum as S3's headers have it."""
    return base64.b64encode(bytes.fromhex(sha256)).decode()


def _status(error: botocore.exceptions.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _classified(error: botocore.exceptions.ClientError, where: str) -> StoreError:
    """Return what a server's error means."""
    fields = error.response.get("Error", {})
    return classified(_status(error), str(fields.get("Code", "")), str(fields.get("Message") or ""), where=where)
