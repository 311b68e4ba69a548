"""A small proxy on loopback, HTTP CONNECT or SOCKS5: the only one that knows where the hosts in its table are.

Whatever is sent past it does not arrive, because those names exist nowhere else.
"""

import base64
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Literal, Self

_Connect = Callable[[str, int], socket.socket]


class Proxy:
    """A running proxy. A context manager; leaving it ends all connections."""

    def __init__(
        self,
        hosts: dict[str, tuple[str, int]],
        *,
        kind: Literal["http", "socks5"] = "http",
        user: str = "",
        answer: str = "200 Connection established",
        listener: socket.socket | None = None,
        connect: _Connect = lambda host, port: socket.create_connection((host, port)),
    ) -> None:
        """`user` is `name:password`, asked for if it is not empty."""
        self._hosts, self._kind, self._user, self._answer, self._connect = hosts, kind, user, answer, connect
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self.asked: list[str] = []
        """Host and port of each connection, in order."""

    def __enter__(self) -> Self:
        self._listener.listen(128)
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._listener.close()
        self.cut()

    @property
    def url(self) -> str:
        """Its URL, with user name and password."""
        host, port = self._listener.getsockname()
        return f"{self._kind}://{self._user}{'@' if self._user else ''}{host}:{port}"

    def cut(self) -> None:
        """Break every connection."""
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, ValueError):
            target = self._http(client) if self._kind == "http" else self._socks(client)
            if target is None:
                return
            with self._connect(*self._hosts[target]) as server:
                self._open |= {client, server}
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)
                back.join()
                self._open -= {client, server}

    def _http(self, client: socket.socket) -> str | None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        self.asked.append(target)
        wanted = f"Proxy-Authorization: Basic {base64.b64encode(self._user.encode()).decode()}\r\n"
        allowed = method == "CONNECT" and (not self._user or wanted in head.decode())
        status = self._answer if allowed else "407 Proxy Authentication Required"
        host = target.rpartition(":")[0]
        if status[:1] == "2" and host not in self._hosts:
            status = "502 Bad Gateway"
        client.sendall(f"HTTP/1.1 {status}\r\nX-Padding: {'x' * 3000}\r\n\r\n".encode())
        return host if status[:1] == "2" else None

    def _socks(self, client: socket.socket) -> str | None:
        version, count = client.recv(2)
        methods = client.recv(count)
        method = 2 if self._user else 0
        if version != 5 or method not in methods:
            client.sendall(b"\x05\xff")
            return None
        client.sendall(bytes([5, method]))
        if method:
            _, length = client.recv(2)
            name = client.recv(length).decode()
            password = client.recv(client.recv(1)[0]).decode()
            client.sendall(bytes([1, f"{name}:{password}" != self._user]))
        _, _, _, kind = client.recv(4)
        assert kind == 3, "a host's name is resolved by the proxy"
        host = client.recv(client.recv(1)[0]).decode()
        port = int.from_bytes(client.recv(2), "big")
        self.asked.append(f"{host}:{port}")
        client.sendall(bytes([5, 0 if host in self._hosts else 4, 0, 1]) + bytes(6))
        return host if host in self._hosts else None


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(1 << 16):
            sink.sendall(content)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
