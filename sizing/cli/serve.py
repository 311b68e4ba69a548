"""`serve`: answers Spack's `dynamic-mapping` in gantry's shape, from a size table that it reads anew when it changes.

`GET /v1/allocation?spec=SPEC` -> `{"variables": {…}}`. A spec that can't be read is 400; a table that can't be read any more
leaves the last one in use, with one line on standard error.
"""

import http.server
import json
import socket
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sizing.cli.arguments import Arguments
from sizing.cli.written import table_in
from sizing.errors import BadRequest
from sizing.exports import allocation
from sizing.specs import keys_of


def run(arguments: Arguments) -> int:
    """Serve until the process is ended. Raises BadRequest if the table or the address can't be used at the start."""
    table = _Table(arguments.table)
    try:
        found = socket.getaddrinfo(arguments.host or None, arguments.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        server = _server(found[0][0], found[0][4], _answering(table))
    except (OSError, OverflowError, UnicodeError) as error:
        raise BadRequest(f"{arguments.host}:{arguments.port} can't be listened on: {error}") from error
    with server:
        host = str(server.server_address[0])
        host = f"[{host}]" if ":" in host else host
        sys.stdout.write(f"listening on http://{host}:{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()
    return 0


class _Table:
    """The rows of a file as it is now."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp = self._stamped()
        self._rows, self._digest = table_in(path)

    def answer(self, spec: str) -> dict[str, dict[str, str]]:
        """Return the allocation of a spec. Raises BadRequest."""
        keys = keys_of(spec)
        with self._lock:
            stamp = self._stamped()
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._rows, self._digest = table_in(self._path)
                except BadRequest as error:
                    sys.stderr.write(f"spack-farm sizing serve: {error}; the last table stays in use\n")
            rows, digest = self._rows, self._digest
        return allocation(rows, keys, digest=digest)

    def _stamped(self) -> tuple[int, int, int]:
        try:
            status = Path(self._path).stat()
        except OSError:
            return 0, 0, 0
        return status.st_ino, status.st_mtime_ns, status.st_size


def _server(
    family: socket.AddressFamily, address: Any, handler: type[http.server.BaseHTTPRequestHandler]
) -> http.server.ThreadingHTTPServer:
    class Serving(http.server.ThreadingHTTPServer):
        address_family = family

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing of a client that left; of anything else, what it is."""
            del request
            error = sys.exception()
            if not isinstance(error, OSError):
                sys.stderr.write(f"spack-farm sizing serve: a request of {client_address} failed: {error!r}\n")

    return Serving(address, handler)


def _answering(table: _Table) -> type[http.server.BaseHTTPRequestHandler]:
    class Answering(http.server.BaseHTTPRequestHandler):
        timeout = 30

        def do_GET(self) -> None:
            try:
                asked = urlsplit(self.path)
                specs = parse_qs(asked.query).get("spec", [])
            except ValueError as error:
                self._send(400, {"error": f"the address can't be read: {error}"})
                return
            if asked.path == "/healthz":
                self._send(200, {"status": "ok"})
            elif asked.path != "/v1/allocation":
                self._send(404, {"error": "there is only GET /v1/allocation?spec=SPEC"})
            elif len(specs) != 1:
                self._send(400, {"error": "give one spec: /v1/allocation?spec=SPEC"})
            else:
                try:
                    self._send(200, table.answer(specs[0]))
                except BadRequest as error:
                    self._send(400, {"error": str(error)})

        def _send(self, status: int, answer: object) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing: requests are many, and say nothing."""

    return Answering
