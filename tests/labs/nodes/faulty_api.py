"""Stands before a real API server and breaks what a test names: answers with a status, cuts a connection, waits, calls back.

It passes everything else on unchanged, watches included, and remembers the calls. Plain HTTP on loopback.
"""

import contextlib
import dataclasses
import http.client
import http.server
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.labs.nodes.control_plane import ControlPlane

_OWN_HEADERS = frozenset({"host", "connection", "accept-encoding"})


@dataclasses.dataclass
class Fault:
    """What happens with the next calls that match."""

    pattern: str
    """Regular expression over `METHOD /path?query`."""
    body: str = ""
    """Regular expression that the call's body must match, too."""
    status: int = 0
    """Answered instead of passing the call on; 0: see the others."""
    cut: bool = False
    """Whether the connection is closed without an answer."""
    cut_after_lines: int | None = None
    """Whether an answer breaks off after so many lines."""
    after: bool = False
    """Whether the call is passed on before its answer is lost."""
    delay_seconds: float = 0.0
    action: Callable[[], object] = lambda: None
    """Called once the call is there; with `after` once it was carried out."""
    times: int = 1
    headers: tuple[tuple[str, str], ...] = ()
    seen: int = 0


class FaultyApi:
    """The server."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.calls: list[str] = []
        """`METHOD /path?query status`, in the order of their answers."""
        self.faults: list[Fault] = []
        self._lock = threading.Lock()
        self._tls = ssl.create_default_context(cafile=f"{plane.home}/pki/ca.crt")
        self._open: set[http.client.HTTPSConnection] = set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with contextlib.suppress(OSError):
                    outer.handle(self)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 (http.server's names)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def add(self, pattern: str, **what: Any) -> Fault:
        """Break the next calls that match."""
        fault = Fault(pattern, **what)
        with self._lock:
            self.faults.append(fault)
        return fault

    def clear(self) -> None:
        """Break nothing any more."""
        with self._lock:
            self.faults.clear()

    def cut_all(self) -> int:
        """Cut every connection that waits for an answer, watches included; return how many."""
        with self._lock:
            cut = list(self._open)
        for one in cut:
            if one.sock is not None:
                with contextlib.suppress(OSError):
                    one.sock.shutdown(2)
        return len(cut)

    def count(self, pattern: str) -> int:
        """Return how many calls match."""
        return sum(re.search(pattern, call) is not None for call in list(self.calls))

    def changes(self) -> list[str]:
        """Return the calls that may change something, leases and events excepted."""
        return [
            call for call in list(self.calls)
            if not call.startswith("GET ") and "/leases" not in call and "/events" not in call
        ]  # fmt: skip

    def stop(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()

    def handle(self, request: http.server.BaseHTTPRequestHandler) -> None:
        """Answer one call."""
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        call = f"{request.command} {request.path}"
        fault = self._take(call, body)
        if fault and not fault.after:
            time.sleep(fault.delay_seconds)
            fault.action()
            if fault.cut:
                self._note(f"{call} cut")
                request.close_connection = True
                return
            if fault.status:
                self._note(f"{call} {fault.status}")
                self._answer(request, fault.status, fault.headers)
                return
        self._pass_on(request, body, call, fault)

    def _pass_on(self, request: http.server.BaseHTTPRequestHandler, body: bytes, call: str, fault: Fault | None) -> None:
        upstream = http.client.HTTPSConnection("127.0.0.1", self.plane.port, context=self._tls, timeout=60)
        with self._lock:
            self._open.add(upstream)
        try:
            headers = {name: value for name, value in request.headers.items() if name.lower() not in _OWN_HEADERS}
            upstream.request(request.command, request.path, body or None, headers)
            answer = upstream.getresponse()
            self._note(f"{call} {answer.status}")
            if fault and fault.after:
                answer.read()
                fault.action()
                request.close_connection = True
                return
            request.send_response(answer.status)
            request.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
            request.send_header("Transfer-Encoding", "chunked")
            request.end_headers()
            for piece in _pieces(answer, fault.cut_after_lines if fault else None):
                request.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                request.wfile.flush()
            if fault and fault.cut_after_lines is not None:
                request.close_connection = True
                return
            request.wfile.write(b"0\r\n\r\n")
        except (OSError, http.client.HTTPException):
            request.close_connection = True
        finally:
            with self._lock:
                self._open.discard(upstream)
            upstream.close()

    def _answer(
        self, request: http.server.BaseHTTPRequestHandler, status: int, headers: tuple[tuple[str, str], ...]
    ) -> None:
        content = json.dumps(
            {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "message": "made up"}
        )
        request.send_response(status)
        for name, value in headers:
            request.send_header(name, value)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content.encode())

    def _take(self, call: str, body: bytes) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                is_meant = re.search(fault.pattern, call) and re.search(fault.body.encode(), body)
                if fault.seen < fault.times and is_meant:
                    fault.seen += 1
                    return fault
        return None

    def _note(self, call: str) -> None:
        with self._lock:
            self.calls.append(call)


def _pieces(answer: http.client.HTTPResponse, most_lines: int | None) -> Iterator[bytes]:
    lines = 0
    while piece := (answer.read1(1 << 16) if most_lines is None else answer.readline()):
        if most_lines is not None:
            lines += 1
            if lines > most_lines:
                yield piece[: len(piece) // 2]
                return
        yield piece
