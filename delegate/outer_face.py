"""The face to clients: requests in, answers out. What it promises is `openapi.py`, and docs/delegate.md for people.

A request is answered in one step, or, where workers can say by a fingerprint what their inputs are, in two: the first
answers with the address of the result, the second computes it. A result's address is the SHA-256 of request and inputs, so
what stands there never changes, and any HTTP cache in front may keep it.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from delegate import metrics as metrics_module
from delegate.addresses import begin_digest, is_key, result_key
from delegate.exchanges import Exchange, Exchanges, RequestLog
from delegate.guard import Guard, Tokens
from delegate.http_io import (
    ClientGoneError,
    EarlyResponse,
    FileResponse,
    TooSlowError,
    over_or_gone,
    receive_body,
    until_gone,
)
from delegate.messages import ENDINGS, REFUSALS, problem, problem_of
from delegate.metrics import Metrics
from delegate.openapi import document
from delegate.request_queue import Ending, Kind, Refusal
from delegate.settings import Settings
from delegate.spool import SpoolFullError, TooLargeError

_IMMUTABLE = "public, max-age=31536000, immutable"
_DEFAULT_TYPE = "application/octet-stream"
_PING_SECONDS = 15.0
_STEP = 4096


class _Refused(Exception):  # noqa: N818 (control flow: a response that is to be sent)
    """The request gets this response instead of a computation."""

    def __init__(self, response: ASGIApp) -> None:
        super().__init__()
        self.response = response


class _Leaving:
    """A response after which its client no longer waits for the exchange."""

    def __init__(self, exchanges: Exchanges, exchange: Exchange, response: ASGIApp) -> None:
        self._exchanges, self._exchange, self._response = exchanges, exchange, response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._response(scope, receive, send)
        finally:
            self._exchanges.leave(self._exchange)


class OuterFace:
    """The routes."""

    def __init__(self, exchanges: Exchanges, settings: Settings, metrics: Metrics) -> None:
        self._exchanges = exchanges
        self._settings = settings
        self._metrics = metrics

    def app(self, tokens: Tokens) -> ASGIApp:
        """Return the application."""
        routes = [
            Route("/v1/run", self._run, methods=["POST"]),
            Route("/v1/results/{key}", self._result, methods=["GET", "POST"]),
            Route("/v1/requests/{request_id}", self._request, methods=["DELETE", "GET"]),
            Route("/v1/requests/{request_id}/log", self._log, methods=["GET"]),
            Route("/v1/token", self._token, methods=["GET"]),
            Route("/openapi.json", self._openapi, methods=["GET"]),
            Route("/healthz", self._healthz, methods=["GET"]),
            Route("/readyz", self._readyz, methods=["GET"]),
            Route("/metrics", self._read_metrics, methods=["GET"]),
        ]
        app = Starlette(routes=routes, exception_handlers={HTTPException: _not_found})
        app.router.redirect_slashes = False  # it would send clients to the host that they name themselves
        return Guard(app, tokens)

    # what clients ask for

    async def _run(self, request: Request) -> ASGIApp:
        two_steps = self._exchanges.is_served(Kind.FINGERPRINT) or self._exchanges.is_served(Kind.RESULT)
        try:
            if not two_steps:
                return await self._computed(request, Kind.RUN)
            exchange = await self._started(request, Kind.FINGERPRINT)
            await self._ended(request, exchange)
        except _Refused as refused:
            return refused.response
        if exchange.ending is not Ending.ANSWERED:
            return _Leaving(self._exchanges, exchange, self._problem(exchange, request))
        key = result_key(exchange.digest, exchange.fingerprint)
        return _Leaving(self._exchanges, exchange, _moved(request, key))

    async def _result(self, request: Request) -> ASGIApp:
        key = request.path_params["key"]
        if request.method != "POST":
            return problem(404, "not computed", "Only a cache has results by their address alone; send the request by POST.")
        if not is_key(key):
            return EarlyResponse(problem(404, "no such address", "A result's address ends with 64 hexadecimal digits."))
        try:
            return await self._computed(request, Kind.RESULT, key=key)
        except _Refused as refused:
            return refused.response

    async def _request(self, request: Request) -> ASGIApp:
        exchange = self._exchanges.find(request.path_params["request_id"])
        if request.method == "DELETE":
            return self._cancelled(exchange)
        if exchange is None:
            return problem(404, "no such request", "It never was, its answer is no longer kept, or it was cancelled.")
        if exchange.ending is None:
            return self._state(exchange)
        exchange.waiters += 1
        return _Leaving(self._exchanges, exchange, self._response(exchange, request))

    def _cancelled(self, exchange: Exchange | None) -> Response:
        if exchange is None or (exchange.waiters and not exchange.is_detached):
            return problem(404, "no such request", "It never was, its answer is no longer kept, or its client waits for it.")
        self._exchanges.discard(exchange)
        return Response(status_code=204)

    async def _log(self, request: Request) -> Response:
        exchange = self._exchanges.find(request.path_params["request_id"])
        if exchange is None:
            return problem(404, "no such request", "It never was, its answer is no longer kept, or it was cancelled.")
        last = request.headers.get("last-event-id", "0")
        offset = int(last) if last.isascii() and last.isdecimal() and len(last) < 16 else 0
        events = _events(exchange.log, offset, lambda: exchange.ending)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_while_read(events, request.receive), media_type="text/event-stream", headers=headers)

    # what operators ask for

    async def _token(self, request: Request) -> Response:
        del request
        return Response(status_code=204, headers={"Cache-Control": "no-store"})

    async def _openapi(self, request: Request) -> Response:
        del request
        return JSONResponse(document(self._settings))

    async def _healthz(self, request: Request) -> Response:
        del request
        return JSONResponse({"status": "ok"})

    async def _readyz(self, request: Request) -> Response:
        del request
        if self._exchanges.is_ready:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready"}, 503)

    async def _read_metrics(self, request: Request) -> Response:
        del request
        return Response(self._metrics.text(), media_type=metrics_module.CONTENT_TYPE)

    # one computation

    async def _computed(self, request: Request, kind: Kind, *, key: str = "") -> ASGIApp:
        """Compute, and return the answer, or what is to be said instead. Raises _Refused."""
        exchange = await self._started(request, kind, key=key)
        if _wants_no_wait(request.headers.getlist("prefer")):
            state = self._state(exchange)
            self._exchanges.detach(exchange)
            return state
        await self._ended(request, exchange)
        return _Leaving(self._exchanges, exchange, self._response(exchange, request))

    async def _started(self, request: Request, kind: Kind, *, key: str = "") -> Exchange:
        """Take a request: its place first, then its body. Raises _Refused."""
        timeout_seconds = self._timeout(request)
        self._check_length(request)
        admitted = self._exchanges.admit(request.scope["delegate.id"], kind, timeout_seconds=timeout_seconds)
        if isinstance(admitted, Refusal):
            raise _Refused(EarlyResponse(self._refusal(admitted, request)))
        try:
            await self._receive(request, admitted)
        except BaseException:
            self._exchanges.discard(admitted)
            raise
        admitted.key = key
        started = self._exchanges.start(admitted)
        if isinstance(started, Refusal):
            raise _Refused(self._refusal(started, request))
        return started

    async def _receive(self, request: Request, exchange: Exchange) -> None:
        """Read head and body of a request into an exchange. Raises _Refused."""
        exchange.headers = {
            name: ", ".join(request.headers.getlist(name)) for name in self._settings.headers if name in request.headers
        }
        exchange.query = request.scope["query_string"].decode("latin-1")
        digest = begin_digest(exchange.headers, exchange.query)
        try:
            exchange.body = self._exchanges.spool.open(self._settings.body_bytes)
            await receive_body(request.receive, exchange.body, seconds=self._settings.body_seconds, digest=digest)
        except TooLargeError:
            raise _Refused(EarlyResponse(self._too_large())) from None
        except SpoolFullError as error:
            detail = f"There is no room for the request's body: {error}. Try again later."
            headers = {"Retry-After": str(self._settings.retry_seconds)}
            raise _Refused(EarlyResponse(problem(503, "no room", detail, headers=headers))) from error
        except TooSlowError:
            detail = f"The body did not arrive within {self._settings.body_seconds:g} s."
            raise _Refused(problem(408, "too slow", detail, headers={"Connection": "close"})) from None
        exchange.digest = digest.hexdigest()

    async def _ended(self, request: Request, exchange: Exchange) -> None:
        """Wait for the end. Raises ClientGoneError if the client leaves before."""
        if not await over_or_gone(exchange.over, request.receive) or exchange.ending is None:
            self._exchanges.leave(exchange)
            raise ClientGoneError

    def _response(self, exchange: Exchange, request: Request) -> ASGIApp:
        """Return what an exchange that has ended is answered with."""
        if exchange.ending is Ending.MOVED:
            return _moved(request, result_key(exchange.digest, exchange.fingerprint))
        if exchange.ending is not Ending.ANSWERED or exchange.answer is None:
            return self._problem(exchange, request)
        headers = {"content-type": _DEFAULT_TYPE, "cache-control": "no-store"} | dict(exchange.answer_headers)
        if exchange.kind is Kind.RESULT:
            headers |= {"cache-control": _IMMUTABLE, "etag": f'"{exchange.key}"'}
        return FileResponse(exchange.answer, headers, stall_seconds=self._settings.body_seconds)

    # refusals

    def _timeout(self, request: Request) -> float:
        text = request.headers.get("delegate-timeout")
        if text is None:
            return self._settings.deadline_seconds
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not seconds > 0:
            detail = f"Delegate-Timeout is {text!r}; give seconds, such as 30."
            raise _Refused(EarlyResponse(problem(400, "bad timeout", detail)))
        return min(seconds, self._settings.deadline_seconds)

    def _check_length(self, request: Request) -> None:
        length = request.headers.get("content-length", "0")
        if int(length if length.isdecimal() else 0) > self._settings.body_bytes:
            raise _Refused(EarlyResponse(self._too_large()))

    def _too_large(self) -> Response:
        return problem(413, "body too large", f"A request's body may have {self._settings.body_bytes} bytes.")

    def _refusal(self, refusal: Refusal, request: Request) -> Response:
        request_id, seconds = request.scope["delegate.id"], self._settings.retry_seconds
        return problem_of(REFUSALS[refusal], request_id=request_id, retry_seconds=seconds)

    def _problem(self, exchange: Exchange, request: Request) -> Response:
        del request
        kind = ENDINGS[exchange.ending or Ending.DRAINED]
        seconds, message = self._settings.retry_seconds, exchange.message
        response = problem_of(kind, request_id=exchange.request_id, retry_seconds=seconds, message=message)
        if exchange.kind is Kind.RESULT and exchange.ending is Ending.REFUSED:
            response.headers["cache-control"] = _IMMUTABLE  # the same request and inputs are refused again
        return response

    def _state(self, exchange: Exchange) -> Response:
        """Return where a request stands that is computed without a client."""
        state = "waiting" if self._exchanges.queue.is_waiting(exchange.request_id) else "running"
        place = f"/v1/requests/{exchange.request_id}"
        headers = {"Location": place, "Retry-After": str(self._settings.retry_seconds), "Cache-Control": "no-store"}
        return JSONResponse({"request_id": exchange.request_id, "state": state, "log": f"{place}/log"}, 202, headers)


def _moved(request: Request, key: str) -> Response:
    query = request.scope["query_string"].decode("latin-1")
    headers = {"Location": f"/v1/results/{key}{'?' if query else ''}{query}", "Cache-Control": "no-store"}
    return Response(status_code=307, headers=headers)


async def _not_found(request: Request, error: Exception) -> Response:
    """Answer what has no route. Nothing is kept of a body that comes with it."""
    del request
    assert isinstance(error, HTTPException)
    text = {404: "There is no such address; /openapi.json has all of them.", 405: "This address takes another method."}
    return problem(error.status_code, error.detail.lower(), text.get(error.status_code, error.detail), headers=error.headers)


async def _events(log: RequestLog, offset: int, ending: Any) -> AsyncIterator[bytes]:
    """Yield a log as server-sent events: its lines, each with its end as the id, then how the request ended."""
    while True:
        start, data = log.read(offset)
        if start > offset:
            yield b"event: dropped\ndata: %d bytes\n\n" % (start - offset)
        offset = start
        cut = len(data) if log.is_over else data.rfind(b"\n") + 1
        if not cut and len(data) > _STEP:
            cut = len(data)
        for line in data[:cut].splitlines(keepends=True):
            offset += len(line)
            text = line.decode("utf-8", "replace").replace("\r", "").removesuffix("\n")
            yield f"id: {offset}\nevent: log\ndata: {text}\n\n".encode()
        if log.is_over and offset >= log.end:
            how = ending()
            yield f"event: end\ndata: {json.dumps({'ending': how.name.lower() if how else 'cancelled'})}\n\n".encode()
            return
        try:
            await asyncio.wait_for(log.wait(), _PING_SECONDS)
        except TimeoutError:
            yield b": still running\n\n"


async def _while_read(events: AsyncIterator[bytes], receive: Receive) -> AsyncIterator[bytes]:
    """Yield events until the client leaves."""
    gone = asyncio.ensure_future(until_gone(receive))
    try:
        while not gone.done():
            following = asyncio.ensure_future(anext(events))
            await asyncio.wait({gone, following}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                following.cancel()
                return
            try:
                yield following.result()
            except StopAsyncIteration:
                return
    finally:
        gone.cancel()


def _wants_no_wait(prefer: list[str]) -> bool:
    """Return whether one of a request's preferences is respond-async (RFC 7240)."""
    preferences = ",".join(prefer).split(",")
    return any(each.partition(";")[0].strip().lower() == "respond-async" for each in preferences)
