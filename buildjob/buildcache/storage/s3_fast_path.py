"""The fast path around `S3Store`: small objects by the requests that boto3 would send, without its machinery.

That machinery takes three milliseconds of a core for each request, this a third of it (docs/decisions/0005). How a request
must look is learned from one of boto3's that the server has accepted, and boto3's signer signs ours. After any other answer
than the hoped-for one, `S3Store` sends the request again, retries and classifies. Used in one line of `open.py`.
"""

import email.utils
import functools
import hashlib
import http.client
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import botocore.auth
import botocore.awsrequest
import botocore.httpsession
import botocore.utils

from buildjob.buildcache.storage.s3 import S3Store, base64_of
from buildjob.buildcache.storage.s3_direct import Answer, DirectConnections, Route, route_of
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
    chunks_of,
)

_Result = TypeVar("_Result")


class FastS3:
    """An `S3Store` that reads, writes and stats small objects on the fast path. Threads may share it."""

    def __init__(self, plain: S3Store) -> None:
        self.url = plain.url
        self._plain = plain
        self._client = plain.client
        self._direct: DirectConnections | None = None
        self._sent = threading.local()
        self._client.boto3.meta.events.register("before-send.s3", self._note)

    def read(self, key: str, *, limit_bytes: int = LARGEST_DOCUMENT_BYTES) -> StoredObject:
        """Return an object."""

        def take(answer: http.client.HTTPResponse) -> StoredObject | None:
            # what lacks one of them is no S3 server's: boto3 asks again, and reports it
            etag, size = answer.headers["ETag"], answer.headers["Content-Length"]
            return StoredObject(data=answer.read(), etag=etag) if etag and size and int(size) <= limit_bytes else None

        found = self._request("GET", key, take).result
        if found is None:
            found = self._plain.read(key, limit_bytes=limit_bytes)
            self._learn(key)
        return found

    def digest(self, key: str) -> tuple[int, str]:
        """Read an object; return its size and SHA-256."""

        def take(answer: http.client.HTTPResponse) -> tuple[int, str] | None:
            if not answer.headers["ETag"] or not answer.headers["Content-Length"]:
                return None
            digest, size = hashlib.sha256(), 0
            for chunk in chunks_of(answer):
                digest.update(chunk)
                size += len(chunk)
            if size != int(answer.headers["Content-Length"]):  # http.client does not notice
                raise http.client.IncompleteRead(b"")
            return size, digest.hexdigest()

        found = self._request("GET", key, take).result
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
        if answer.result or answer.status == http.HTTPStatus.NOT_FOUND:
            return answer.result  # the server has accepted these credentials before: nothing else can be missing
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
        return self._plain.download(key, path)

    def has_content(self, key: str, file: LocalFile) -> bool:
        """Return whether there is an object of that size and, as far as the server knows, of that content."""
        return self._plain.has_content(key, file)

    def delete(self, key: str) -> None:
        """Delete an object; its absence is success."""
        self._plain.delete(key)

    def list(self, prefix: str, *, unlisted: Unlisted | None = None) -> Iterator[ObjectInfo]:
        """Yield the objects whose key begins with the prefix; all or none can be listed."""
        del unlisted
        return self._plain.list(prefix)

    def copy(self, key: str, source: Store) -> bool:
        """Let the server copy; False if it can't."""
        return self._plain.copy(key, source._plain if isinstance(source, FastS3) else source)  # noqa: SLF001  the same class

    def reopened(self) -> Store:
        """Return the same storage with connections of its own."""
        return FastS3(self._plain.reopened())

    def _put(self, key: str, data: bytes, sha256: str, *, only_if: str | None) -> Answer[str]:
        """Send an object; the result is its ETag. Raises Conflict if the condition does not hold."""
        headers = {"x-amz-checksum-sha256": base64_of(sha256)}
        if only_if is not None:
            headers |= {"If-None-Match": "*"} if only_if == ABSENT else {"If-Match": only_if}

        def take(answer: http.client.HTTPResponse) -> str | None:
            answer.read()
            return answer.headers["ETag"]

        answer = self._request("PUT", key, take, headers=headers, body=data)
        if answer.status == http.HTTPStatus.PRECONDITION_FAILED:
            refused = ErrorAnswer(status=answer.status, code="PreconditionFailed")
            raise classified(refused, where=f"{self.url}/{key}", server=self._client.server)
        return answer

    def _request(
        self,
        method: str,
        key: str,
        take: Callable[[http.client.HTTPResponse], _Result | None],
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer[_Result]:
        if self._direct is None or not self._direct.is_worth_trying:
            return Answer(was_sent=False)
        return self._direct.request(method, self._plain.key_in_bucket(key), headers or {}, body, take)

    def _note(self, request: Any, **_: Any) -> None:
        """Remember, for this thread, the request that boto3 is about to send."""
        authorization = request.headers.get("Authorization", b"")
        self._sent.url = request.url
        self._sent.authorization = authorization.decode() if isinstance(authorization, bytes) else authorization

    def _learn(self, key: str) -> None:
        """Learn from the request for this key that boto3 has just sent, and that the server has accepted."""
        if self._direct:
            self._direct.failed()
            return
        url: str = getattr(self._sent, "url", "")
        route = route_of(url, getattr(self._sent, "authorization", ""), self._plain.key_in_bucket(key))
        if route is None or route.service != "s3" or url.partition(":")[0] in botocore.utils.get_environ_proxies(url):
            return
        tls = self._tls() if url.startswith("https:") else None
        self._direct = DirectConnections(route.base_url, functools.partial(self._signed, route), tls)

    def _signed(self, route: Route, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        """Return the headers with boto3's signature; it renews credentials that expire."""
        credentials = self._client.session.get_credentials().get_frozen_credentials()
        request = botocore.awsrequest.AWSRequest(method, url, dict(headers), body)
        request.context["client_config"] = self._client.boto3.meta.config
        botocore.auth.S3SigV4Auth(credentials, route.service, route.region).add_auth(request)
        return dict(request.headers.items())

    def _tls(self) -> ssl.SSLContext:
        """Return a context that trusts the authorities that boto3 trusts."""
        trusted = self._client.access.ca_file or self._client.botocore_session.get_config_variable("ca_bundle")
        return ssl.create_default_context(cafile=trusted or botocore.httpsession.get_cert_path(verify=True))
