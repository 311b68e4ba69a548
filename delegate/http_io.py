"""Bodies in and out over raw ASGI: streamed to and from files, bounded in size and time, aware of clients that leave."""

import asyncio
import contextlib
import hashlib

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from delegate.spool import SpooledFile

_SPARE_BYTES = 1 << 20
_SPARE_SECONDS = 2.0


class ClientGoneError(Exception):
    """The other side closed its connection, or takes nothing any more."""


class TooSlowError(Exception):
    """A body did not arrive in time."""


async def receive_body(
    receive: Receive, into: SpooledFile, *, seconds: float, digest: "hashlib._Hash | None" = None
) -> None:
    """Append a body to a file, and its bytes to a digest.

    Raises ClientGoneError, TooSlowError, and the errors of `SpooledFile.append`.
    """
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                data: bytes = message.get("body", b"")
                if data:
                    into.append(data)
                    if digest:
                        digest.update(data)
                if not message.get("more_body", False):
                    return
    except TimeoutError as error:
        raise TooSlowError from error


async def receive_text(receive: Receive, *, most_bytes: int, seconds: float) -> str:
    """Return the first bytes of a body as text; the rest is read and dropped. Raises as `receive_body`."""
    kept = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                kept += message.get("body", b"")[: most_bytes - len(kept)]
                if not message.get("more_body", False):
                    return kept.decode("utf-8", "replace")
    except TimeoutError as error:
        raise TooSlowError from error


async def until_gone(receive: Receive) -> None:
    """Return when the client has closed its connection. Its body has been read before."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def over_or_gone(over: asyncio.Event, receive: Receive) -> bool:
    """Wait for an event or for the client to leave; return whether the event happened."""
    waits = {asyncio.ensure_future(over.wait()), asyncio.ensure_future(until_gone(receive))}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()
    return over.is_set()


class FileResponse:
    """A file as an answer. Starlette's own reads files in threads, which costs more than the reading."""

    def __init__(self, file: SpooledFile, headers: dict[str, str], *, stall_seconds: float, status: int = 200) -> None:
        self._file = file
        self._stall_seconds = stall_seconds
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        self._start = {"type": "http.response.start", "status": status}
        self._start["headers"] = [*raw, (b"content-length", b"%d" % file.size)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. Raises ClientGoneError if the client takes nothing for too long."""
        del receive
        await send(self._start)
        if scope.get("method") == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        await send_file(self._file, send, stall_seconds=self._stall_seconds)


async def send_file(file: SpooledFile, send: Send, *, stall_seconds: float) -> None:
    """Send a file as a body. Raises ClientGoneError if the other side takes nothing for too long."""
    left = file.size
    for data in file.chunks():
        left -= len(data)
        # the last bytes say that they are: a small answer is one message
        await _sent(send, {"type": "http.response.body", "body": data, "more_body": left > 0}, stall_seconds)
    if not file.size:
        await send({"type": "http.response.body", "body": b""})


class EarlyResponse:
    """An answer to a request whose body has not been read.

    A server that closes a connection with unread bytes resets it, and the client may lose the answer. So what still comes
    is read for a moment, and dropped, after the answer is out.
    """

    def __init__(self, response: Response) -> None:
        self._response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, then read the rest of the body."""
        del scope
        await send(
            {"type": "http.response.start", "status": self._response.status_code, "headers": self._response.raw_headers}
        )
        await send({"type": "http.response.body", "body": self._response.body, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SPARE_SECONDS):
                await _drop(receive)
        await send({"type": "http.response.body", "body": b""})


async def _drop(receive: Receive) -> None:
    dropped = 0
    while dropped < _SPARE_BYTES:
        message = await receive()
        dropped += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return


async def _sent(send: Send, message: dict[str, object], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await send(message)
    except TimeoutError as error:
        raise ClientGoneError from error
