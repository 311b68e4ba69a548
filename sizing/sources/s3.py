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
import botocore.parsers
import urllib3.exceptions
from botocore.config import Config

from sizing.documents import LARGEST_BYTES
from sizing.errors import BadRequest, SourceError
from sizing.sources.source import TELEMETRY, TOO_LARGE, Document, IsKnown, digest_in, place_of

REQUESTS = 24
"""At a time."""
_GONE = {"404", "NoSuchKey"}
FAULTS = (
    botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, botocore.parsers.ResponseParserError,
    urllib3.exceptions.HTTPError, OSError,
)  # fmt: skip
"""What boto3 raises for an answer that is none, or that ends early."""
_ARCHIVED = "archived: S3 has to restore it before it can be read"
_MOST_FAULTS = 50
"""So many in a row are no longer the fault of single objects."""


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
        faults: list[Document] = []
        has_read = False
        for document in self._answers(since, is_known):
            if not document.fault:
                has_read = True
            elif document.fault not in {TOO_LARGE, _ARCHIVED}:
                faults.append(document)
                if len(faults) < _MOST_FAULTS:
                    continue
                raise SourceError(f"{document.place} {document.fault}")
            yield from faults
            faults.clear()
            yield document
        # an object that is denied is set aside; where none can be read, it is a matter of access
        if faults and not has_read:
            raise SourceError(f"{faults[0].place} {faults[0].fault}")
        yield from faults

    def _answers(self, since: str, is_known: IsKnown) -> Iterator[Document]:
        """Yield what has become of each object, but of those that have been deleted since they were listed."""
        waiting: deque[Future[Document | None]] = deque()
        with ThreadPoolExecutor(REQUESTS, thread_name_prefix="s3") as pool:
            try:
                for key in self._keys(since, is_known):
                    waiting.append(pool.submit(self._read, key))
                    if len(waiting) >= 2 * REQUESTS:
                        yield from _ready(waiting.popleft())
                while waiting:
                    yield from _ready(waiting.popleft())
            except SourceError:
                while waiting:  # what was asked for before a listing failed
                    yield from _ready(waiting.popleft())
                raise
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
            for page in pages:
                if "IsTruncated" not in page:  # a proxy's page is read as an empty listing
                    raise SourceError(f"s3://{self._bucket}/{prefix} can't be listed: the answer is not S3's")
                yield page
        except FAULTS as error:
            raise SourceError(f"s3://{self._bucket}/{prefix} can't be listed: {one_line(error)}") from error

    def _read(self, key: str) -> Document | None:
        """Return a document; None if it has been deleted since it was listed."""
        place = f"s3://{self._bucket}/{key}"
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
            with answer["Body"] as body:
                content: bytes = body.read(LARGEST_BYTES + 1)
        except FAULTS as error:
            if error_code(error) in _GONE and not self._is_object:
                return None
            is_archived = error_code(error) == "InvalidObjectState"
            return Document(place=place, fault=_ARCHIVED if is_archived else f"can't be read: {one_line(error)}")
        if len(content) > LARGEST_BYTES:
            return Document(place=place, fault=TOO_LARGE)
        if len(content) < answer.get("ContentLength", 0):  # a bounded read does not notice it
            return Document(place=place, fault="can't be read: the answer ends early")
        return Document(place=place, content=content)


def error_code(error: Exception) -> str:
    """Return S3's code of an error; nothing where S3 has not answered with one."""
    response = error.response if isinstance(error, botocore.exceptions.ClientError) else {}
    return str(response.get("Error", {}).get("Code", ""))


def one_line(error: Exception) -> str:
    """Return an error's words, bounded."""
    return " ".join(str(error).split())[:300]


def _ready(future: Future[Document | None]) -> Iterator[Document]:
    if document := future.result():
        yield document
