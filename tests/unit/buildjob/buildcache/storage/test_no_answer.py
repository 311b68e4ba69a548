"""Why a server did not answer: from the errors behind the one that was raised, never from their text."""

import http.client
import socket
import ssl
from typing import Any

import pytest

from buildjob.buildcache.storage.no_answer import why


class ProxyConnectionError(Exception):
    """By its name, as botocore's."""


class ReadTimeoutError(Exception):
    """By its name, as urllib3's, which is not one of the operating system."""


class WrappingError(Exception):
    """Keeps the cause in its arguments, as botocore's errors do."""

    def __init__(self, error: BaseException) -> None:
        super().__init__("http://user:secret@host/bucket")
        self.kwargs = {"error": error}


def tls(kind: type[ssl.SSLError], reason: str) -> ssl.SSLError:
    error = kind(1, reason)
    error.reason = reason
    if isinstance(error, ssl.SSLCertVerificationError):
        error.verify_message = "self-signed certificate"
    return error


def caused(error: BaseException, by: BaseException) -> BaseException:
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    ("error", "text", "is_final"),
    [
        (WrappingError(ConnectionRefusedError(111, "Connection refused")), "it refused the connection", False),
        (caused(WrappingError(ValueError()), ConnectionResetError()), "it ended the connection", False),
        (WrappingError(http.client.RemoteDisconnected("closed")), "it ended the connection", False),
        (WrappingError(http.client.BadStatusLine("x")), "it ended the connection", False),
        (WrappingError(TimeoutError()), "it did not answer in time", False),
        (ReadTimeoutError(), "it did not answer in time", False),
        (WrappingError(socket.gaierror(socket.EAI_NONAME, "x")), "its name is not known", True),
        (WrappingError(socket.gaierror(socket.EAI_AGAIN, "x")), "its name could not be looked up", False),
        (WrappingError(OSError(113, "No route to host")), "no route to host", False),
        (WrappingError(tls(ssl.SSLCertVerificationError, "CERTIFICATE_VERIFY_FAILED")), "self-signed certificate", True),
        (WrappingError(tls(ssl.SSLError, "WRONG_VERSION_NUMBER")), "is its address http://?", True),
        (WrappingError(tls(ssl.SSLError, "UNEXPECTED_EOF_WHILE_READING")), "it ended the connection", False),
        (ProxyConnectionError(ConnectionRefusedError()), "the proxy: it refused the connection", False),
        (WrappingError(ValueError("secret")), "the connection failed", False),
    ],
)
def test_the_innermost_error_says_it(error: Any, text: str, *, is_final: bool) -> None:
    found = why(error)
    assert text in found.text
    assert found.is_final == is_final
    assert "secret" not in found.text


def test_errors_in_a_circle_end() -> None:
    one, two = WrappingError(ValueError()), WrappingError(ValueError())
    one.__cause__, two.__cause__ = two, one
    assert why(one).text == "the connection failed"
