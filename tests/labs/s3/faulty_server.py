"""A server in front of an S3 server: a test may answer requests in its place, or lose its answers."""

import contextlib
import http.client
import http.server
import threading
from collections.abc import Callable, Iterator
from typing import Any

from tests.labs.s3.server import Server

Fault = Callable[[http.server.BaseHTTPRequestHandler], bool]
"""Returns whether it has answered. It may set `swallow` on the request: then the true answer is lost, and `lost` called."""


@contextlib.contextmanager
def in_front_of(server: Server, fault: Fault) -> Iterator[Server]:
    """Yield a server with the other one's buckets."""
    front = _Server(("127.0.0.1", 0), _front_of(server.url, fault))
    threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    made = Server("front", f"http://127.0.0.1:{front.server_address[1]}")
    made.bucket = server.bucket  # type: ignore[method-assign]
    try:
        yield made
    finally:
        front.shutdown()
        front.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: clients are killed here."""


def _front_of(url: str, fault: Fault) -> type[http.server.BaseHTTPRequestHandler]:
    host, port = url.removeprefix("http://").split(":")

    class Front(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        swallow = False
        lost = staticmethod(lambda: None)

        def setup(self) -> None:
            super().setup()
            self.ahead = http.client.HTTPConnection(host, int(port), timeout=60)  # as long as the client's own

        def handle_expect_100(self) -> bool:
            super().handle_expect_100()
            self.wfile.flush()  # else boto3 waits a second for it
            return True

        def finish(self) -> None:
            self.ahead.close()
            super().finish()

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if fault(self):
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            self.ahead.request(self.command, self.path, body, headers)
            answer = self.ahead.getresponse()
            content = answer.read()
            if self.swallow:
                self.close_connection = True
                self.lost()
                return
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"transfer-encoding", "content-length", "connection"}:
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = pass_on  # noqa: N815  names of the standard library

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            pass

    return Front
