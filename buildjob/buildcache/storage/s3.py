"""A build cache in S3, by boto3. Every answer is classified once, by status and code, never by its text.

Every write carries the SHA-256 of what is sent, so that the server rejects what arrived changed. Source: Amazon S3 API
Reference (PutObject, CopyObject, error responses), "Conditional requests".
"""

import contextlib
import functools
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import botocore.exceptions
import botocore.parsers

from buildjob.buildcache.storage.access import Access, split_url
from buildjob.buildcache.storage.no_answer import why
from buildjob.buildcache.storage.notices import Notice, Notices, say_nothing
from buildjob.buildcache.storage.retry import RetryPolicy, with_retries
from buildjob.buildcache.storage.s3_client import Client
from buildjob.buildcache.storage.s3_errors import ErrorAnswer, classified
from buildjob.buildcache.storage.s3_upload import PartsUpload
from buildjob.buildcache.storage.store import (
    ABSENT,
    CHUNK_BYTES,
    LARGEST_DOCUMENT_BYTES,
    LocalFile,
    ObjectInfo,
    Store,
    StoredObject,
    Unlisted,
    base64_of,
    chunks_of,
)
from buildjob.errors import Conflict, Denied, NoSuchBucket, NotFound, RequestError, StoreError, Unavailable
from buildjob.masking import mask

_Result = TypeVar("_Result")

_REGION = re.compile(r"[a-z0-9-]{1,40}")
_SOMETHING_BETWEEN = "check the address; a proxy or a login page may stand between"
_GIVE_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a --profile"
_NO_ANSWER = (
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,  # closed, timed out, broken off while reading
    botocore.exceptions.IncompleteReadError,
)


class S3Store:
    """The storage below a prefix of a bucket. Threads may share it."""

    def __init__(
        self,
        url: str,
        access: Access,
        *,
        retries: RetryPolicy | None = None,
        client: Client | None = None,
        notice: Notice = say_nothing,
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
        self._notice = notice
        self._notices = Notices(notice, self.client.server)

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
                return StoredObject(data=body.read(), etag=self._field(answer, "ETag"))

        return self._ask(key, call)

    def download(self, key: str, path: Path) -> str:
        """Write an object to a local file; return its SHA-256."""

        def call() -> str:
            digest = hashlib.sha256()
            answer = self._boto3.get_object(**self._place(key))
            self._field(answer, "ETag")
            with contextlib.closing(answer["Body"]) as body, path.open("wb") as file:
                for chunk in chunks_of(body):
                    digest.update(chunk)
                    file.write(chunk)
            return digest.hexdigest()

        return self._ask(key, call, is_short=False)

    def digest(self, key: str) -> tuple[int, str]:
        """Read an object; return its size and SHA-256."""

        def call() -> tuple[int, str]:
            digest, size = hashlib.sha256(), 0
            answer = self._boto3.get_object(**self._place(key))
            self._field(answer, "ETag")
            with contextlib.closing(answer["Body"]) as body:
                for chunk in chunks_of(body):
                    digest.update(chunk)
                    size += len(chunk)
            return size, digest.hexdigest()

        return self._ask(key, call, is_short=False)

    def stat(self, key: str) -> ObjectInfo | None:
        """Return size and time of an object; None if there is none."""
        try:
            answer = self._head(key)
        except NotFound:
            return None
        modified = self._field(answer, "LastModified").timestamp()
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
            return str(self._field(answer, "ETag"))

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

        self._ask(key, call, is_short=file.size_bytes <= CHUNK_BYTES)

    def delete(self, key: str) -> None:
        """Delete an object; its absence is success."""
        with contextlib.suppress(NotFound):
            self._ask(key, lambda: self._boto3.delete_object(**self._place(key)))

    def list(self, prefix: str, *, unlisted: Unlisted | None = None) -> Iterator[ObjectInfo]:
        """Yield the objects whose key begins with the prefix, 1,000 a request; all or none can be listed."""
        del unlisted
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
            self._ask(key, lambda: self._boto3.copy_object(**self._place(key), CopySource=origin), is_short=False)
        except (NotFound, NoSuchBucket, Unavailable):
            raise
        except StoreError:  # above 5 GiB, or a policy that lets us read and write but not copy
            return False
        return True

    def reopened(self) -> "S3Store":
        """Return the same storage with connections of its own; the credentials are not looked up again."""
        return S3Store(self.url, self._access, retries=self._retries, client=self.client, notice=self._notice)

    def _place(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.key_in_bucket(key)}

    def _head(self, key: str, **options: str) -> Mapping[str, Any]:
        head: Callable[[], Mapping[str, Any]] = lambda: self._boto3.head_object(**self._place(key), **options)  # noqa: E731  typed here
        try:
            return self._ask(key, head)
        except Denied:
            # the answer to a HEAD has no body, so no reason: a listing is rejected for the same one, and says it
            self._page(key, {}, most=1)
            raise

    def _page(self, prefix: str, token: Mapping[str, str], *, most: int = 1000) -> Mapping[str, Any]:
        page: Callable[[], Mapping[str, Any]] = lambda: self._boto3.list_objects_v2(  # noqa: E731  typed here
            Bucket=self.bucket, Prefix=self.key_in_bucket(prefix), MaxKeys=most, **token
        )
        try:
            found = self._ask(prefix, page)
        except NotFound as error:  # S3 names the bucket if it is missing, and a listing of nothing is an empty one
            raise Denied(f"{error}; that is not an S3 server's answer") from error
        self._field(found, "KeyCount", "IsTruncated")
        return found

    def _upload_parts(self, key: str, file: LocalFile) -> None:
        def size_there() -> int | None:
            info = self.stat(key)
            return info.size_bytes if info else None

        ask = functools.partial(self._ask, key, is_short=False)
        upload = PartsUpload(self._boto3, self._place(key), file, part_bytes=self._access.part_bytes, ask=ask)
        upload.run(size_there)

    def _field(self, answer: Mapping[str, Any], *names: str) -> Any:
        """Return the first of these fields of an answer. Raises Denied if it has none: then no S3 server gave it."""
        for name in names:
            if answer.get(name) is not None:
                return answer[name]
        raise Denied(f"{self.url}: {self.client.server} does not answer as an S3 server does; {_SOMETHING_BETWEEN}")

    def _ask(self, key: str, call: Callable[[], _Result], *, is_short: bool = True) -> _Result:
        """Return what the call returns, with boto3's errors translated, and retried while that may help.

        One that is not short may take minutes, without a notice that there is no answer yet.
        """
        where = f"{self.url}/{key}"

        def once(attempt: int) -> _Result:
            watched = self._notices.request(attempt) if is_short else contextlib.nullcontext()
            try:
                with watched:
                    return call()
            except botocore.exceptions.ClientError as error:
                raise self._classified(error, where) from error
            except _NO_ANSWER as error:
                reason = why(error)
                times = f" ({attempt} attempts)" if attempt > 1 else ""
                message = f"{where}: no answer from {self.client.server}: {reason.text}{times}"
                raise (Denied(message) if reason.is_final else Unavailable(message, reason=reason.text)) from error
            except botocore.parsers.ResponseParserError as error:  # its text is the whole answer
                message = f"{where}: {self.client.server} does not answer as an S3 server does; {_SOMETHING_BETWEEN}"
                raise Denied(message) from error
            except botocore.exceptions.NoCredentialsError as error:
                raise Denied(f"{where}: there are no credentials for {self.client.server}; {_GIVE_CREDENTIALS}") from error
            except botocore.exceptions.BotoCoreError as error:  # a broken profile, a credential process that fails …
                raise Denied(f"{where}: {error}") from error

        return with_retries(once, self._retries, failed=self._notices.failed)

    def _classified(self, error: botocore.exceptions.ClientError, where: str) -> StoreError:
        """Return what a server's error means."""
        fields = error.response.get("Error", {})
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = str(fields.get("Region") or headers.get("x-amz-bucket-region") or "")
        answer = ErrorAnswer(
            status=_status(error),
            code=str(fields.get("Code", "")),
            message=self._without_secrets(str(fields.get("Message") or "")),
            region=region if _REGION.fullmatch(region) else "",
        )
        return classified(answer, where=where, server=self.client.server)

    def _without_secrets(self, text: str) -> str:
        """Return a server's message without what it may repeat of the request."""
        credentials = self.client.session.get_credentials()
        secrets = [credentials.access_key, credentials.secret_key, credentials.token] if credentials else []
        return mask(text, [each for each in secrets if each])


def _status(error: botocore.exceptions.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
