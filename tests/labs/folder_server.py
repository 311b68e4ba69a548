"""A web server over a folder, on loopback."""

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def served(folder: Path, *, absent: int = 404) -> Iterator[str]:
    """Serve a folder by HTTP on loopback; give its URL. `absent` is the status of what is not there."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
            super().send_error(absent if code == 404 else code, message, explain)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
