"""GitLab's side of the Runner's job API on loopback, with what jobs need beside it: repositories and a cache's objects.

    with Coordinator() as gitlab:
        job = gitlab.submit(payload(["echo hello"]))     # a Runner with gitlab.url and gitlab.runner_token takes it
        job.wait()

`/api/v4/` is the job API (statuses and headers of gitlab-runner 19.4, network/gitlab.go), `/objects/` stores bytes under
their path as an S3 server does for presigned requests, everything else is Git.
"""

import socket
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.fakes.coordinator.api import Handler
from tests.fakes.coordinator.jobs import Job, Payload, Queue


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def __init__(self, listener: socket.socket, handler: type[Handler]) -> None:
        super().__init__(listener.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_address = listener.getsockname()[:2]
        self.server_activate()


class Coordinator:
    """The server and all it saw."""

    def __init__(
        self,
        *,
        listener: socket.socket | None = None,
        address: str = "127.0.0.1",
        repositories: Path | None = None,
        runner_token: str = "glrt-spack-farm-test",
    ) -> None:
        self.queue = Queue()
        self.runner_token = runner_token
        self.repositories = repositories
        self.objects: dict[str, bytes] = {}
        """What caches have stored, by path."""
        self.requests: list[str] = []
        """Method and path of each request, without the query."""
        self.systems: set[str] = set()
        """The `system_id` of each Runner that asked for jobs."""
        self._address = address
        self._server = _Server(listener or _loopback_listener(), type("Bound", (Handler,), {"gitlab": self}))

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its address, as Runner and pods reach it."""
        return f"http://{self._address}:{self._server.server_address[1]}"

    def submit(self, payload: Payload) -> Job:
        """Let a job wait for a Runner."""
        return self.queue.add(payload)


def _loopback_listener() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    return listener
