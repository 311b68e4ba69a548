"""Documents in S3, as the agent uploads them: listed by day, read by many requests at a time.

Credentials, region and endpoint are boto3's own: variables, profiles, instance roles. Answers are bounded in size.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.exceptions
from botocore.config import Config

from sizing.documents import LARGEST_BYTES
from sizing.errors import BadRequest, SourceError
from sizing.sources.source import TELEMETRY, TOO_LARGE, Document, IsKnown, digest_in, place_of

REQUESTS = 24
"""At a time."""
_GONE = {"404", "NoSuchKey"}


def make_client(endpoint_url: str | None) -> Any:
    """Return a client that may be used by many threads."""
    config = Config(
        connect_timeout=10, read_timeout=60, max_pool_connections=REQUESTS,
        retries={"mode": "standard", "total_max_attempts": 5},
        request_checksum_calculation="when_required", response_checksum_validation="when_required",
    )  # fmt: skip
    try:
        session = boto3.session.Session()
        region = session.region_name or "us-east-1"
        return session.client("s3", endpoint_url=endpoint_url, region_name=region, config=config)
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise BadRequest(f"S3 can't be used: {error}") from error


def bucket_and_key(url: str) -> tuple[str, str]:
    """Return the two parts of `s3://BUCKET/KEY`. Raises BadRequest."""
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
        raise BadRequest(f"{url}: give s3://BUCKET/PREFIX")
    return parts.netloc, parts.path.strip("/")


class Bucket:
    """A prefix of a bucket, or one object."""

    def __init__(
        self,
        url: str,
        *,
        trusted: bool | None = None,
        endpoint_url: str | None = None,
        retried: Callable[[], object] = lambda: None,
    ) -> None:
        """Take the place of protected builds where the URL names a build cache. `trusted` None leaves it to the place.

        `retried` is called, in any thread, when a request is sent again.
        """
        self._bucket, key = bucket_and_key(url)
        self._is_object = key.endswith(".json")
        if not self._is_object and not place_of(key):
            above = key.removesuffix(TELEMETRY.rstrip("/")).rstrip("/")
            key = f"{above}/{TELEMETRY}protected".lstrip("/")
        self._prefix = key if self._is_object else f"{key}/"
        self.name = f"s3://{self._bucket}/{self._prefix}"
        self.trusted = place_of(key) == "protected" if trusted is None else trusted
        self.has_days = not self._is_object and self._prefix.endswith(("/protected/", "/other/"))
        self._client = make_client(endpoint_url)
        self._retried = retried
        self._client.meta.events.register("before-send.s3", self._before_send)

    def documents(self, *, since: str, is_known: IsKnown) -> Iterator[Document]:
        """Yield the documents in the order of their keys. Raises SourceError if S3 refuses or does not answer."""
        waiting: deque[Future[Document | None]] = deque()
        with ThreadPoolExecutor(REQUESTS, thread_name_prefix="s3") as pool:
            try:
                for key in self._keys(since, is_known):
                    waiting.append(pool.submit(self._read, key))
                    if len(waiting) >= 2 * REQUESTS:
                        yield from _ready(waiting.popleft())
                while waiting:
                    yield from _ready(waiting.popleft())
            finally:
                for future in waiting:
                    future.cancel()

    def count(self, *, since: str, is_known: IsKnown) -> int:
        """Return how many documents there are. Raises SourceError."""
        return sum(1 for _ in self._keys(since, is_known))

    def _keys(self, since: str, is_known: IsKnown) -> Iterator[str]:
        if self._is_object:
            yield self._prefix
            return
        prefixes = [self._prefix]
        if self.has_days:
            pages = self._pages(self._prefix, Delimiter="/")
            prefixes = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", ())]
            prefixes = [prefix for prefix in prefixes if prefix.rstrip("/").rpartition("/")[2] >= since]
        for prefix in prefixes:
            for page in self._pages(prefix):
                for listed in page.get("Contents", ()):
                    if listed["Key"].endswith(".json") and not is_known(digest_in(listed["Key"])):
                        yield listed["Key"]

    def _before_send(self, request: Any, **_: Any) -> None:
        """Count the attempts after the first. Source: AWS SDKs, the header `amz-sdk-request: attempt=2; max=5`."""
        header = request.headers.get("amz-sdk-request", b"")
        text = header.decode() if isinstance(header, bytes) else str(header)
        if "attempt=" in text and "attempt=1;" not in f"{text};":
            self._retried()

    def _pages(self, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix, **options)
        try:
            yield from pages
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            raise SourceError(f"s3://{self._bucket}/{prefix} can't be listed: {error}") from error

    def _read(self, key: str) -> Document | None:
        """Return a document; None if it has been deleted since it was listed."""
        place = f"s3://{self._bucket}/{key}"
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
            with answer["Body"] as body:
                content: bytes = body.read(LARGEST_BYTES + 1)
        except botocore.exceptions.ClientError as error:
            if error.response.get("Error", {}).get("Code") in _GONE and not self._is_object:
                return None
            raise SourceError(f"{place} can't be read: {error}") from error
        except (botocore.exceptions.BotoCoreError, OSError) as error:
            raise SourceError(f"{place} can't be read: {error}") from error
        if len(content) > LARGEST_BYTES:
            return Document(place=place, fault=TOO_LARGE)
        return Document(place=place, content=content)


def _ready(future: Future[Document | None]) -> Iterator[Document]:
    if document := future.result():
        yield document
