"""Requests of our own to an S3 server, on connections of our own: the lower half of the fast path (`s3_fast_path`).

Knows HTTP, what a signed request looks like, and a listing; neither S3's errors nor where credentials come from.
"""

import collections
import contextlib
import hashlib
import http.client
import re
import ssl
import weakref
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Generic, TypeVar
from urllib.parse import quote, unquote, urlencode, urlsplit

import msgspec

from buildjob.s3_plain import SigningKey, quoted, signed_headers

_TIMEOUT_SECONDS = 5.0
"""What is small is answered by then; after that boto3 asks again, with more time."""
_FIRST_TIMEOUT_SECONDS = 2.0
"""While it is not known that the server answers at all: only boto3's requests are reported."""
_SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=[^/]+/[0-9]{8}/([^/]+)/([^/]+)/aws4_request,")
_MOST_FAILURES = 3

_Result = TypeVar("_Result")


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """What a request that the server has accepted says about all others."""

    base_url: str
    """The key is appended to it."""
    region: str
    service: str


def route_of(url: str, authorization: str, key: str) -> Route | None:
    """Return the route of a request for a key; None if it is not signed as expected, or its URL has more than the key."""
    scope = _SCOPE.match(authorization)
    path = quoted(key)
    if scope is None or not url.endswith("/" + path) or not key:
        return None
    return Route(base_url=url.removesuffix(path), region=scope[1], service=scope[2])


class Answer(msgspec.Struct, Generic[_Result], frozen=True, kw_only=True):
    """What became of a request."""

    was_sent: bool = True
    status: int | None = None
    """None if no answer arrived."""
    result: _Result | None = None
    """What was made of the answer if its status is the one that was hoped for."""

    @property
    def may_be_done(self) -> bool:
        """Whether the server may have carried out the request although it did not say so."""
        return self.was_sent and (self.status is None or self.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR)


Sign = Callable[[str, str, Mapping[str, str], bytes], Mapping[str, str]]
"""Takes method, URL, headers and body; returns the headers with a signature."""


class DirectConnections:
    """Connections of our own to one server. Threads may share them; processes may not."""

    def __init__(self, base_url: str, sign: Sign, tls: ssl.SSLContext | None, *, is_proven: bool = False) -> None:
        self._base_url, self._sign, self._tls = base_url, sign, tls
        self._host = urlsplit(base_url).netloc
        self.server = f"{urlsplit(base_url).scheme}://{self._host}"
        """Its address, for messages."""
        self._path = urlsplit(base_url).path
        self._idle: collections.deque[http.client.HTTPConnection] = collections.deque()
        self._failures = 0
        self.is_proven = is_proven
        """The server has accepted such a request."""
        weakref.finalize(self, _close, self._idle)

    @property
    def is_worth_trying(self) -> bool:
        """False once boto3 had to send several requests again in a row, and succeeded."""
        return self._failures < _MOST_FAILURES

    def failed(self) -> None:
        """Count a request that boto3 got through and this did not."""
        self._failures += 1

    def reopened(self) -> "DirectConnections":
        """Return the same with connections of its own, for a process that was forked."""
        return DirectConnections(self._base_url, self._sign, self._tls, is_proven=self.is_proven)

    def request(  # noqa: PLR0913  what a request is made of
        self,
        method: str,
        key: str,
        headers: Mapping[str, str],
        body: bytes,
        take: Callable[[http.client.HTTPResponse], _Result | None],
        *,
        query: Mapping[str, str] | None = None,
        hoped_for: int = http.HTTPStatus.OK,
    ) -> Answer[_Result]:
        """Send a request; `take` makes the result of an answer with the status that is hoped for."""
        end = quoted(key) + (f"?{urlencode(query, quote_via=quote, safe='~')}" if query else "")
        signed = self._sign(method, self._base_url + end, headers, body)
        with contextlib.suppress(OSError, http.client.HTTPException), self._connection() as connection:
            connection.request(method, self._path + end, body or None, dict(signed))
            answer = connection.getresponse()
            if method in {"HEAD", "DELETE"}:
                answer.read()  # there is nothing to read, but only then can the connection be used again
            if answer.status != hoped_for:
                if not answer.isclosed():  # the error's text is not needed: boto3 sends the request again
                    connection.close()
                return Answer(status=answer.status)
            result = take(answer)
            if not answer.isclosed():
                connection.close()
            if result is not None:
                self._failures, self.is_proven = 0, True
            return Answer(status=answer.status, result=result)
        return Answer()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[http.client.HTTPConnection]:
        """Give a connection that is not in use; one on which anything failed is not used again."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def _connect(self) -> http.client.HTTPConnection:
        timeout = _TIMEOUT_SECONDS if self.is_proven else _FIRST_TIMEOUT_SECONDS
        if self._tls:
            return http.client.HTTPSConnection(self._host, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(self._host, timeout=timeout)


def signing_connections(base_url: str, key: SigningKey, *, ca_file: str = "") -> DirectConnections:
    """Return connections whose requests are signed here; `ca_file` has the authorities that https trusts."""

    def sign(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        return signed_headers(method, url, headers, key=key, body_sha256=hashlib.sha256(body).hexdigest())

    tls = ssl.create_default_context(cafile=ca_file) if base_url.startswith("https:") else None
    return DirectConnections(base_url, sign, tls)


def _close(idle: "collections.deque[http.client.HTTPConnection]") -> None:
    for connection in idle:
        connection.close()


class ListedObject(msgspec.Struct, frozen=True):
    """A row of a listing."""

    key: str
    """In the bucket."""
    size_bytes: int
    modified_seconds: float


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a listing."""

    rows: list[ListedObject]
    next_token: str
    """Names the next page; empty if this is the last one."""


def page_of(text: bytes) -> Page | None:
    """Return the page that an answer to ListObjectsV2 holds; None if it is something else."""
    try:
        root = ET.fromstring(text)  # noqa: S314  as boto3 does: expat bounds what entities may become
        if root.tag.rpartition("}")[2] != "ListBucketResult":
            return None
        space = root.tag.removesuffix("ListBucketResult")
        is_quoted = root.findtext(f"{space}EncodingType") == "url"
        rows = [_row(each, space, is_quoted=is_quoted) for each in root.iterfind(f"{space}Contents")]
        is_cut = root.findtext(f"{space}IsTruncated")
        token = root.findtext(f"{space}NextContinuationToken") or ""
    except (ET.ParseError, ValueError, UnicodeDecodeError):
        return None
    if is_cut not in {"true", "false"} or (is_cut == "true" and not token):
        return None
    return Page(rows=rows, next_token=token if is_cut == "true" else "")


def _row(element: ET.Element, space: str, *, is_quoted: bool) -> ListedObject:
    key, size, modified = (element.findtext(f"{space}{name}") or "" for name in ("Key", "Size", "LastModified"))
    return ListedObject(unquote(key) if is_quoted else key, int(size), datetime.fromisoformat(modified).timestamp())
