"""The server's side of an exec stream: WebSocket frames that carry a command's standard streams.

Source: RFC 6455; Kubernetes remotecommand, `v4.channel.k8s.io` and `v5.channel.k8s.io` (which adds the half-close, channel
255). Knows nothing of what the command does.
"""

import base64
import contextlib
import hashlib
import socket
import struct
import threading
from email.message import Message

STDIN, STDOUT, STDERR, STATUS, CLOSE = 0, 1, 2, 3, 255
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_RESET = struct.pack("ii", 1, 0)
_SMALL_FRAME = 1 << 10


class StreamEnded(Exception):  # noqa: N818 (often not an error)
    """The connection is over: the client closed it, it broke, or the fault's bytes are used up."""


class Stream:
    """One connection after its handshake. Sends from any thread; receives from one."""

    def __init__(self, connection: socket.socket, reader: object, *, budget: int | None) -> None:
        self._connection = connection
        self._reader = reader
        self._left = budget
        self._lock = threading.Lock()
        self.protocol = ""

    def accept(self, headers: Message) -> None:
        """Answer the handshake. Raises StreamEnded."""
        offered = [word.strip() for word in headers.get("Sec-WebSocket-Protocol", "").split(",")]
        self.protocol = next((one for one in PROTOCOLS if one in offered), "")
        digest = hashlib.sha1((headers["Sec-WebSocket-Key"] + _GUID).encode(), usedforsecurity=False).digest()
        answer = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}\r\nSec-WebSocket-Protocol: {self.protocol}\r\n\r\n"
        )
        with self._lock:
            self._write(answer.encode())
        self.send(STDOUT, b"")  # the client now knows that the connection is up

    def send(self, channel: int, content: bytes) -> None:
        """Send bytes on a channel; in small frames if the stream is to be cut: of a frame that is cut, no byte arrives.

        Raises StreamEnded.
        """
        most = len(content) if self._left is None else _SMALL_FRAME
        with self._lock:
            for begin in range(0, len(content) or 1, most or 1):
                self._write(_frame(2, bytes([channel]) + content[begin : begin + most]))

    def receive(self) -> tuple[int, bytes]:
        """Return the next channel and bytes; answers pings. Raises StreamEnded."""
        message = b""
        while True:
            first, second = self._read(2)
            length = second & 0x7F
            if length > 125:
                length = int.from_bytes(self._read(2 if length == 126 else 8), "big")
            mask = self._read(4) if second & 0x80 else bytes(4)
            content = _unmasked(self._read(length), mask)
            code = first & 0x0F
            if code == 8:
                raise StreamEnded
            if code == 9:
                with self._lock:
                    self._write(_frame(10, content))
            if code <= 2:
                message += content
                if first & 0x80 and message:
                    return message[0], message[1:]

    def finish(self) -> None:
        """Close the connection in order."""
        with contextlib.suppress(StreamEnded, OSError), self._lock:
            self._write(_frame(8, struct.pack("!H", 1000)))

    def cut(self) -> None:
        """Reset the connection."""
        with contextlib.suppress(OSError):
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._connection.shutdown(socket.SHUT_RDWR)

    def _write(self, content: bytes) -> None:
        """Send as many bytes as the fault leaves."""
        allowed = len(content) if self._left is None else min(len(content), self._left)
        try:
            self._connection.sendall(content[:allowed])
        except OSError as error:
            raise StreamEnded from error
        self._spend(len(content))

    def _read(self, length: int) -> bytes:
        try:
            content: bytes = self._reader.read(length)  # type: ignore[attr-defined]
        except (OSError, ValueError) as error:
            raise StreamEnded from error
        if len(content) < length:
            raise StreamEnded
        self._spend(length)
        return content

    def _spend(self, count: int) -> None:
        if self._left is None:
            return
        self._left -= count
        if self._left <= 0:
            self.cut()
            raise StreamEnded


def _frame(code: int, content: bytes) -> bytes:
    """Return a whole, unmasked frame."""
    head = bytes([0x80 | code])
    if len(content) < 126:
        return head + bytes([len(content)]) + content
    if len(content) < 1 << 16:
        return head + b"\x7e" + struct.pack("!H", len(content)) + content
    return head + b"\x7f" + struct.pack("!Q", len(content)) + content


def _unmasked(content: bytes, mask: bytes) -> bytes:
    length = len(content)
    keys = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(content, "big") ^ int.from_bytes(keys, "big")).to_bytes(length, "big")
