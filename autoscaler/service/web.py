"""/metrics and /healthz over HTTP, for Prometheus and for the kubelet. Nothing else is served, nothing can be changed."""

import http.server
import threading
from collections.abc import Callable

from autoscaler.errors import BadRequest

_TIMEOUT_SECONDS = 10.0


class Web:
    """A small server in threads of its own."""

    def __init__(self, listen: str, *, metrics: Callable[[], bytes], health: Callable[[], str]) -> None:
        """`health` returns why the service is ill, "" if it is well. Raises BadRequest if the address cannot be had."""
        host, _, port = listen.rpartition(":")

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = _TIMEOUT_SECONDS
            protocol_version = "HTTP/1.0"

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._answer(200, metrics(), "text/plain; version=0.0.4; charset=utf-8")
                elif path == "/healthz":
                    reason = health()
                    self._answer(503 if reason else 200, f"{reason or 'ok'}\n".encode(), "text/plain; charset=utf-8")
                else:
                    self._answer(404, b"there are /metrics and /healthz\n", "text/plain; charset=utf-8")

            def _answer(self, status: int, content: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        try:
            self._server = http.server.ThreadingHTTPServer((host.strip("[]"), int(port)), Handler)
        except OSError as error:
            raise BadRequest(f"service.listen {listen}: {error}") from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="web", daemon=True)

    @property
    def port(self) -> int:
        """The port, also where the settings left it to the system."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
