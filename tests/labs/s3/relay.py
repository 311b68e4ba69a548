"""A server in front of an S3 server that passes bytes on as they are: many requests at small cost, some refused or lost.

`faulty_server` shows each request to a test; this one only asks for the request's fate.
"""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from io import BufferedIOBase
from typing import Literal

from tests.labs.s3.server import Server

Fate = Literal["passed on", "refused with 500", "refused with 503", "answer lost"]
Decide = Callable[[], Fate]
_REFUSALS: dict[Fate, bytes] = {
    "refused with 500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    "refused with 503": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
}


@contextlib.contextmanager
def relay(server: Server, decide: Decide) -> Iterator[Server]:
    """Yield a server with the other one's buckets."""
    host, port = server.url.removeprefix("http://").split(":")

    class Relay(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True
        wbufsize = -1

        def handle(self) -> None:
            with (
                contextlib.suppress(ConnectionError),  # clients are killed here
                socket.create_connection((host, int(port)), timeout=60) as ahead,
                ahead.makefile("rb") as answers,
            ):
                ahead.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while self._pass_on(ahead, answers):
                    self.wfile.flush()

        def finish(self) -> None:
            with contextlib.suppress(OSError):
                super().finish()

        def _pass_on(self, ahead: socket.socket, answers: BufferedIOBase) -> bool:
            """Pass one request on; return whether the connection stays open."""
            head = _head(self.rfile)
            if not head:
                return False
            if b"expect: 100-continue" in head.lower():
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                self.wfile.flush()
                head = b"".join(line for line in head.splitlines(keepends=True) if not line.lower().startswith(b"expect:"))
            body = _body(self.rfile, head)
            fate = decide()
            if fate in _REFUSALS:
                self.wfile.write(_REFUSALS[fate])
                return True
            ahead.sendall(head + body)
            answer = _head(answers)
            content = b"" if head.startswith(b"HEAD ") else _body(answers, answer)
            if fate == "answer lost":
                return False
            self.wfile.write(answer + content)
            return bool(answer)

    with _Relays(("127.0.0.1", 0), Relay) as front:
        threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        made = Server("relay", f"http://127.0.0.1:{front.server_address[1]}")
        made.bucket = server.bucket  # type: ignore[method-assign]
        try:
            yield made
        finally:
            front.shutdown()


class _Relays(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256


def _head(stream: BufferedIOBase) -> bytes:
    """Return the lines up to the empty one; nothing if the connection has ended."""
    lines = []
    for line in stream:
        lines.append(line)
        if line == b"\r\n":
            return b"".join(lines)
    return b""


def _body(stream: BufferedIOBase, head: bytes) -> bytes:
    """Return the body that follows the head, unchanged."""
    for line in head.splitlines():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            body = stream.read(int(value))
            if len(body) < int(value):
                raise ConnectionError("the client was killed while it sent")
            return body
        if name.lower() == b"transfer-encoding":
            return b"".join(_chunks(stream))
    return b""


def _chunks(stream: BufferedIOBase) -> Iterator[bytes]:
    while True:
        size = stream.readline()
        yield size + stream.read(int(size.partition(b";")[0], 16) + 2)
        if int(size.partition(b";")[0], 16) == 0:
            return
