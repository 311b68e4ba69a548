"""Web servers on loopback: over a folder, or with any other handler."""

import contextlib
import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def serving(handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve HTTP on loopback, each request by a handler of this kind; give the URL."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def served(folder: Path, *, absent: int = 404) -> Iterator[str]:
    """Serve a folder by HTTP on loopback; give its URL. `absent` is the status of what is not there."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
            super().send_error(absent if code == 404 else code, message, explain)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
            pass

    with serving(functools.partial(Quiet, directory=str(folder))) as url:
        yield url
