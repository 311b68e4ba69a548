"""What servers answer that say no, are silent, or are no S3 server: in one line, with their address, in time."""

import contextlib
import itertools
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from buildjob.buildcache import layout, presence
from buildjob.buildcache.storage.access import Access
from buildjob.buildcache.storage.open import open_store
from buildjob.buildcache.storage.retry import RetryPolicy
from buildjob.buildcache.storage.store import Store
from buildjob.cli import doctor, publish
from buildjob.errors import Denied, NoSuchBucket, NotFound, RequestError, StoreError, Unavailable
from tests.labs.s3.server import SECRET_KEY, Server

ONCE = RetryPolicy(tries=2, first_seconds=0.01)


class Raw:
    """A server that gives each connection the same bytes, or none; TLS if it has a certificate."""

    def __init__(self, answer: bytes | None, certificate: Path | None) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._tls = None
        if certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)
        self.port: int = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                taken, _ = self._socket.accept()
                self._open.append(taken)
                threading.Thread(target=self._one, args=(taken,), daemon=True).start()

    def _one(self, taken: socket.socket) -> None:
        with contextlib.suppress(OSError):
            taken = self._tls.wrap_socket(taken, server_side=True) if self._tls else taken
            taken.recv(1 << 16)
            if self._answer is not None:
                taken.sendall(self._answer)
                taken.close()

    def close(self) -> None:
        for each in (self._socket, *self._open):
            each.close()


Serve = Callable[..., Raw]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:

        def one(answer: bytes | None, certificate: Path | None = None) -> Raw:
            made = Raw(answer, certificate)
            stack.callback(made.close)
            return made

        yield one


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    argv += [
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(path),
        "-out",
        str(path) + ".crt",
    ]
    subprocess.run(argv, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


def store_at(url: str, *, bucket: str = "bucket", retries: RetryPolicy = ONCE, **access: Any) -> Store:
    reach = Access(endpoint_url=url, region="us-east-1", path_style=True, **access)
    return open_store(f"s3://{bucket}/farm", reach, retries=retries)


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def s3_error(status: str, code: str, message: str = "") -> bytes:
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return http(status, text.encode(), "Content-Type: application/xml")


HTML = b"<!DOCTYPE html><html><head><title>Log in</title></head><body>" + b"x" * 5000 + b"</body></html>"
ANSWERS = [
    (s3_error("403 Forbidden", "InvalidAccessKeyId"), Denied, "does not know this access key"),
    (s3_error("404 Not Found", "XAdminUserNotFound"), Denied, "does not know this access key"),
    (s3_error("403 Forbidden", "SignatureDoesNotMatch"), Denied, "the secret key is wrong"),
    (s3_error("403 Forbidden", "AccessDenied"), Denied, "these credentials do not allow it"),
    (s3_error("400 Bad Request", "ExpiredToken"), Denied, "have expired"),
    (s3_error("403 Forbidden", "RequestTimeTooSkewed"), Denied, "clock is wrong"),
    (s3_error("404 Not Found", "NoSuchBucket"), NoSuchBucket, "make the bucket first"),
    (s3_error("503 Slow Down", "SlowDown"), Unavailable, "503 S"),
    (http("500 Oops", HTML), Unavailable, "500 Internal Server Error"),
    (http("502 Bad Gateway", HTML, "Content-Type: text/html"), Unavailable, "502 Bad Gateway"),
    (http("404 Not Found", HTML, "Content-Type: text/html"), Denied, "not an S3 server's answer"),
    (http("403 Forbidden", HTML, "Content-Type: text/html"), Denied, "403 Forbidden"),
    (http("302 Found", b"", "Location: http://login.example/"), Denied, "a login page may stand between"),
    (http("200 OK", HTML, "Content-Type: text/html"), Denied, "does not answer as an S3 server does"),
    (http("200 OK", b"<html></html>", "Content-Type: text/html"), Denied, "does not answer as an S3 server does"),
    (http("200 OK"), Denied, "does not answer as an S3 server does"),
    (http("400 Bad Request", HTML, "Content-Type: text/html"), Denied, "is its address https://?"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", Unavailable, "it ended the connection"),
    (b"", Unavailable, "it ended the connection"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", StoreError, "127.0.0.1"),
]


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(("answer", "kind", "text"), ANSWERS, ids=[text for _, _, text in ANSWERS])
def test_each_answer_is_one_line_with_the_address(serve: Serve, answer: bytes, kind: type[StoreError], text: str) -> None:
    server = serve(answer)
    with pytest.raises(StoreError) as raised:
        presence.of(store_at(f"http://user:{SECRET_KEY}@127.0.0.1:{server.port}"))
    message = str(raised.value)
    assert isinstance(raised.value, kind)
    assert text in message
    assert f"http://127.0.0.1:{server.port}" in message
    assert len(message) < 500
    assert message.isprintable()
    assert SECRET_KEY not in message


@pytest.mark.usefixtures("credentials")
def test_a_server_cannot_make_us_repeat_the_secret(serve: Serve) -> None:
    server = serve(s3_error("403 Forbidden", "Odd", f"you sent {SECRET_KEY} {os.environ['AWS_ACCESS_KEY_ID']}!"))
    with pytest.raises(Denied) as raised:
        store_at(f"http://127.0.0.1:{server.port}").read("key")
    assert "you sent [MASKED] [MASKED]!" in str(raised.value)


@pytest.mark.usefixtures("credentials")
def test_faults_of_tls_are_reported_at_once(serve: Serve, certificate: Path) -> None:
    refused = s3_error("403 Forbidden", "AccessDenied")
    untrusted, plain = serve(refused, certificate), serve(refused)
    begun = time.monotonic()
    patient = RetryPolicy()
    with pytest.raises(Denied, match=r"its certificate is not trusted .* --ca-file"):
        store_at(f"https://127.0.0.1:{untrusted.port}", retries=patient).read("key")
    with pytest.raises(Denied, match="is its address http://"):
        store_at(f"https://127.0.0.1:{plain.port}", retries=patient).read("key")
    with pytest.raises(Denied, match="AccessDenied"):
        store_at(f"https://127.0.0.1:{untrusted.port}", ca_file=f"{certificate}.crt").read("key")
    with pytest.raises(StoreError, match=f"127.0.0.1:{untrusted.port}"):
        store_at(f"http://127.0.0.1:{untrusted.port}").read("key")
    assert time.monotonic() - begun < 10


@pytest.mark.usefixtures("credentials")
def test_a_silent_server_is_mentioned_while_it_is_waited_for(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buildjob.buildcache.storage.notices._FIRST_SECONDS", 0.2)
    silent = serve(None)
    url = f"http://127.0.0.1:{silent.port}"
    lines: list[str] = []
    reach = Access(endpoint_url=url, region="us-east-1", path_style=True, answer_seconds=1)
    with pytest.raises(Unavailable, match=r"no answer from http://127.0.0.1:\d+: it did not answer in time \(2 attempts\)"):
        open_store("s3://bucket/farm", reach, retries=ONCE, notice=lines.append).read("key")
    assert lines[0] == f"no answer yet from {url}, attempt 1"
    assert not [each for each in threading.enumerate() if each.name == "notices"], "none stays: this process may fork"


@pytest.mark.usefixtures("credentials")
def test_a_refused_connection_is_mentioned_and_retried() -> None:
    clock = itertools.count(step=10)
    slow = RetryPolicy(tries=2, first_seconds=0.01, clock=lambda: float(next(clock)))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    lines: list[str] = []
    reach = Access(endpoint_url=f"http://127.0.0.1:{port}", region="us-east-1", path_style=True)
    store = open_store("s3://bucket/farm", reach, retries=slow, notice=lines.append)
    with pytest.raises(Unavailable, match="it refused the connection"):
        store.stat("key")
    assert lines == [f"no answer yet from http://127.0.0.1:{port}, attempt 1: it refused the connection"]


def test_a_server_that_does_not_know_the_key_is_not_an_empty_build_cache(
    versitygw: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("AWS_ACCESS_KEY_ID", "UNKNOWNKEY"), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)):
        monkeypatch.setenv(name, value)
    bucket = versitygw.bucket()
    with pytest.raises(Denied, match=r"404 XAdminUserNotFound.*does not know this access key"):
        presence.of(store_at(versitygw.url, bucket=bucket))
    with pytest.raises(Denied):
        store_at(versitygw.url, bucket=bucket).write("key", b"")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", versitygw.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(Denied, match=r"SignatureDoesNotMatch.*the secret key is wrong"):
        store_at(versitygw.url, bucket=bucket).stat(layout.LAYOUT)


@pytest.mark.usefixtures("credentials")
def test_a_bucket_and_an_object_that_are_missing_are_two_things(versitygw: Server) -> None:
    bucket = versitygw.bucket()
    with pytest.raises(NotFound):
        store_at(versitygw.url, bucket=bucket).read("key")
    assert presence.of(store_at(versitygw.url, bucket=bucket)) is presence.Presence.NOTHING
    with pytest.raises(RequestError, match="make the bucket first"):
        presence.require(store_at(versitygw.url, bucket="no-such-bucket"))


@pytest.mark.parametrize(
    "case",
    [
        ("", "testing", 0, ""),
        ("", "UNKNOWNKEY", 100, "does not know this access key"),
        ("no-such-bucket", "testing", 2, "make the bucket first"),
    ],
)
def test_the_agent_learns_before_it_builds_that_it_may_not_publish(
    versitygw: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    case: tuple[str, str, int, str],
) -> None:
    """A HEAD says "not there" in all three cases."""
    bucket, key, code, text = case
    for name, value in {**versitygw.environment, "AWS_ACCESS_KEY_ID": key, "SPACK_FARM_PUBLISH_PATH_STYLE": "1"}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "keys").write_text(f"{layout.SPECS}a/a-1-x{layout.MANIFEST_END}\n")
    assert publish.main(["ls", f"s3://{bucket or versitygw.bucket()}/new", "--of", str(tmp_path / "keys"), "--json"]) == code
    said = capsys.readouterr()
    assert text in said.err
    assert (said.out == "[]\n") == (code == 0)


def test_no_credentials_are_said_so(versitygw: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(Denied, match=r"there are no credentials for http.*set AWS_ACCESS_KEY_ID"):
        store_at(versitygw.url, bucket="b-c-d").read("key")


def test_doctor_asks_the_mirror(
    versitygw: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"SPACK_FARM_PUBLISH_PATH_STYLE": "true", **versitygw.environment}.items():
        monkeypatch.setenv(name, value)
    url = f"s3://{versitygw.bucket()}/farm"

    def asked() -> tuple[int, str]:
        """Return the exit code, and the line about the mirror."""
        code = doctor.main(["--mirror", url, "--spack", "/nonexistent"])
        return code, "\n".join(line for line in capfd.readouterr().out.splitlines() if "mirror s3" in line)

    assert asked()[1].startswith(f"ok    mirror {url}: it can be read")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "UNKNOWNKEY")
    code, line = asked()
    assert code == 1
    assert line.startswith("FIX   mirror")
    assert "does not know this access key" in line
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for name in ("AWS_ENDPOINT_URL", "S3_ENDPOINT_URL"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
    code, line = asked()
    assert code == 1
    assert f"no answer from http://127.0.0.1:{port}: it refused the connection" in line
