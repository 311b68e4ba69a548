"""The gateway's process: both faces in one event loop, its sockets, its signals, and how it ends.

TERM: /readyz says 503 while requests are still taken (`unready_seconds`), then no more are taken and those that are there
end (`drain_seconds`). A second TERM, or INT, ends it at once.
"""

import asyncio
import contextlib
import fcntl
import logging
import math
import os
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from delegate.errors import BadRequest
from delegate.exchanges import Exchanges
from delegate.guard import Tokens, log_to_stderr
from delegate.inner_face import InnerFace
from delegate.metrics import Metrics
from delegate.outer_face import OuterFace
from delegate.settings import Settings

logger = logging.getLogger("delegate")
_BACKLOG = 2048
_WATCH_SECONDS = 0.5
_STEP_SECONDS = 0.1
_KEEP_ALIVE_SECONDS = 75
_CLOSE_SECONDS = 10


class _Server(uvicorn.Server):
    """A server whose signals are the process's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


class InnerSocket:
    """The Unix socket that workers use: one gateway has it, and it is made again where someone deletes it."""

    def __init__(self, settings: Settings) -> None:
        self._path = Path(settings.socket)
        self._mode = int(settings.socket_mode, 8)
        self._check()
        self._lock = self._locked()
        self._inode = 0

    def bind(self) -> socket.socket:
        """Return a listening socket at the path. Raises BadRequest."""
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            temporary.unlink(missing_ok=True)
            made.bind(str(temporary))
            temporary.chmod(self._mode)
            made.listen(_BACKLOG)
            temporary.rename(self._path)  # over the one that a killed gateway has left
        except OSError as error:
            made.close()
            raise BadRequest(f"the socket {self._path} can't be made: {error.strerror or error}") from error
        self._inode = self._path.stat().st_ino
        return made

    def is_there(self) -> bool:
        """Return whether the path still leads to the socket."""
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False

    def unlink(self) -> None:
        """Delete it, if it is still ours."""
        if self.is_there():
            self._path.unlink(missing_ok=True)

    def _check(self) -> None:
        """Raise BadRequest if the path is taken by anything but a socket, which would be lost."""
        with contextlib.suppress(OSError):
            if not stat.S_ISSOCK(self._path.stat().st_mode):
                raise BadRequest(f"the socket {self._path} can't be made: a file that is not a socket has this path")

    def _locked(self) -> int:
        """Hold the lock beside the socket; it ends with the process."""
        path = f"{self._path}.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadRequest(f"another gateway serves {self._path}; give each its own socket") from error
        except OSError as error:
            raise BadRequest(f"{path} can't be made: {error.strerror}; its folder must exist and be writable") from error
        return descriptor


def run(settings: Settings) -> int:
    """Serve until TERM; return the exit code. Raises BadRequest."""
    log_to_stderr()
    tokens = Tokens(settings.token_file)
    if settings.spool and not Path(settings.spool).is_dir():
        raise BadRequest(f"spool is {settings.spool}, which is no folder; make it, or name another")
    inner = InnerSocket(settings)
    outer = _outer_socket(settings)
    return asyncio.run(_Gateway(settings, tokens, inner, outer).serve())


class _Gateway:
    def __init__(self, settings: Settings, tokens: Tokens, inner: InnerSocket, outer: socket.socket) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._exchanges = Exchanges(settings, self._metrics)
        self._inner_app = InnerFace(self._exchanges, settings).app()
        self._outer = _server(OuterFace(self._exchanges, settings, self._metrics).app(tokens), settings.connections)
        self._sockets = inner, outer
        self._inner: list[tuple[_Server, asyncio.Task[None]]] = []
        self._ended = asyncio.Event()
        self._at_once = asyncio.Event()

    async def serve(self) -> int:
        """Serve both faces until a signal ends it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        inner, outer = self._sockets
        timer = asyncio.ensure_future(self._exchanges.keep_time())
        watcher = asyncio.ensure_future(self._watch(inner))
        outer_task = asyncio.ensure_future(self._outer.serve(sockets=[outer]))
        await self._until_started(outer_task, watcher, outer)
        ended = asyncio.ensure_future(self._ended.wait())
        await asyncio.wait({timer, watcher, outer_task, ended}, return_when=asyncio.FIRST_COMPLETED)
        broken = [task for task in (timer, watcher, outer_task) if task.done()]
        for task in broken:
            task.result()  # a fault of ours ends the process with its traceback
        await self._drain()
        self._outer.should_exit = True
        await outer_task
        watcher.cancel()
        timer.cancel()
        for server, task in self._inner:
            server.should_exit = True
            await task
        inner.unlink()
        return 0

    async def _until_started(
        self, outer_task: "asyncio.Task[None]", watcher: "asyncio.Task[None]", outer: socket.socket
    ) -> None:
        while not (self._outer.started and self._inner) and not (outer_task.done() or watcher.done()):  # noqa: ASYNC110 (uvicorn has no event)
            await asyncio.sleep(0.01)
        if watcher.done():
            watcher.result()
        host, port = outer.getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        sys.stdout.write(f"listening on http://{host}:{port} for requests, on {self._settings.socket} for workers\n")
        sys.stdout.flush()

    async def _watch(self, inner: InnerSocket) -> None:
        """Serve workers; make their socket again if its file is gone."""
        while True:
            if not inner.is_there():
                if self._inner:
                    logger.warning("the socket %s is gone and is made again", self._settings.socket)
                try:
                    made = inner.bind()
                except BadRequest as error:
                    if not self._inner:
                        raise
                    logger.error("%s", error)
                else:
                    server = _server(self._inner_app, None)
                    self._inner.append((server, asyncio.ensure_future(server.serve(sockets=[made]))))
            await asyncio.sleep(_WATCH_SECONDS)

    def _on_signal(self, number: int) -> None:
        if self._ended.is_set() or number == signal.SIGINT:
            self._at_once.set()
        self._ended.set()

    async def _drain(self) -> None:
        """Let what is there end. Raises nothing."""
        self._exchanges.be_unready()
        await self._pause(self._settings.unready_seconds)
        self._exchanges.queue.drain()
        for _ in range(math.ceil(self._settings.drain_seconds / _STEP_SECONDS)):
            if self._exchanges.queue.is_empty or self._at_once.is_set():
                break
            await self._pause(_STEP_SECONDS)
        self._exchanges.close()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._at_once.wait(), seconds)


def _server(app: ASGIApp, connections: int | None) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            http="h11",
            ws="none",
            limit_concurrency=connections,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_CLOSE_SECONDS,
            server_header=False,
            proxy_headers=False,
        )
    )


def _outer_socket(settings: Settings) -> socket.socket:
    """Return the listening socket of the outer face. Raises BadRequest."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(_BACKLOG)
    except OSError as error:
        raise BadRequest(f"{settings.host}:{settings.port} can't be listened on: {error.strerror}") from error
    return made
