"""Requests of our own to an S3 server, on connections of our own: the lower half of the fast path (`s3_fast_path`).

Knows HTTP and what a signed request looks like; neither S3's errors nor boto3, which signs.
"""

import collections
import contextlib
import http.client
import re
import ssl
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

_TIMEOUT_SECONDS = 5.0
"""What is small is answered by then; after that boto3 asks again, with more time."""
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


def quoted(key: str) -> str:
    """Return a key as it stands in a URL. Source: botocore, utils.percent_encode with the safe characters of a path."""
    return quote(key, safe="/~")


class Answer(msgspec.Struct, Generic[_Result], frozen=True, kw_only=True):
    """What became of a request."""

    was_sent: bool = True
    status: int | None = None
    """None if no answer arrived."""
    result: _Result | None = None
    """What was made of the answer if its status is 200."""

    @property
    def may_be_done(self) -> bool:
        """Whether the server may have carried out the request although it did not say so."""
        return self.was_sent and (self.status is None or self.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR)


Sign = Callable[[str, str, Mapping[str, str], bytes], Mapping[str, str]]
"""Takes method, URL, headers and body; returns the headers with a signature."""


class DirectConnections:
    """Connections of our own to one server. Threads may share them; processes may not."""

    def __init__(self, base_url: str, sign: Sign, tls: ssl.SSLContext | None) -> None:
        self._base_url, self._sign, self._tls = base_url, sign, tls
        self._host = urlsplit(base_url).netloc
        self._path = urlsplit(base_url).path
        self._idle: collections.deque[http.client.HTTPConnection] = collections.deque()
        self._failures = 0
        weakref.finalize(self, _close, self._idle)

    @property
    def is_worth_trying(self) -> bool:
        """False once boto3 had to send several requests again in a row, and succeeded."""
        return self._failures < _MOST_FAILURES

    def failed(self) -> None:
        """Count a request that boto3 got through and this did not."""
        self._failures += 1

    def request(
        self,
        method: str,
        key: str,
        headers: Mapping[str, str],
        body: bytes,
        take: Callable[[http.client.HTTPResponse], _Result | None],
    ) -> Answer[_Result]:
        """Send a request; `take` makes the result of an answer with status 200."""
        signed = self._sign(method, self._base_url + quoted(key), headers, body)
        with contextlib.suppress(OSError, http.client.HTTPException), self._connection() as connection:
            connection.request(method, self._path + quoted(key), body or None, dict(signed))
            answer = connection.getresponse()
            if method == "HEAD":
                answer.read()  # there is nothing to read, but only then can the connection be used again
            if answer.status != http.HTTPStatus.OK:
                if not answer.isclosed():  # the error's text is not needed: boto3 sends the request again
                    connection.close()
                return Answer(status=answer.status)
            result = take(answer)
            if not answer.isclosed():
                connection.close()
            self._failures = 0
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
        if self._tls:
            return http.client.HTTPSConnection(self._host, timeout=_TIMEOUT_SECONDS, context=self._tls)
        return http.client.HTTPConnection(self._host, timeout=_TIMEOUT_SECONDS)


def _close(idle: "collections.deque[http.client.HTTPConnection]") -> None:
    for connection in idle:
        connection.close()
