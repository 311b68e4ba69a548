"""The Kubernetes API over http.client: one connection, JSON in and out, errors classified once, by status and reason.

Thin by decision: the official client costs half a second per start. Retries only what may be repeated.
Source: Kubernetes API conventions, `Status`.
"""

import binascii
import functools
import http.client
import json
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from executor import credentials, errors, proxy
from executor.credentials import Credentials

JsonObject = dict[str, Any]
_Answer = TypeVar("_Answer")
_TIMEOUT_SECONDS = 30.0
_WATCH_SECONDS = 300
_LARGEST_ANSWER = 8 << 20  # etcd takes no object beyond 1.5 MiB, and no list of ours has more than a few hundred small ones
_LONGEST_TEXT = 2000
# Role, quota and admission all answer 403 `Forbidden`: only the text of the first two tells them apart.
# Source: Kubernetes apiserver, handlers/responsewriters/errors.go, forbiddenMessage; plugin/pkg/admission/resourcequota.
_NOT_PERMITTED = re.compile(r'\bUser "[^"]*" cannot \w+ resource "')
_OVER_QUOTA = "exceeded quota"
_BY_STATUS: dict[int, type[errors.ClusterError]] = {
    400: errors.Rejected,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    408: errors.Unavailable,
    409: errors.Conflict,
    410: errors.Unavailable,  # a watch that is too old: begin again
    422: errors.Rejected,
    429: errors.Unavailable,
}


class Api:
    """A connection to one API server. Not for use from two threads at once."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        renew: Callable[[Credentials], Credentials] | None = None,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        self.credentials = credentials
        self.date = ""
        """The `Date` of the last answer, "" if it had none."""
        self._renew = renew
        self._timeout_seconds = timeout_seconds
        self._connection: http.client.HTTPConnection | None = None
        self._tls: ssl.SSLContext | None = None

    def call(
        self, method: str, path: str, *, body: JsonObject | None = None, query: dict[str, str] | None = None
    ) -> JsonObject:
        """Send one request and return the answer. Raises a ClusterError by the answer's status and reason.

        A 401 renews the credentials once and repeats the request.
        """
        return _decoded(self._answer(method, path, body, query))

    def text(self, path: str, query: dict[str, str]) -> str:
        """Return an answer that is text, not JSON; bytes that are not UTF-8 are replaced. Raises as `call`."""
        return self._answer("GET", path, None, query).decode("utf-8", "replace")

    def _answer(self, method: str, path: str, body: JsonObject | None, query: dict[str, str] | None) -> bytes:
        target = f"{path}?{urlencode(query)}" if query else path
        content = None if body is None else json.dumps(body).encode()
        try:
            status, answer = self._exchange(method, target, content)
            if status == 401 and self.renew():
                status, answer = self._exchange(method, target, content)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise errors.Unavailable(f"the API server {self.credentials.server} does not answer: {error!r}") from error
        if 200 <= status < 300:
            return answer
        raise error_of(status, answer, f"{method} {path}")

    def watch(self, path: str, query: dict[str, str], *, timeout_seconds: float) -> Iterator[JsonObject]:
        """Yield watch events over a connection of its own until the server ends it.

        A 401 renews the credentials once. Raises Unavailable when nothing arrives for `timeout_seconds`, or the connection
        breaks.
        """
        target = f"{path}?{urlencode({**query, 'watch': '1', 'timeoutSeconds': str(_WATCH_SECONDS)})}"
        try:
            yield from self._watch_once(target, timeout_seconds=timeout_seconds)
        except errors.Unauthorized:
            if not self.renew():
                raise
            yield from self._watch_once(target, timeout_seconds=timeout_seconds)

    def _watch_once(self, target: str, *, timeout_seconds: float) -> Iterator[JsonObject]:
        what = f"watch {target.partition('?')[0]}"
        connection = self._connect(timeout_seconds)
        try:
            self._send(connection, "GET", target, None)
            answer = connection.getresponse()
            if answer.status != 200:
                raise error_of(answer.status, _bounded(answer.read), what)
            while line := _bounded(answer.readline):
                event = _decoded(line)
                if event.get("type") == "ERROR":
                    raise error_of(_code_of(event), line, what)
                yield event
        except (OSError, http.client.HTTPException) as error:
            raise errors.Unavailable(f"{what}: the connection broke: {error!r}") from error
        finally:
            connection.close()

    def open_socket(self, timeout_seconds: float) -> socket.socket:
        """Return a connected socket, with TLS if the server's URL says so. Raises Unavailable."""
        url = urlsplit(self.credentials.server)
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            plain = proxy.connect(url.hostname or "", port, proxy=self.credentials.proxy, timeout_seconds=timeout_seconds)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if url.scheme != "https":
                return plain
            self._tls = self._tls or tls_context(self.credentials)
            name = self.credentials.tls_server_name or url.hostname
            return self._tls.wrap_socket(plain, server_hostname=name)
        except OSError as error:
            raise errors.Unavailable(f"the API server {self.credentials.server} does not answer: {error!r}") from error

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers of every request; a name may be there several times."""
        headers = [("Accept", "application/json"), ("User-Agent", "spack-farm-executor"), *self.credentials.impersonate]
        if self.credentials.token:
            headers.append(("Authorization", f"Bearer {self.credentials.token}"))
        elif self.credentials.username or self.credentials.password:
            pair = f"{self.credentials.username}:{self.credentials.password}".encode()
            headers.append(("Authorization", f"Basic {binascii.b2a_base64(pair, newline=False).decode()}"))
        return headers

    def renew(self) -> bool:
        """Renew the credentials after a 401; return whether there is a way to. Raises Unauthorized if that fails."""
        if self._renew is None:
            return False
        self.close()
        self._tls = None
        try:
            self.credentials = self._renew(self.credentials)
        except errors.ClusterError as error:
            raise errors.Unauthorized(f"the credentials are refused, and could not be renewed: {error}") from error
        return True

    def another(self) -> "Api":
        """Return an Api with connections of its own, for another thread."""
        return Api(self.credentials, renew=self._renew, timeout_seconds=self._timeout_seconds)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection:
            self._connection.close()
        self._connection = None

    @property
    def _prefix(self) -> str:
        """The path at which a proxy serves the API."""
        return urlsplit(self.credentials.server).path.rstrip("/")

    def _connect(self, timeout_seconds: float) -> http.client.HTTPConnection:
        url = urlsplit(self.credentials.server)
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=timeout_seconds)
        connection.sock = self.open_socket(timeout_seconds)
        return connection

    def _send(self, connection: http.client.HTTPConnection, method: str, target: str, content: bytes | None) -> None:
        connection.putrequest(method, self._prefix + target, skip_accept_encoding=False)
        for name, value in self.headers():
            connection.putheader(name, value.encode())
        if content is not None:
            connection.putheader("Content-Type", _content_type(method))
            connection.putheader("Content-Length", str(len(content)))
        connection.endheaders(content)

    def _exchange(self, method: str, target: str, content: bytes | None) -> tuple[int, bytes]:
        """Send over the kept connection; if the server has closed it meanwhile, over a new one, once."""
        fresh = self._connection is None
        connection = self._connection = self._connection or self._connect(self._timeout_seconds)
        try:
            self._send(connection, method, target, content)
            answer = connection.getresponse()
            self.date = answer.getheader("Date", "")
            return answer.status, _bounded(answer.read)
        except errors.Garbled:
            self.close()
            raise
        except (OSError, http.client.HTTPException):
            self.close()
            if (
                fresh or method == "POST"
            ):  # a POST may have been carried out: only its caller knows whether it may be repeated
                raise
            return self._exchange(method, target, content)


def open_api(folder: Path) -> Api:
    """Return a connection with the credentials in the attempt's folder. Raises SettingsError if there are none."""
    return Api(credentials.load(folder), renew=functools.partial(credentials.renewed, folder))


def with_retries(
    call: Callable[[], _Answer],
    *,
    seconds: float,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> _Answer:
    """Return what an idempotent call returns, repeating it with growing pauses while it raises Unavailable.

    Raises the last Unavailable once `seconds` are over.
    """
    deadline, pause = now() + seconds, 0.1
    while True:
        try:
            return call()
        except errors.Unavailable:
            if now() + pause > deadline:
                raise
        sleep(pause)
        pause = min(pause * 2, 5.0)


def pods_path(namespace: str, name: str = "", part: str = "") -> str:
    """Return the path of the pods of a namespace, of one of them, or of a part of it."""
    return _path(namespace, "pods", name) + (f"/{part}" if part else "")


def events_path(namespace: str) -> str:
    """Return the path of the events of a namespace."""
    return _path(namespace, "events")


def secrets_path(namespace: str, name: str = "") -> str:
    """Return the path of the secrets of a namespace, or of one of them."""
    return _path(namespace, "secrets", name)


def config_maps_path(namespace: str, name: str = "") -> str:
    """Return the path of the config maps of a namespace, or of one of them."""
    return _path(namespace, "configmaps", name)


def error_of(status: int, answer: bytes, what: str) -> errors.ClusterError:
    """Return the exception for an answer, with the server's own message."""
    try:
        document = _decoded(answer)
    except errors.Unavailable:
        document = {}
    inner = document.get("object")  # in a watch
    document = inner if isinstance(inner, dict) else document
    message = str(document.get("message") or answer[:300].decode("utf-8", "replace")).strip() or f"status {status}"
    kind = errors.Unavailable if status >= 500 else _BY_STATUS.get(status, errors.ClusterError)
    if kind is errors.Forbidden:
        kind = _kind_of_refusal(message)
    text = f"{what}: {message[:_LONGEST_TEXT]} ({status} {document.get('reason', '')})".replace(" )", ")")
    return kind(text, said=message[:_LONGEST_TEXT], fields=_fields_of(document))


def _fields_of(document: JsonObject) -> tuple[str, ...]:
    """Return the paths of the fields that a Status objects to."""
    details = document.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    found = [one.get("field") for one in causes if isinstance(one, dict)] if isinstance(causes, list) else []
    return tuple(str(field) for field in found if field)


def _kind_of_refusal(message: str) -> type[errors.Forbidden]:
    if _NOT_PERMITTED.search(message):
        return errors.NotPermitted
    return errors.OverQuota if _OVER_QUOTA in message else errors.Forbidden


def tls_context(credentials: Credentials) -> ssl.SSLContext:
    """Return the TLS settings of a server. The system's authorities, slow to load, are only for a server without its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not credentials.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif credentials.authority:
        context.load_verify_locations(cadata=credentials.authority)
    else:
        context.load_default_certs()
    if credentials.client_certificate:
        _load_certificate(context, credentials.client_certificate + "\n" + credentials.client_key)
    return context


def _load_certificate(context: ssl.SSLContext, content: str) -> None:
    """Load a certificate with its key: ssl needs a path, and a file in memory has one that no other user can read."""
    descriptor = os.memfd_create("client-certificate")
    try:
        os.write(descriptor, content.encode("ascii"))
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")  # an encrypted key is an error, not a question
    finally:
        os.close(descriptor)


def _content_type(method: str) -> str:
    return "application/merge-patch+json" if method == "PATCH" else "application/json"


def _bounded(read: Callable[[int], bytes]) -> bytes:
    """Return an answer, or a line of one. Raises Garbled if it is larger than any can be."""
    content = read(_LARGEST_ANSWER + 1)
    if len(content) > _LARGEST_ANSWER:
        raise errors.Garbled(f"an answer of the API server is larger than {_LARGEST_ANSWER >> 20} MiB")
    return content


def _code_of(event: JsonObject) -> int:
    status = event.get("object")
    code = status.get("code") if isinstance(status, dict) else None
    return code if isinstance(code, int) else 500


def _decoded(answer: bytes) -> JsonObject:
    try:
        value = json.loads(answer or b"{}")
    except (ValueError, RecursionError) as error:
        raise errors.Unavailable(f"the API server's answer is not JSON: {answer[:200]!r}") from error
    return value if isinstance(value, dict) else {}


def _path(namespace: str, kind: str, name: str = "") -> str:
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/{kind}"
    return f"{path}/{quote(name, safe='')}" if name else path
