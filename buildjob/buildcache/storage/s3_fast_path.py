"""The fast path around `S3Store`: small objects by the requests that boto3 would send, without its machinery.

That machinery takes three milliseconds of a core for each request and a third of a second to load; this takes a third of
that for a request (docs/decisions/0005). How a request must look is known from the variables (`s3_plain`), or learned from
one of boto3's that the server has accepted (`s3_learned`). After any other answer than the hoped-for one, `S3Store` sends
the request again, retries and classifies: boto3 is loaded then.
"""

import email.utils
import hashlib
import http.client
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from buildjob.buildcache.storage.access import split_url
from buildjob.buildcache.storage.s3_direct import Answer, DirectConnections, Page, page_of
from buildjob.buildcache.storage.s3_errors import ErrorAnswer, classified
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

if TYPE_CHECKING:
    from buildjob.buildcache.storage.s3 import S3Store
    from buildjob.buildcache.storage.s3_learned import Learner

_Result = TypeVar("_Result")


class FastS3:
    """An `S3Store` that reads, writes and stats small objects on the fast path. Threads may share it."""

    def __init__(
        self,
        url: str,
        make: "Callable[[], Learner]",
        direct: DirectConnections | None = None,
        *,
        retried: Callable[[], object] = lambda: None,
    ) -> None:
        """`make` makes the `S3Store`, with what learns from it: at once without `direct`, else only when it is needed.

        `retried` is called where the server has failed, and boto3 asks again.
        """
        bucket, prefix = split_url(url)
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._make = make
        self._lock = threading.Lock()
        self._made: Learner | None = None
        self._direct = direct
        self._retried = retried
        if direct is None:
            self._learner()

    def read(self, key: str, *, limit_bytes: int = LARGEST_DOCUMENT_BYTES) -> StoredObject:
        """Return an object."""

        def take(answer: http.client.HTTPResponse) -> StoredObject | None:
            # what lacks one of them is no S3 server's: boto3 asks again, and reports it
            etag, size = answer.headers["ETag"], answer.headers["Content-Length"]
            return StoredObject(data=answer.read(), etag=etag) if etag and size and int(size) <= limit_bytes else None

        found = self._got(key, take)
        if found is None:
            found = self._plain.read(key, limit_bytes=limit_bytes)
            self._learn(key)
        return found

    def digest(self, key: str) -> tuple[int, str]:
        """Read an object; return its size and SHA-256."""

        def take(answer: http.client.HTTPResponse) -> tuple[int, str] | None:
            digest = hashlib.sha256()
            size = _pass_on(answer, digest.update)
            return None if size is None else (size, digest.hexdigest())

        found = self._got(key, take)
        if found is None:
            found = self._plain.digest(key)
            self._learn(key)
        return found

    def stat(self, key: str) -> ObjectInfo | None:
        """Return size and time of an object; None if there is none."""

        def take(answer: http.client.HTTPResponse) -> ObjectInfo | None:
            if not answer.headers["Last-Modified"] or not answer.headers["Content-Length"]:
                return None
            modified = email.utils.parsedate_to_datetime(answer.headers["Last-Modified"]).timestamp()
            return ObjectInfo(key=key, size_bytes=int(answer.headers["Content-Length"]), modified_seconds=modified)

        answer = self._request("HEAD", key, take)
        if answer.result or self._is_absent(answer.status):
            return answer.result
        info = self._plain.stat(key)
        if info:
            self._learn(key)
        return info

    def write(self, key: str, data: bytes, *, only_if: str | None = None) -> str:
        """Write an object; return its ETag."""
        if len(data) > CHUNK_BYTES:
            return self._plain.write(key, data, only_if=only_if)
        answer = self._put(key, data, hashlib.sha256(data).hexdigest(), only_if=only_if)
        etag = answer.result
        if not etag:
            etag = self._plain.write(key, data, only_if=only_if, is_retry=answer.may_be_done)
            self._learn(key)
        return etag

    def upload(self, key: str, file: LocalFile, *, if_absent: bool = False) -> None:
        """Upload a local file."""
        if file.size_bytes > CHUNK_BYTES:
            self._plain.upload(key, file, if_absent=if_absent)
        elif not self._put(key, file.path.read_bytes(), file.sha256, only_if=ABSENT if if_absent else None).result:
            self._plain.upload(key, file, if_absent=if_absent)
            self._learn(key)

    def download(self, key: str, path: Path) -> str:
        """Write an object to a local file; return its SHA-256."""

        def take(answer: http.client.HTTPResponse) -> str | None:
            digest = hashlib.sha256()
            with path.open("wb") as file:

                def keep(chunk: bytes) -> None:
                    digest.update(chunk)
                    file.write(chunk)

                size = _pass_on(answer, keep)
            return None if size is None else digest.hexdigest()

        found = self._got(key, take)
        if found is None:
            found = self._plain.download(key, path)
            self._learn(key)
        return found

    def has_content(self, key: str, file: LocalFile) -> bool:
        """Return whether there is an object of that size and, as far as the server knows, of that content."""

        def take(answer: http.client.HTTPResponse) -> bool | None:
            if not answer.headers["Content-Length"]:
                return None
            kept = answer.headers["x-amz-checksum-sha256"] or ""
            is_same = not kept or "-" in kept or kept == base64_of(file.sha256)
            return is_same and int(answer.headers["Content-Length"]) == file.size_bytes

        answer = self._request("HEAD", key, take, headers={"x-amz-checksum-mode": "ENABLED"})
        if answer.result is not None or self._is_absent(answer.status):
            return bool(answer.result)
        return self._plain.has_content(key, file)

    def delete(self, key: str) -> None:
        """Delete an object; its absence is success."""
        hoped_for = http.HTTPStatus.NO_CONTENT
        if not self._request("DELETE", key, lambda _: True, hoped_for=hoped_for).result:
            self._plain.delete(key)

    def list(self, prefix: str, *, unlisted: Unlisted | None = None) -> Iterator[ObjectInfo]:
        """Yield the objects whose key begins with the prefix; all or none can be listed."""
        del unlisted
        last, token = "", ""
        while True:
            page = self._page(prefix, token)
            if page is None:
                # keys come in their order: boto3 begins again, and what was yielded is left out
                yield from (info for info in self._plain.list(prefix) if info.key > last)
                return
            for row in page.rows:
                last = row.key.removeprefix(self._prefix)
                yield ObjectInfo(key=last, size_bytes=row.size_bytes, modified_seconds=row.modified_seconds)
            if not (token := page.next_token):
                return

    def copy(self, key: str, source: Store) -> bool:
        """Let the server copy; False if it can't."""
        return self._plain.copy(key, source._plain if isinstance(source, FastS3) else source)  # noqa: SLF001  the same class

    def reopened(self) -> Store:
        """Return the same storage with connections of its own."""
        if self._made is None and self._direct:
            return FastS3(self.url, self._make, self._direct.reopened(), retried=self._retried)
        learner = self._learner()
        direct = self._direct.reopened() if self._direct else None
        return FastS3(self.url, learner.reopened, direct, retried=self._retried)

    def _got(self, key: str, take: Callable[[http.client.HTTPResponse], _Result | None]) -> _Result | None:
        """Return what `take` makes of an object; None if only boto3 may get it. Raises NotFound."""
        answer = self._request("GET", key, take)
        if self._direct and self._direct.is_proven and answer.status == http.HTTPStatus.NOT_FOUND:
            absent = ErrorAnswer(status=answer.status, code="NoSuchKey")
            raise classified(absent, where=f"{self.url}/{key}", server=self._direct.server)
        return answer.result

    def _page(self, prefix: str, token: str, *, most: int = 1000) -> Page | None:
        """Return a page of a listing; None if only boto3 may get it."""
        query = {"list-type": "2", "prefix": self._prefix + prefix, "max-keys": str(most), "encoding-type": "url"}
        query |= {"continuation-token": token} if token else {}
        if self._direct is None or not self._direct.is_worth_trying:
            return None
        return self._direct.request("GET", "", {}, b"", lambda answer: page_of(answer.read()), query=query).result

    def _put(self, key: str, data: bytes, sha256: str, *, only_if: str | None) -> Answer[str]:
        """Send an object; the result is its ETag. Raises Conflict if the condition does not hold."""
        headers = {"x-amz-checksum-sha256": base64_of(sha256)}
        if only_if is not None:
            headers |= {"If-None-Match": "*"} if only_if == ABSENT else {"If-Match": only_if}

        def take(answer: http.client.HTTPResponse) -> str | None:
            answer.read()
            return answer.headers["ETag"]

        answer = self._request("PUT", key, take, headers=headers, body=data)
        if answer.status == http.HTTPStatus.PRECONDITION_FAILED and self._direct and self._direct.is_proven:
            refused = ErrorAnswer(status=answer.status, code="PreconditionFailed")
            raise classified(refused, where=f"{self.url}/{key}", server=self._direct.server)
        return answer

    def _request(  # noqa: PLR0913  what a request is made of
        self,
        method: str,
        key: str,
        take: Callable[[http.client.HTTPResponse], _Result | None],
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        hoped_for: int = http.HTTPStatus.OK,
    ) -> Answer[_Result]:
        if self._direct is None or not self._direct.is_worth_trying:
            return Answer(was_sent=False)
        answer = self._direct.request(method, self._prefix + key, headers or {}, body, take, hoped_for=hoped_for)
        if answer.may_be_done and answer.result is None:
            self._retried()
        return answer

    def _is_absent(self, status: int | None) -> bool:
        """Return whether a HEAD's status says that there is no object.

        Once the server has accepted these credentials nothing else can be missing: a server that knows neither bucket nor
        credentials may say the same.
        """
        if status != http.HTTPStatus.NOT_FOUND or self._direct is None:
            return False
        if not self._direct.is_proven:
            self._page("", "", most=1)
        return self._direct.is_proven

    @property
    def _plain(self) -> "S3Store":
        return self._learner().plain

    def _learner(self) -> "Learner":
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _learn(self, key: str) -> None:
        """Learn from the request for this key that boto3 has just sent, and that the server has accepted."""
        if self._direct and self._direct.is_proven:
            self._direct.failed()
        else:  # the variables did not say all
            self._direct = self._learner().learn(self._prefix + key)


def _pass_on(answer: http.client.HTTPResponse, to: Callable[[bytes], object]) -> int | None:
    """Pass an object's bytes on; return their number, or None if this is no S3 server's answer."""
    if not answer.headers["ETag"] or not answer.headers["Content-Length"]:
        return None
    size = 0
    for chunk in chunks_of(answer):
        to(chunk)
        size += len(chunk)
    if size != int(answer.headers["Content-Length"]):  # http.client does not notice
        raise http.client.IncompleteRead(b"")
    return size
