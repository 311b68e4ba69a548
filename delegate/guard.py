"""Before every request of the outer face: its id, its token, and afterwards its line in the access log.

Plain ASGI: Starlette's `BaseHTTPMiddleware` hides from what it wraps that the client has left.
"""

import hashlib
import hmac
import json
import logging
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from delegate.errors import BadRequest
from delegate.http_io import ClientGoneError, EarlyResponse
from delegate.messages import problem

access = logging.getLogger("delegate.access")
_GONE = 499


class Tokens:
    """The bearer tokens of a file, read again when it changes."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._digests: list[bytes] = []
        self._read()

    def accept(self, header: str) -> bool:
        """Return whether an Authorization header has one of the tokens; the time does not depend on which or how far."""
        if not self._path:
            return True
        self._read()
        scheme, _, token = header.partition(" ")
        given = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        found = [hmac.compare_digest(given, each) for each in self._digests]
        return scheme.lower() == "bearer" and any(found)

    def _read(self) -> None:
        """Read the file if it has changed. One that is gone or empty for a moment leaves the last tokens in use.

        Raises BadRequest if there never was a token.
        """
        if not self._path:
            return
        try:
            status = Path(self._path).stat()
            stamp = status.st_ino, status.st_mtime_ns, status.st_size
            if stamp == self._stamp:
                return
            lines = Path(self._path).read_text("utf-8", "surrogateescape").split()
        except OSError as error:
            if self._digests:
                return
            raise BadRequest(f"the token file {self._path} can't be read: {error.strerror}") from error
        if lines:
            self._digests = [hashlib.sha256(line.encode("utf-8", "surrogateescape")).digest() for line in lines]
            self._stamp = stamp
        elif not self._digests:
            raise BadRequest(f"the token file {self._path} is empty; write a long random text into it")


class Guard:
    """The outermost layer of the outer face."""

    def __init__(self, app: ASGIApp, tokens: Tokens, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._tokens = tokens
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass that has a token or needs none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["delegate.id"] = request_id = uuid.uuid4().hex
        line: dict[str, Any] = {"status": _GONE, "bytes": 0}
        began_at = self._clock()

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                line["status"] = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"delegate-request-id", request_id.encode())]
            else:
                line["bytes"] += len(message.get("body", b""))
            await send(message)

        try:
            if not scope["path"].startswith("/v1/") or self._tokens.accept(Headers(scope=scope).get("authorization", "")):
                await self._app(scope, receive, send_and_note)
            else:
                detail = "Send a token of this service: Authorization: Bearer TOKEN."
                headers = {"WWW-Authenticate": "Bearer"}
                await EarlyResponse(problem(401, "no valid token", detail, headers=headers))(scope, receive, send_and_note)
        except ClientGoneError:
            line["status"] = _GONE
        finally:
            client = scope.get("client")
            access.info(
                "request",
                extra={
                    "facts": {
                        "request_id": request_id,
                        "client": client[0] if client else "",
                        "method": scope["method"],
                        "path": scope["path"],
                        "seconds": round(self._clock() - began_at, 4),
                        **line,
                    }
                },
            )


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {"time": round(record.created, 3), "level": record.levelname.lower(), "message": record.getMessage()}
        line |= getattr(record, "facts", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_to_stderr() -> None:
    """Let this part's loggers, and uvicorn's, write JSON lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (("delegate", logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
