"""The fake API server: HTTP on loopback, in front of the store and the pods. Speaks as the real one, fails on demand.

Source: Kubernetes API concepts (watch, field selectors, merge patch, Status). Only pods, secrets, config maps and events.
"""

import contextlib
import dataclasses
import http.server
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.fakes.kube.faults import Fault, Faults
from tests.fakes.kube.images import Images
from tests.fakes.kube.kubelet import Kubelet
from tests.fakes.kube.store import ApiError, Object, Store
from tests.fakes.kube.streams import Stream, StreamEnded

NAMESPACE = "default"
_PATH = re.compile(r"/api/v1/namespaces/([^/]+)/(pods|secrets|configmaps|events)(?:/([^/]+))?(?:/(exec|log))?")
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


@dataclasses.dataclass(frozen=True)
class Request:
    """One call as it came."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: Any
    headers: Message

    @property
    def call(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"

    def first(self, key: str, default: str = "") -> str:
        """Return one value of the query."""
        return self.query.get(key, [default])[0]


class FakeCluster:
    """A cluster. A context manager; leaving it ends the server and every process of its pods."""

    def __init__(self, folder: Path, *, images: Path | None = None, token: str = "fake-token") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.store = Store()
        self.faults = Faults()
        self.images = Images(images or folder / "images")
        self.kubelet = Kubelet(self.store, self.images, folder / "pods")
        self.tokens = {token}
        """Bearer tokens that are accepted."""
        self.calls: list[str] = []
        """`METHOD /path` of every call, in order."""
        self.refused: list[str] = []
        """Those of them whose token was not accepted."""
        self.watch_round = 0
        """A number that ends the watches of lower ones."""
        self.commands: list[list[str]] = []
        """The command line of every exec."""
        self.created: list[Object] = []
        """Every object that was created, as it was sent; but for what all pods of a namespace share, see `shared`."""
        self.shared: list[Object] = []
        self.streams: set[Stream] = set()
        self.denied: set[tuple[str, str]] = set()
        """(resource, verb) pairs that the user may not do, as a SelfSubjectAccessReview says; `pods/exec` is one."""
        self.version = {"major": "1", "minor": "34", "gitVersion": "v1.34.1"}
        self.clock_ahead_seconds = 0.0
        """Of the `Date` in its answers."""
        self._server = _Server(self)
        self._folder = folder
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.kubelet.stop()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def kubeconfig(self) -> Path:
        """Write the kubeconfig of this cluster, by rename; return its path."""
        path = self._folder / "kubeconfig"
        parts = {
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "driver", "user": {"token": next(iter(self.tokens))}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "driver", "namespace": NAMESPACE}}],
        }
        part = path.with_name(f"kubeconfig.{threading.get_ident()}")
        part.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "fake"} | parts))
        return part.replace(path)

    def pods(self) -> list[Object]:
        """Return the pods that exist."""
        return self.store.list("pods")

    def end_watches(self) -> None:
        """End every open watch, as the server does after a while."""
        self.watch_round += 1

    def cut_streams(self) -> None:
        """Reset every open exec stream."""
        for stream in list(self.streams):
            stream.cut()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        super().__init__(("127.0.0.1", 0), _Connection)

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: connections break here on purpose."""


class _Connection(http.server.BaseHTTPRequestHandler):
    """One connection; http.server's names for the methods."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's name)
        """Write no log."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the `Date` of an answer."""
        return super().date_time_string((timestamp or time.time()) + self.server.cluster.clock_ahead_seconds)

    def setup(self) -> None:
        """Refuse the connection while the server is down."""
        if self.server.cluster.faults.is_down:
            self.request.close()
            raise ConnectionAbortedError
        super().setup()

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 (http.server's names)

    def _serve(self) -> None:
        """Answer one call, or let it fail."""
        cluster = self.server.cluster
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length) if length else b""
        url = urlsplit(self.path)
        request = Request(
            self.command, url.path, parse_qs(url.query), json.loads(content) if content else None, self.headers
        )
        cluster.calls.append(request.call)
        fault = cluster.faults.take(request.call)
        if fault is not None and not fault.after:
            fault.action()
        if cluster.faults.is_down or (fault is not None and not fault.after and not fault.code):
            self.close_connection = True
            return
        if fault is not None and not fault.after:
            self._answer(fault.code, ApiError(fault.code, fault.reason, fault.message).status())
            return
        try:
            self._route(cluster, request, fault)
        except ApiError as error:
            self._answer(error.code, error.status())

    def _route(self, cluster: FakeCluster, request: Request, fault: Fault | None) -> None:
        """Do a call. Raises ApiError."""
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in cluster.tokens:
            cluster.refused.append(request.call)
            raise ApiError(401, "Unauthorized", "Unauthorized")
        if request.call == "GET /version":
            self._answer(200, json.dumps(cluster.version).encode())
            return
        if request.call == f"POST {_REVIEWS}":
            self._answer(201, json.dumps(_review(cluster, request.body)).encode())
            return
        match = _PATH.fullmatch(request.path)
        if match is None:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        _, kind, name, part = match.groups()
        if part == "exec":
            self._exec(cluster, name, request)
            return
        if part == "log":
            log = cluster.kubelet.log(name, request.first("container"))
            self._answer(200, log[: int(request.first("limitBytes", "1000000"))])
            return
        if request.first("watch"):
            self._watch(cluster, kind, request)
            return
        answer = _done(cluster, kind, name or "", request)
        if fault is not None:
            fault.action()
            self.close_connection = True
            return
        self._answer(201 if request.method == "POST" else 200, json.dumps(answer).encode())

    def _answer(self, code: int, content: bytes) -> None:
        with contextlib.suppress(OSError):
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def _watch(self, cluster: FakeCluster, kind: str, request: Request) -> None:
        """Stream changes, chunked, until the asked time is over."""
        name = _selected(request, "metadata.name")
        version = request.first("resourceVersion")
        until = time.monotonic() + int(request.first("timeoutSeconds", "300"))
        begun_in = cluster.watch_round
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):
            for event in cluster.store.watch(kind, name, after=int(version) if version else None, until=until):
                if cluster.faults.is_down:
                    return
                if cluster.watch_round > begun_in:
                    break
                if event is not None:
                    self._chunk(json.dumps(event).encode() + b"\n")
                elif _is_closed(self.connection):
                    return
            self._chunk(b"")

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        self.wfile.flush()

    def _exec(self, cluster: FakeCluster, name: str, request: Request) -> None:
        """Hand the connection over to a command."""
        if request.headers.get("Upgrade", "").lower() != "websocket":
            raise ApiError(400, "BadRequest", "Upgrade request required")
        container = request.first("container")
        cluster.kubelet.container(name, container)
        self.close_connection = True
        cluster.commands.append(request.query["command"])
        stream = Stream(self.connection, self.rfile, budget=cluster.faults.stream_bytes())
        cluster.streams.add(stream)
        try:
            stream.accept(request.headers)
            if cluster.faults.exec_bytes is not None:
                for part in cluster.faults.exec_bytes():
                    self.connection.sendall(part)
                return
            cluster.kubelet.execute(name, container, request.query["command"], stream)
        except (StreamEnded, ApiError, OSError):
            pass
        finally:
            cluster.streams.discard(stream)


def _done(cluster: FakeCluster, kind: str, name: str, request: Request) -> Object:
    """Do a call that is not a stream; return the answer. Raises ApiError."""
    todo: dict[tuple[str, bool], Callable[[], Object]] = {
        ("POST", False): lambda: _create(cluster, kind, request),
        ("GET", True): lambda: cluster.store.get(kind, name),
        ("GET", False): lambda: _list(cluster, kind, request),
        ("PATCH", True): lambda: cluster.store.change(kind, name, lambda found: _merge(found, request.body)),
        ("DELETE", True): lambda: _delete(cluster, kind, name, request),
    }
    action = todo.get((request.method, bool(name)))
    if action is None:
        raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    return action()


def _review(cluster: FakeCluster, body: Object) -> Object:
    """Answer whether the user may do something."""
    asked = body["spec"]["resourceAttributes"]
    resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
    return body | {"status": {"allowed": (resource, asked["verb"]) not in cluster.denied}}


def _create(cluster: FakeCluster, kind: str, request: Request) -> Object:
    document: Object = request.body
    name = document["metadata"].get("name", "")
    problems = [] if _NAME.fullmatch(name) else [f'metadata.name: Invalid value: "{name}"']
    if kind == "pods":
        document["status"] = {"phase": "Pending"}
        problems += [
            f"spec.containers[{index}].image: Required value"
            for index, container in enumerate(document["spec"]["containers"])
            if not container.get("image")
        ]
    if problems:
        raise ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {"; ".join(problems)}')
    if request.first("dryRun") == "All":
        return document
    made = cluster.store.create(kind, document)
    (cluster.shared if document.get("immutable") else cluster.created).append(made)
    if kind == "pods":
        cluster.kubelet.start(made)
    return made


def _delete(cluster: FakeCluster, kind: str, name: str, request: Request) -> Object:
    if kind != "pods":
        return cluster.store.remove(kind, name)
    return cluster.kubelet.delete(name, grace_seconds=int(request.first("gracePeriodSeconds", "30")))


def _list(cluster: FakeCluster, kind: str, request: Request) -> Object:
    items = [item for item in cluster.store.list(kind) if all(_matches(item, wanted) for wanted in _selectors(request))]
    return {"kind": "List", "metadata": {"resourceVersion": cluster.store.version}, "items": items}


def _selectors(request: Request) -> Iterator[tuple[str, str]]:
    for pair in filter(None, request.first("fieldSelector").split(",")):
        key, _, value = pair.partition("=")
        yield key, value


def _selected(request: Request, key: str) -> str:
    return dict(_selectors(request)).get(key, "")


def _matches(item: Any, wanted: tuple[str, str]) -> bool:
    key, value = wanted
    for part in key.split("."):
        item = item.get(part, {})
    return bool(item == value)


def _merge(target: Object, patch: Object) -> None:
    """Apply a JSON merge patch (RFC 7386)."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value


def _is_closed(connection: Any) -> bool:
    """Tell whether the client has ended its side."""
    connection.setblocking(False)
    try:
        return not connection.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.setblocking(True)
