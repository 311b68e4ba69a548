"""The short way to small objects: a request that boto3 would send, without the machinery that boto3 builds it with.

That machinery takes three milliseconds of a core for each request, this a third of it. How a request must look is learned
from one of boto3's that the server has taken; what is not answered as hoped is left to boto3, which asks anew and judges.
Knows HTTP, not S3's errors.
"""

import collections
import contextlib
import http.client
import re
import ssl
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar
from urllib.parse import quote, urlsplit

import msgspec

_TIMEOUT_SECONDS = 60.0
_SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=[^/]+/[0-9]{8}/([^/]+)/([^/]+)/aws4_request,")
_MOST_FAILURES = 3

_Result = TypeVar("_Result")


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """How a request of boto3's looked that the server has taken."""

    base_url: str
    """What the key is appended to."""
    region: str
    service: str


Sign = Callable[[Way, str, str, Mapping[str, str], bytes], Mapping[str, str]]
"""Takes way, method, URL, headers and body; returns the headers with a signature."""


def learned(url: str, authorization: str, key: str) -> Way | None:
    """Return the way that a request for the key took; None if it is not signed as expected, or its URL says more."""
    scope = _SCOPE.match(authorization)
    path = quoted(key)
    if scope is None or not url.endswith("/" + path) or not key:
        return None
    return Way(base_url=url.removesuffix(path), region=scope[1], service=scope[2])


def quoted(key: str) -> str:
    """Return a key as it stands in a URL. Source: botocore, utils.percent_encode with the safe characters of a path."""
    return quote(key, safe="/~")


class ShortWay:
    """Connections of our own to one server. Threads may share it; processes may not."""

    def __init__(self, way: Way, sign: Sign, tls: ssl.SSLContext | None) -> None:
        self._way, self._sign, self._tls = way, sign, tls
        self._host = urlsplit(way.base_url).netloc
        self._path = urlsplit(way.base_url).path
        self._idle: collections.deque[http.client.HTTPConnection] = collections.deque()
        self._failures = 0
        weakref.finalize(self, _close, self._idle)

    @property
    def is_open(self) -> bool:
        """Whether it is worth trying: where boto3 had to do it anew several times, it is not."""
        return self._failures < _MOST_FAILURES

    def failed(self) -> None:
        """Say that boto3 then got what this had not got."""
        self._failures += 1

    def ask(
        self,
        method: str,
        key: str,
        headers: Mapping[str, str],
        body: bytes,
        take: Callable[[http.client.HTTPResponse], _Result | None],
    ) -> tuple[int, _Result | None]:
        """Return the answer's status, and what `take` makes of it if that is 200; the status is 0 if there was no answer."""
        signed = self._sign(self._way, method, self._way.base_url + quoted(key), headers, body)
        with contextlib.suppress(OSError, http.client.HTTPException), self._connection() as connection:
            connection.request(method, self._path + quoted(key), body or None, dict(signed))
            answer = connection.getresponse()
            if method == "HEAD":
                answer.read()  # nothing, but then the connection can be used again
            if answer.status != http.HTTPStatus.OK:
                if not answer.isclosed():  # an error's words: boto3 asks for them anew
                    connection.close()
                return answer.status, None
            result = take(answer)
            if not answer.isclosed():
                connection.close()
            self._failures = 0
            return answer.status, result
        return 0, None

    @contextlib.contextmanager
    def _connection(self) -> Iterator[http.client.HTTPConnection]:
        """Give a connection that nobody uses; one on which anything failed is not used again."""
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
