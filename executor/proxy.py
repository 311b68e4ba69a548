"""Connections through a proxy: HTTP CONNECT and SOCKS5. What passes is the caller's business.

Host names are resolved by the proxy, which may know what this machine does not.
Source: RFC 9110 §9.3.6 (CONNECT), RFC 1928 and RFC 1929 (SOCKS5, user names).
"""

import binascii
import contextlib
import socket
from urllib.parse import unquote, urlsplit

from executor import errors

_LARGEST_ANSWER = 64 << 10
_PORTS = {"http": 80, "socks5": 1080, "socks5h": 1080}
_SOCKS_FAULTS = {
    1: "a general failure", 2: "its rules forbid the connection", 3: "the network is unreachable",
    4: "the host is unreachable", 5: "the host refuses the connection", 6: "the connection took too long",
}  # fmt: skip


def connect(host: str, port: int, *, proxy: str, timeout_seconds: float) -> socket.socket:
    """Return a connection to a host through a proxy, or straight without one.

    Raises OSError, Unavailable if trying again may help, ClusterError if the proxy rejects the connection.
    """
    if not proxy:
        return socket.create_connection((host, port), timeout=timeout_seconds)
    url = urlsplit(proxy)
    shown = f"the proxy {url.scheme}://{url.hostname}:{url.port or _PORTS[url.scheme]}"
    user, password = unquote(url.username or ""), unquote(url.password or "")
    try:
        connection = socket.create_connection((url.hostname or "", url.port or _PORTS[url.scheme]), timeout=timeout_seconds)
    except OSError as error:
        raise errors.Unavailable(f"{shown} does not answer: {error!r}") from error
    try:
        if url.scheme == "http":
            _tunnel(connection, host, port, user, password, shown)
        else:
            _socks(connection, host, port, user, password, shown)
    except OSError as error:
        connection.close()
        raise errors.Unavailable(f"{shown} does not answer: {error!r}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _tunnel(connection: socket.socket, host: str, port: int, user: str, password: str, shown: str) -> None:  # noqa: PLR0913, PLR0917 (a request's parts)
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}", "User-Agent: spack-farm-executor"]
    if user:
        pair = binascii.b2a_base64(f"{user}:{password}".encode(), newline=False).decode()
        lines.append(f"Proxy-Authorization: Basic {pair}")
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):  # byte by byte: what follows belongs to the tunnel
        more = connection.recv(1)
        if not more or len(head) > _LARGEST_ANSWER:
            raise errors.Unavailable(f"{shown} does not answer as a proxy does: {bytes(head[:100])!r}")
        head += more
    status = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")[2]
    if status[:1] == "2":
        return
    kind = errors.ClusterError if status[:1] in {"3", "4"} else errors.Unavailable
    raise kind(f"{shown} rejects a connection to {where}: {status[:200]}")


def _socks(connection: socket.socket, host: str, port: int, user: str, password: str, shown: str) -> None:  # noqa: PLR0913, PLR0917 (a request's parts)
    methods = b"\x00\x02" if user else b"\x00"
    connection.sendall(bytes([5, len(methods)]) + methods)
    version, method = _exactly(connection, 2, shown)
    if version != 5:
        raise errors.ClusterError(f"{shown} is not a SOCKS5 proxy")
    if method == 2:
        name, secret = user.encode(), password.encode()
        connection.sendall(b"\x01" + bytes([len(name)]) + name + bytes([len(secret)]) + secret)
        if _exactly(connection, 2, shown)[1]:
            raise errors.ClusterError(f"{shown} rejects the user name and password of its URL")
    elif method:
        raise errors.ClusterError(f"{shown} asks for a user name and password, which its URL lacks")
    connection.sendall(b"\x05\x01\x00" + _socks_address(host) + port.to_bytes(2, "big"))
    _, fault, _, kind = _exactly(connection, 4, shown)
    if fault:
        worse = errors.ClusterError if fault == 2 else errors.Unavailable
        raise worse(f"{shown} has no connection to {host}:{port}: {_SOCKS_FAULTS.get(fault, f'fault {fault}')}")
    length = {1: 4, 4: 16}.get(kind) or _exactly(connection, 1, shown)[0]
    _exactly(connection, length + 2, shown)  # the proxy's own address, of no use here


def _socks_address(host: str) -> bytes:
    """Return a host with its kind: an address as it is, a name with its length."""
    for kind, family in ((b"\x01", socket.AF_INET), (b"\x04", socket.AF_INET6)):
        with contextlib.suppress(OSError):
            return kind + socket.inet_pton(family, host)
    name = host.encode("idna")
    return b"\x03" + bytes([len(name)]) + name


def _exactly(connection: socket.socket, length: int, shown: str) -> bytes:
    content = b""
    while len(content) < length:
        more = connection.recv(length - len(content))
        if not more:
            raise errors.Unavailable(f"{shown} has closed the connection")
        content += more
    return content
