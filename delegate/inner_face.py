"""The face to workers, on a Unix socket: docs/reference/delegate-protocol.md, which is what they may rely on.

A worker asks for work (`next`), which waits here until there is some. It keeps an attempt alive by heartbeats, which are
held open: so a cancellation arrives at once, and the end of a worker is seen at once.
"""

import asyncio
import contextlib
from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from delegate.exchanges import Exchange, Exchanges
from delegate.http_io import ClientGoneError, EarlyResponse, TooSlowError, receive_body, receive_text, send_file, until_gone
from delegate.messages import problem
from delegate.request_queue import Failure, HandOut, Kind, Standing
from delegate.settings import Settings
from delegate.spool import SpooledFile, SpoolFullError, TooLargeError

PROTOCOL = 2
"""The version that this gateway speaks. It serves workers of the version before, and newer ones that can go back to it."""
_KINDS_OF_VERSION_1 = frozenset({Kind.RUN})
_MESSAGE_BYTES = 1 << 16
_FINGERPRINT_BYTES = 1024
_FOREIGN_HEADERS = 32
_FOREIGN_BYTES = 8192
_OURS = frozenset(
    {"connection", "content-length", "date", "keep-alive", "server", "set-cookie", "te", "trailer", "transfer-encoding"}
    | {"upgrade", "cache-control", "etag", "expires", "vary", "location", "retry-after", "content-encoding", "age"}
)
"""Headers that a command does not decide on."""
_STANDINGS = {
    Standing.STALE: (409, "another attempt", "This request was given to another worker since, or has an answer."),
    Standing.OVER: (410, "over", "Nothing waits for this request any more: stop computing it."),
}


class InnerFace:
    """The routes."""

    def __init__(self, exchanges: Exchanges, settings: Settings) -> None:
        self._exchanges = exchanges
        self._settings = settings

    def app(self) -> ASGIApp:
        """Return the application."""
        attempt = "/v1/requests/{request_id}/{attempt:int}"
        app = Starlette(
            routes=[
                Route("/v1/next", self._next, methods=["POST"]),
                Route(f"{attempt}/heartbeat", self._heartbeat, methods=["POST"]),
                Route(f"{attempt}/response", self._response, methods=["POST"]),
                Route(f"{attempt}/error", self._error, methods=["POST"]),
                Route(f"{attempt}/log", self._log, methods=["POST"]),
            ]
        )

        async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
            # a worker that is gone, or too slow, gets no answer; its lease decides on the rest
            with contextlib.suppress(ClientGoneError, TooSlowError):
                await app(scope, receive, send)

        return quiet

    async def _next(self, request: Request) -> ASGIApp:
        version, worker = request.headers.get("delegate-protocol", "1"), request.headers.get("delegate-worker", "")
        if not version.isdecimal() or int(version) < PROTOCOL - 1:
            detail = f"This gateway speaks version {PROTOCOL} and serves version {PROTOCOL - 1}; update the worker."
            return problem(426, "protocol too old", detail, headers=_SPOKEN)
        kinds = _kinds(request.headers.get("delegate-kinds", "run")) if int(version) >= PROTOCOL else _KINDS_OF_VERSION_1
        if not kinds or not 0 < len(worker) <= 200:
            detail = "Delegate-Worker names the worker (200 characters), Delegate-Kinds some of run, result, fingerprint."
            return problem(400, "bad question", detail, headers=_SPOKEN)
        await receive_text(request.receive, most_bytes=0, seconds=self._settings.body_seconds)
        is_last = request.headers.get("delegate-ending", "") == "yes"
        seconds = min(self._settings.hold_seconds, _seconds(request.headers.get("delegate-hold", "")))
        asking = asyncio.ensure_future(self._exchanges.next(worker, kinds, seconds=seconds, is_last=is_last))
        gone = asyncio.ensure_future(until_gone(request.receive))
        try:
            await asyncio.wait({asking, gone}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                await self._give_up(asking)
                raise ClientGoneError
            taken = asking.result()
        finally:
            asking.cancel()
            gone.cancel()
        if taken is None:
            return Response(status_code=204, headers=_SPOKEN)
        exchange = self._exchanges.current(taken.request_id, taken.attempt)
        return _Work(taken, exchange, stall_seconds=self._settings.body_seconds)

    async def _give_up(self, asking: "asyncio.Future[HandOut | None]") -> None:
        """End a question whose worker is gone; what it was given at the same instant waits again."""
        asking.cancel()
        await asyncio.wait({asking})
        if not asking.cancelled() and (taken := asking.result()):
            self._exchanges.hand_back(taken)

    async def _heartbeat(self, request: Request) -> Response:
        request_id, attempt = request.path_params["request_id"], request.path_params["attempt"]
        await receive_text(request.receive, most_bytes=0, seconds=self._settings.body_seconds)
        beating = asyncio.ensure_future(self._exchanges.beat(request_id, attempt, seconds=self._settings.hold_seconds))
        gone = asyncio.ensure_future(until_gone(request.receive))
        try:
            await asyncio.wait({beating, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not beating.done():
                self._exchanges.lose_contact(request_id, attempt)
                raise ClientGoneError
            return _said(beating.result())
        finally:
            beating.cancel()
            gone.cancel()

    async def _response(self, request: Request) -> ASGIApp:
        attempt = request.path_params["attempt"]
        exchange = self._current(request)
        if isinstance(exchange, Response):
            return EarlyResponse(exchange)
        if (standing := self._exchanges.queue.begin_answer(exchange.request_id, attempt)) is not Standing.CURRENT:
            return EarlyResponse(_said(standing))
        if exchange.kind is Kind.FINGERPRINT:
            return await self._fingerprint(request, exchange)
        exchange.fingerprint = request.headers.get("delegate-fingerprint", "")
        file = None
        try:
            file = self._exchanges.spool.open(self._settings.answer_bytes)
            await receive_body(request.receive, file, seconds=self._settings.deadline_seconds)
            standing = self._exchanges.answer(exchange, attempt, file, _answer_headers(request.headers))
        except (TooLargeError, SpoolFullError, TooSlowError, ClientGoneError) as error:
            return self._broken_answer(exchange, attempt, error)
        finally:
            if file is not None and exchange.answer is not file:
                file.close()
        return _said(standing)

    def _broken_answer(self, exchange: Exchange, attempt: int, error: Exception) -> ASGIApp:
        """End an attempt whose answer can't be taken; return the answer to its worker."""
        if isinstance(error, TooLargeError):
            exchange.message = f"The answer is larger than {self._settings.answer_bytes} bytes."
            self._exchanges.fail(exchange, attempt, Failure.UNRUNNABLE)
            return EarlyResponse(problem(413, "answer too large", exchange.message))
        if isinstance(error, SpoolFullError):
            exchange.message = f"There is no room for the answer: {error}. Try again later."
            self._exchanges.fail(exchange, attempt, Failure.UNAVAILABLE)
            return EarlyResponse(problem(503, "no room", exchange.message))
        self._exchanges.fail(exchange, attempt, Failure.CRASHED)
        raise ClientGoneError from error

    async def _fingerprint(self, request: Request, exchange: Exchange) -> Response:
        attempt = request.path_params["attempt"]
        text = await receive_text(request.receive, most_bytes=_FINGERPRINT_BYTES + 1, seconds=self._settings.body_seconds)
        text = text.strip()
        if not 0 < len(text.encode()) <= _FINGERPRINT_BYTES or not text.isprintable():
            exchange.message = f"The fingerprint command printed no single line of 1 to {_FINGERPRINT_BYTES} bytes."
            return _said(self._exchanges.fail(exchange, attempt, Failure.UNRUNNABLE))
        exchange.fingerprint = text
        return _said(self._exchanges.answer(exchange, attempt, self._exchanges.spool.open(1), {}))

    async def _error(self, request: Request) -> ASGIApp:
        exchange = self._current(request)
        if isinstance(exchange, Response):
            return EarlyResponse(exchange)
        try:
            failure = Failure(request.headers.get("delegate-failure", ""))
        except ValueError:
            known = ", ".join(Failure)
            return EarlyResponse(problem(400, "bad failure", f"Delegate-Failure is one of {known}."))
        message = await receive_text(request.receive, most_bytes=_MESSAGE_BYTES, seconds=self._settings.body_seconds)
        exchange.message = message.strip()
        exchange.fingerprint = request.headers.get("delegate-fingerprint", "")
        return _said(self._exchanges.fail(exchange, request.path_params["attempt"], failure))

    async def _log(self, request: Request) -> ASGIApp:
        exchange = self._current(request)
        if isinstance(exchange, Response):
            return EarlyResponse(exchange)
        text = await receive_text(request.receive, most_bytes=_MESSAGE_BYTES, seconds=self._settings.body_seconds)
        exchange.log.append(text.encode())
        return _said(Standing.CURRENT)

    def _current(self, request: Request) -> Exchange | Response:
        found = self._exchanges.current(request.path_params["request_id"], request.path_params["attempt"])
        return found if isinstance(found, Exchange) else _said(found)


class _Work:
    """A request on its way to a worker."""

    def __init__(self, taken: HandOut, exchange: Exchange | Standing, *, stall_seconds: float) -> None:
        assert isinstance(exchange, Exchange)
        self._stall_seconds = stall_seconds
        self._file: SpooledFile | None = exchange.body
        headers = {
            **_SPOKEN,
            "delegate-request-id": taken.request_id,
            "delegate-attempt": str(taken.attempt),
            "delegate-kind": exchange.kind.value,
            "delegate-deadline": f"{taken.seconds_left:.3f}",
            "delegate-query": exchange.query,
            "delegate-digest": exchange.digest,
            "content-length": str(exchange.body.size if exchange.body else 0),
            "content-type": "application/octet-stream",
        }
        headers |= {"delegate-key": exchange.key} if exchange.key else {}
        headers |= {f"asked-{name}": value for name, value in exchange.headers.items()}
        self._headers = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        assert self._file is not None
        await send_file(self._file, send, stall_seconds=self._stall_seconds)


_SPOKEN = {"delegate-protocol": str(PROTOCOL)}


def _kinds(text: str) -> frozenset[Kind]:
    """Return the kinds that a worker takes; those of a later version are none of ours."""
    known = {kind.value: kind for kind in Kind}
    return frozenset(known[each.strip()] for each in text.split(",") if each.strip() in known)


def _seconds(text: str) -> float:
    try:
        seconds = float(text) if text else 60.0
    except ValueError:
        return 60.0
    return seconds if seconds >= 0 else 0.0


def _said(standing: Standing) -> Response:
    if standing is Standing.CURRENT:
        return Response(status_code=204)
    return problem(*_STANDINGS[standing])


def _answer_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that a command gives its answer; those that are not its business are dropped."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        own = name.lower().removeprefix("answer-")
        if own != name.lower() and own not in _OURS and not own.startswith(("delegate-", "proxy-", "x-accel-")):
            found[own] = value
    size = sum(len(name) + len(value) for name, value in found.items())
    return found if len(found) <= _FOREIGN_HEADERS and size <= _FOREIGN_BYTES else {}
