"""Clause: whatever answers at the address of a job's artifacts, `--reproduce` ends with one line, and keeps the token."""

import contextlib
import io
import socket
import threading
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buildjob.ci.fetched_artifacts import run_folder_of
from buildjob.errors import FetchError, RequestError


def _archive() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("jobs/a-1.0-abcdefg/telemetry.json", "jobs/a-1.0-abcdefg/spec.json"):
            archive.writestr(name, "{}")
    return packed.getvalue()


def _ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)


def _moved(place: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


class Server:
    """Answers each connection with the same bytes; keeps what was asked."""

    def __init__(self, answer: bytes) -> None:
        self.asked: list[str] = []
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._socket.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(30)
                    self.asked.append(connection.recv(65536).decode("latin-1"))
                    connection.sendall(self._answer)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def serve() -> Iterator[Callable[[bytes], Server]]:
    servers: list[Server] = []

    def start(answer: bytes) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def _fetch(server: Server, folder: Path, token: str = "", page: str = "g/p/-/jobs/7") -> Path:
    variables = {"GITLAB_PRIVATE_TOKEN": token} if token else {}
    return run_folder_of(f"http://127.0.0.1:{server.port}/{page}", folder, dag_hash="", variables=variables)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\x01garbage\r\n\r\n",
        b"HTTP/1.1 200 " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"x%d: y\r\n" % number for number in range(500)) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nConnection: close\r\n\r\nPK",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n100\r\nabc",
        _ok(b"<html>"),
        _moved("/g/p/-/jobs/7/artifacts/download"),
        _moved("file:///etc/passwd"),
        _moved("http://127.0.0.1:99999/"),
        _moved("http://[::1/"),
        b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ],
)
def test_what_is_no_archive_is_a_failed_fetch(serve: Callable[[bytes], Server], tmp_path: Path, answer: bytes) -> None:
    with pytest.raises(FetchError, match=r"^http://127\.0\.0\.1:\d+/g/p/-/jobs/7/artifacts/download: ."):
        _fetch(serve(answer), tmp_path)


def test_a_download_that_is_cut_may_be_tried_again(serve: Callable[[bytes], Server], tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="the connection was lost, 9 bytes are missing; a retry may help"):
        _fetch(serve(_ok(_archive())[:-9]), tmp_path)


def test_a_token_goes_to_the_server_that_was_named_alone(serve: Callable[[bytes], Server], tmp_path: Path) -> None:
    store = serve(_ok(_archive()))
    gitlab = serve(_moved(f"http://localhost:{store.port}/x.zip"))
    assert _fetch(gitlab, tmp_path, token="a-token\n").name == "a-1.0-abcdefg"
    assert "private-token: a-token\r\n" in gitlab.asked[0].lower()
    assert "a-token" not in store.asked[0]


@pytest.mark.parametrize("token", ["two\nlines", "sécrèt", "\x07"])
def test_what_cannot_be_a_token_is_named_and_not_shown(serve: Callable[[bytes], Server], tmp_path: Path, token: str) -> None:
    server = serve(_ok(_archive()))
    with pytest.raises(RequestError, match=r"^GITLAB_PRIVATE_TOKEN: this is not a token") as raised:
        _fetch(server, tmp_path, token)
    assert token not in str(raised.value)
    assert not server.asked


@pytest.mark.parametrize("name", ["größe", "a b"])
def test_an_address_is_sent_as_a_browser_sends_it(serve: Callable[[bytes], Server], tmp_path: Path, name: str) -> None:
    server = serve(_ok(_archive()))
    _fetch(server, tmp_path, page=f"{name}/-/jobs/7")
    assert server.asked[0].startswith(f"GET /{urllib.parse.quote(name)}/-/jobs/7/artifacts/download HTTP/1.1\r\n")
