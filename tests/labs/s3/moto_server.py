"""moto's server, with conditional writes that S3's promise holds for: one at a time.

moto compares the ETag and then stores, in a thread for each request; two writes on the same ETag could both be accepted.
Run as a program: `python -m tests.labs.s3.moto_server`; it chooses a free port and prints it, as werkzeug does.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server import werkzeug_app
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

_Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def one_conditional_write_at_a_time(application: _Application) -> _Application:
    """Return the application with a lock around each PUT and POST that has a condition."""
    lock = threading.Lock()

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        conditional = "HTTP_IF_MATCH" in environ or "HTTP_IF_NONE_MATCH" in environ
        if not conditional or environ["REQUEST_METHOD"] not in {"PUT", "POST"}:
            return application(environ, start_response)
        with lock:
            return application(environ, start_response)

    return answer


def main() -> None:
    """Serve until the process is ended."""
    application = one_conditional_write_at_a_time(DomainDispatcherApplication(create_backend_app))
    handler = getattr(werkzeug_app, "MotoRequestHandler", None)  # older versions have none
    run_simple("127.0.0.1", 0, application, threaded=True, request_handler=handler)


if __name__ == "__main__":
    main()
