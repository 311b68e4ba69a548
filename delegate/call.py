"""Sends one request to a gateway, through whatever stands in front of it, and returns the answer.

Follows 307 to a result's address with the same body, and tries again after 429 and 503 until its time is up.
"""

import email.utils
import http.client
import json
import os
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO
from urllib.parse import SplitResult, urljoin, urlsplit

from delegate.errors import BadRequest, DelegateError, Failed, Refused, TimedOut, Unavailable

_CHUNK = 1 << 16
_MOST_MOVES = 10
_RETRIED = {429, 503}
_SPARE_SECONDS = 5.0
_LATER_STATUSES = {502: Failed, 504: TimedOut, 422: Refused, 429: Unavailable, 503: Unavailable}


def call(  # noqa: PLR0913 (what the command line has)
    url: str, body: BinaryIO, *, output: str, headers: Mapping[str, str], token_file: str, timeout_seconds: float
) -> None:
    """Send a request; write the answer to a file, or to standard output if it is empty. Raises a DelegateError."""
    until = time.monotonic() + timeout_seconds
    sent = dict(headers) | _authorization(token_file)
    address, moves = _checked(url), 0
    with tempfile.TemporaryFile() as kept:
        # an answer may be asked for more than once, and standard input can be read only once
        while data := body.read(_CHUNK):
            kept.write(data)
        while True:
            left = until - time.monotonic()
            if left <= 0:
                raise TimedOut(f"{url} gave no answer within {timeout_seconds:g} s")
            with _asked(address, kept, sent | {"Delegate-Timeout": f"{left:.3f}"}, left) as answer:
                if answer.status == 200:
                    _write(answer, output)
                    return
                if answer.status in {307, 308}:
                    moves += 1
                    address = _moved(address, answer, moves)
                    sent = sent if address.netloc == urlsplit(url).netloc else dict(headers)
                    continue
                text = _beginning(answer, url)
                wait = _retry_after(answer)
                if answer.status not in _RETRIED or wait > until - time.monotonic():
                    raise _error(answer.status, text, url)
            time.sleep(wait)


@contextmanager
def _asked(
    address: SplitResult, body: BinaryIO, headers: Mapping[str, str], seconds: float
) -> Iterator[http.client.HTTPResponse]:
    """Send a request and yield the answer's head. Raises Unavailable, TimedOut."""
    body.seek(0, os.SEEK_END)
    length = body.tell()
    body.seek(0)
    seconds += _SPARE_SECONDS  # the gateway's own word on the deadline comes first
    connection: http.client.HTTPConnection
    if address.scheme == "https":
        connection = http.client.HTTPSConnection(address.netloc, timeout=seconds, context=ssl.create_default_context())
    else:
        connection = http.client.HTTPConnection(address.netloc, timeout=seconds)
    target = (address.path or "/") + (f"?{address.query}" if address.query else "")
    try:
        try:
            connection.request("POST", target, body, dict(headers) | {"Content-Length": str(length)})
            answer = connection.getresponse()
        except TimeoutError as error:
            raise TimedOut(f"{address.geturl()} gave no answer in time") from error
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"{address.geturl()} can't be reached: {str(error) or type(error).__name__}") from error
        yield answer  # what fails from here on may be the output, which is no fault of the gateway
    finally:
        connection.close()


def _beginning(answer: http.client.HTTPResponse, url: str) -> bytes:
    """Return the beginning of an answer that says what is wrong. Raises Unavailable if it is cut off."""
    try:
        return answer.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{url} answers {answer.status}, and its words are cut off; ask again") from error


def _write(answer: http.client.HTTPResponse, output: str) -> None:
    """Write an answer: a file appears whole or not at all. Raises Unavailable if it is cut off."""
    if not output:
        _print(answer)
        return
    path = Path(output)
    try:
        if path.exists() and not path.is_file():
            # a device or a pipe is written to: put in its place, a file would destroy it
            with path.open("wb") as there:
                _copy(answer, there)
            return
        path = path.resolve() if path.is_file() else path  # a link stays one
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                _copy(answer, file)
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink()
                raise
    except OSError as error:
        raise BadRequest(f"{output} can't be written: {error.strerror}") from error


def _print(answer: http.client.HTTPResponse) -> None:
    """Write an answer to standard output. Raises BadRequest, and BrokenPipeError if its reader is gone."""
    try:
        _copy(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # Python flushes once more when it ends, and must not fail then
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise BadRequest(f"standard output can't be written: {error.strerror}") from error


def _copy(answer: http.client.HTTPResponse, to: IO[bytes]) -> None:
    expected, copied = answer.length, 0
    while True:
        try:
            data = answer.read(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"the answer is cut off after {copied} bytes; ask again") from error
        if not data:
            break
        to.write(data)
        copied += len(data)
    if expected is not None and copied < expected:
        raise Unavailable(f"the answer is cut off after {copied} of {expected} bytes; ask again")


def _checked(url: str) -> SplitResult:
    address = SplitResult("", "", "", "", "")
    try:
        address = urlsplit(url)
        is_good = address.scheme in {"http", "https"} and bool(address.hostname) and address.port != 0
        rest = address.path + address.query
        # the rest is sent as it is; a user in front of the host is no part of it
        is_good = is_good and rest.isascii() and rest.isprintable() and " " not in rest and "@" not in address.netloc
    except ValueError:
        is_good = False
    if not is_good:
        raise BadRequest(f"{url} is no address of a gateway; give one such as http://HOST:8080/v1/run")
    return address if address.path not in {"", "/"} else address._replace(path="/v1/run")


def _moved(address: SplitResult, answer: http.client.HTTPResponse, moves: int) -> SplitResult:
    if moves > _MOST_MOVES:
        raise Unavailable(f"the inputs change faster than they can be read: {moves} addresses so far; ask again later")
    location = answer.headers.get("Location", "")
    return _checked(urljoin(address.geturl(), location) if "[" not in location else location)


def _authorization(token_file: str) -> dict[str, str]:
    if not token_file:
        return {}
    try:
        words = Path(token_file).read_text("utf-8").split()
    except OSError as error:
        raise BadRequest(f"the token file {token_file} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadRequest(f"the token file {token_file} can't be read: it is no text") from error
    if not words:
        raise BadRequest(f"the token file {token_file} is empty")
    return {"Authorization": f"Bearer {words[0]}"}


def _retry_after(answer: http.client.HTTPResponse) -> float:
    """Return the seconds after which the server wants to be asked again, at least one."""
    text = answer.headers.get("Retry-After", "1")
    if text.isdecimal():
        return max(1.0, float(text))
    try:
        return max(1.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 1.0


def _error(status: int, text: bytes, url: str) -> DelegateError:
    """Return the error that an answer means, with the server's own words."""
    try:
        detail = str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        detail = text.decode("utf-8", "replace").strip()[:500]
    kind = _LATER_STATUSES.get(status, BadRequest if 400 <= status < 500 else Failed)
    return kind(f"{url} answers {status}: {detail or http.client.responses.get(status, 'no reason given')}")
