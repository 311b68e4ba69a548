"""Commands in a container over one WebSocket: standard streams as channels, the exit as a Status on channel 3.

Source: Kubernetes remotecommand, `v4.channel.k8s.io`. It has no half-close: standard input ends with the connection, so the
receiver must know how many bytes to expect. A connection that ends without a Status says nothing about the command.
"""

import contextlib
import http
import re
import select
import socket
import ssl
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import msgspec
import websocket

from executor import errors
from executor.kube import Api, error_of, pods_path

STDIN, STDOUT, STDERR, STATUS = 0, 1, 2, 3
_PROTOCOL = "v4.channel.k8s.io"
_LARGEST_FRAME = 32 << 10
_LARGEST_ANSWER = 128 << 10  # to the handshake
_LARGEST_MESSAGE = 4 << 20  # servers pass streams on in pieces of 32 KiB
_LARGEST_READ = 64 << 10
_OPEN_SECONDS = 30.0


class _Cause(msgspec.Struct):
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct):
    causes: list[_Cause] | None = None


class _Status(msgspec.Struct):
    status: str = ""
    message: str = ""
    details: _Details | None = None


class Frame(msgspec.Struct, frozen=True):
    """Bytes of one channel."""

    channel: int
    content: bytes


class SignOfLife(msgspec.Struct, frozen=True):
    """A ping or a pong, already answered."""


class Closed(msgspec.Struct, frozen=True):
    """The server has closed the connection in order."""


class _Bounded:
    """A socket that bounds the length of a message: the library would gather any length that the server announces."""

    def __init__(self, connected: socket.socket) -> None:
        self._connected = connected
        self._largest = _LARGEST_ANSWER
        self.taken = 0
        """Bytes since the last whole message. Control frames between its parts count too, or they could hide its length."""

    def recv(self, count: int) -> bytes:
        content = self._connected.recv(min(count, _LARGEST_READ))
        self.taken += len(content)
        if self.taken > self._largest:
            raise errors.Garbled(f"more than {self._largest >> 10} KiB came in one message of the exec stream")
        return content

    def begin_messages(self) -> None:
        """Bound messages from now on: the handshake is done."""
        self._largest, self.taken = _LARGEST_MESSAGE, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connected, name)


class ExecStream:
    """One running command. A context manager; leaving it ends the connection, not the command."""

    def __init__(self, api: Api, namespace: str, pod: str, container: str, argv: list[str]) -> None:
        """Start the command. A 401 renews the credentials once. Raises ClusterError."""
        query = [("container", container), ("stdin", "1"), ("stdout", "1"), ("stderr", "1")]
        query += [("command", argument) for argument in argv]
        path = f"{pods_path(namespace, pod, 'exec')}?{urlencode(query)}"
        try:
            self._open(api, path, f"exec in {pod}/{container}")
        except errors.Unauthorized:
            if not api.renew():
                raise
            self._open(api, path, f"exec in {pod}/{container}")

    def _open(self, api: Api, path: str, what: str) -> None:
        server = urlsplit(api.credentials.server)
        scheme = "wss" if server.scheme == "https" else "ws"
        self._socket = api.open_socket(_OPEN_SECONDS)
        self._bounded = _Bounded(self._socket)
        self._web = websocket.WebSocket(enable_multithread=False)
        headers = [f"{name}: {value}" for name, value in api.headers() if name != "Accept"]
        try:
            # No redirections: each would send the token to an address of the server's choice.
            self._web.connect(
                f"{scheme}://{server.netloc}{server.path.rstrip('/')}{path}", socket=self._bounded,
                subprotocols=[_PROTOCOL], header=headers, suppress_origin=True, timeout=_OPEN_SECONDS, redirect_limit=0,
            )  # fmt: skip
            self._bounded.begin_messages()
            if self._web.getstatus() != http.HTTPStatus.SWITCHING_PROTOCOLS:
                raise error_of(self._web.getstatus() or 0, b"", what)
        except websocket.WebSocketBadStatusException as error:
            self._socket.close()
            raise error_of(error.status_code, error.resp_body or b"", what) from error
        except (OSError, ValueError, websocket.WebSocketException) as error:
            self._socket.close()
            raise errors.Unavailable(f"{what}: no connection: {error!r}") from error
        except errors.ClusterError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the socket's descriptor, for select; see `has_buffered`."""
        return self._socket.fileno()

    @property
    def has_buffered(self) -> bool:
        """Whether TLS has bytes that select does not see."""
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def receive(self) -> Frame | SignOfLife | Closed:
        """Return what comes next, and wait for it. Pings are answered. Raises Unavailable, Garbled."""
        while True:
            try:
                code, content = self._web.recv_data(control_frame=True)
            except (OSError, websocket.WebSocketException) as error:
                raise errors.Unavailable(f"the exec stream broke: {error!r}") from error
            if code == websocket.ABNF.OPCODE_CLOSE:
                return Closed()
            if code in {websocket.ABNF.OPCODE_PING, websocket.ABNF.OPCODE_PONG}:
                return SignOfLife()
            self._bounded.taken = 0
            if content:
                return Frame(content[0], content[1:])

    def send(self, content: bytes) -> None:
        """Send bytes to the command's standard input. Raises Unavailable."""
        try:
            for start in range(0, len(content), _LARGEST_FRAME):
                self._web.send_binary(bytes([STDIN]) + content[start : start + _LARGEST_FRAME])
        except (OSError, websocket.WebSocketException) as error:
            raise errors.Unavailable(f"the exec stream broke: {error!r}") from error

    def close(self) -> None:
        """End the connection at once."""
        with contextlib.suppress(OSError, websocket.WebSocketException):
            self._web.send_close()
        with contextlib.suppress(OSError):
            self._socket.close()


def capture(stream: ExecStream, *, timeout_seconds: float, largest_bytes: int = 1 << 20) -> tuple[bytes, bytes, int]:
    """Return a short command's standard output, standard error and exit code.

    Raises Unavailable if no Status arrives: the command may or may not have run.
    """
    streams = {STDOUT: bytearray(), STDERR: bytearray(), STATUS: bytearray()}
    while True:
        if not stream.has_buffered and not select.select([stream], [], [], timeout_seconds)[0]:
            raise errors.Unavailable(f"exec: no answer within {timeout_seconds:.0f} s")
        match stream.receive():
            case Closed():
                raise errors.Unavailable("the exec stream ended without a status")
            case Frame(channel=channel, content=content):
                if channel in streams and len(streams[channel]) < largest_bytes:
                    streams[channel] += content
                if channel == STATUS:
                    return bytes(streams[STDOUT]), bytes(streams[STDERR]), exit_code_of(bytes(streams[STATUS]))
            case SignOfLife():
                pass


def exit_code_of(content: bytes) -> int:
    """Return the exit code in a Status object. Raises Unavailable if the command could not be run."""
    try:
        status = msgspec.json.decode(content, type=_Status)
    except (msgspec.DecodeError, RecursionError) as error:
        raise errors.Unavailable(f"exec: unreadable status {content[:200]!r}") from error
    if status.status == "Success":
        return 0
    causes = (status.details.causes if status.details else None) or []
    code = next((cause.message for cause in causes if cause.reason == "ExitCode"), "")
    if not re.fullmatch("[0-9]{1,3}", code):
        raise errors.Unavailable(f"exec: {status.message[:500]}")
    return int(code)
