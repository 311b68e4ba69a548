"""The delegating web server for tests: gateways, workers and what clients see, as real processes."""

import contextlib
import dataclasses
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.labs.checkout import ROOT

WORKER = ROOT / "delegate/worker.py"
_START_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a client reads."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def send(url: str, method: str, path: str, body: bytes = b"", *, seconds: float = 60, **headers: str) -> Answer:
    """Send one request; underscores in names of headers stand for hyphens."""
    address = url.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=seconds)
    with contextlib.closing(connection):
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


class Program:
    """A process of a test, with what it wrote to standard error."""

    def __init__(self, argv: list[str | Path], folder: Path, **variables: str) -> None:
        self.log = Path(tempfile.mkstemp(dir=folder, suffix=".log")[1])
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT)} | variables
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
            )

    @property
    def said(self) -> str:
        """What it has written to standard error."""
        return self.log.read_text()

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self, seconds: float = 60) -> int:
        """Return its exit code."""
        return self.process.wait(seconds)

    def end(self) -> None:
        """Kill it if it still runs."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


class Gateway(Program):
    """A gateway that answers."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.socket = folder / "gateway.sock"
        variables = {f"SPACK_FARM_DELEGATE_{key.upper()}": str(value) for key, value in settings.items()}
        port = str(settings.pop("port", 0))
        argv: list[str | Path] = [sys.executable, "-m", "delegate", "gateway", "--port", port, "--socket", self.socket]
        super().__init__(argv, folder, **variables)
        assert self.process.stdout
        first = self.process.stdout.readline()
        self.url = first.split()[2] if first.startswith("listening on ") else ""
        if not self.url:
            self.end()
            raise AssertionError(f"the gateway did not start: {self.said}")

    def send(self, method: str, path: str, body: bytes = b"", *, seconds: float = 60, **headers: str) -> Answer:
        """Send one request."""
        return send(self.url, method, path, body, seconds=seconds, **headers)

    def run(self, body: bytes = b"", path: str = "/v1/run", **headers: str) -> Answer:
        """Ask for a computation."""
        return send(self.url, "POST", path, body, seconds=60, **headers)

    def until_ready(self, *, ready: bool = True) -> None:
        """Wait until a worker asks for work, or until none does."""
        deadline = time.monotonic() + _START_SECONDS
        while (self.send("GET", "/readyz").status == 200) is not ready:
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)

    def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        lines = self.send("GET", "/metrics").body.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


@contextlib.contextmanager
def running_gateway(folder: Path, **settings: object) -> Iterator[Gateway]:
    """Yield a gateway; keyword arguments are its settings."""
    gateway = Gateway(folder, **settings)
    try:
        yield gateway
    finally:
        gateway.end()


@contextlib.contextmanager
def running_worker(
    gateway: Gateway, *command: str, program: Path = WORKER, options: tuple[str, ...] = (), ready: bool = True
) -> Iterator[Program]:
    """Yield a worker whose command is given, or a shell text if it is one word."""
    argv = list(command) if len(command) > 1 else ["sh", "-c", *command]
    worker = Program([sys.executable, program, "--socket", gateway.socket, *options, "--", *argv], gateway.socket.parent)
    try:
        if ready:
            gateway.until_ready()
        yield worker
    finally:
        kill_group_of(worker)


def kill_group_of(worker: Program) -> None:
    """Kill a worker and the commands that it has started."""
    children = Path(f"/proc/{worker.process.pid}/task")
    found = [int(each) for task in children.glob("*/children") for each in task.read_text().split()]
    worker.end()
    for child in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)


class Nginx(Program):
    """The cache of deploy/delegate in front of a gateway; its cache outlives it."""

    def __init__(self, folder: Path, gateway_url: str, port: int) -> None:
        cache = folder / "cache"
        cache.mkdir(exist_ok=True)
        text = (ROOT / "deploy/delegate/nginx.conf").read_text()
        text = text.replace("listen 8000", f"listen 127.0.0.1:{port}").replace("/var/cache/delegate", str(cache))
        text = text.replace("127.0.0.1:8001", gateway_url.removeprefix("http://"))
        if os.getuid() == 0:
            text = f"user root;\n{text}"
        (folder / "nginx.conf").write_text(text)
        super().__init__(["nginx", "-e", "stderr", "-c", folder / "nginx.conf", "-p", folder], folder)
        self.url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                if send(self.url, "GET", "/healthz").status == 200:
                    break
            assert time.monotonic() < deadline, self.said
            assert self.process.poll() is None, self.said
            time.sleep(0.02)

    def end(self) -> None:
        """Kill it with its children."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        super().end()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)

    def run(self, body: bytes = b"", path: str = "/v1/run", **headers: str) -> Answer:
        """Ask for a computation, and follow to the result's address."""
        answer = send(self.url, "POST", path, body, seconds=120, **headers)
        moves = 0
        while answer.status == 307 and moves < 10:
            moves += 1
            answer = send(self.url, "POST", answer.headers["location"], body, seconds=120, **headers)
        return answer


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextlib.contextmanager
def running_nginx(gateway: Gateway, port: int = 0) -> Iterator[Nginx]:
    """Yield a cache in front of a gateway."""
    nginx = Nginx(gateway.socket.parent, gateway.url, port or free_port())
    try:
        yield nginx
    finally:
        nginx.end()


class RawClient:
    """A connection that is written to byte by byte, and may be broken."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=60)

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._socket.sendall(data)

    def post(self, body: bytes, path: str = "/v1/run", length: int | None = None) -> None:
        """Send a request, or the beginning of one."""
        count = len(body) if length is None else length
        self.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {count}\r\n\r\n".encode() + body)

    def read(self, count: int = 1 << 16) -> bytes:
        """Return some bytes."""
        return self._socket.recv(count)

    def close(self) -> None:
        """Break the connection."""
        self._socket.close()


class Hand:
    """A worker of the protocol, moved by a test step by step."""

    def __init__(self, gateway: Gateway, name: str = "by-hand", protocol: str = "2") -> None:
        self._path = str(gateway.socket)
        self._headers = {"Delegate-Worker": name, "Delegate-Protocol": protocol}
        self.attempt = ""

    def say(self, path: str, body: bytes = b"", *, seconds: float = 60, **headers: str) -> Answer:
        """Send a POST on a connection of its own."""
        connection = http.client.HTTPConnection("gateway", timeout=seconds)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(seconds)
        with contextlib.closing(connection):
            connection.sock.connect(self._path)
            sent = self._headers | {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("POST", path, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def next(self, kinds: str = "run", hold: float = 5, **headers: str) -> Answer:
        """Ask for work; the attempt is remembered."""
        headers |= {"Delegate_Kinds": kinds, "Delegate_Hold": str(hold)}
        answer = self.say("/v1/next", b"", seconds=60, **headers)
        if answer.status == 200:
            self.attempt = f"/v1/requests/{answer.headers['delegate-request-id']}/{answer.headers['delegate-attempt']}"
        return answer

    def tell(self, what: str, body: bytes = b"", **headers: str) -> int:
        """Say something of the remembered attempt; return the status."""
        return self.say(f"{self.attempt}/{what}", body, seconds=60, **headers).status
