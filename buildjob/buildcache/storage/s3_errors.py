"""What an S3 server's errors mean, by status and code, never by their text.

Pure. Source: Amazon S3 API Reference, "Error responses"; the codes that versitygw, MinIO and Ceph use in their place.
"""

import http
import re

import msgspec

from buildjob.errors import Conflict, Denied, NoSuchBucket, NotFound, StoreError, Unavailable, Unsupported

# Status -> meaning; any other status is final. 409 is two conditional writes at the same instant.
_BY_STATUS: dict[int, type[StoreError]] = {
    409: Unavailable,
    412: Conflict,
    429: Unavailable,
    500: Unavailable,
    501: Unsupported,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
# Codes that say more than their status.
_BY_CODE: dict[str, type[StoreError]] = {
    "BadDigest": Unavailable,  # the content arrived damaged
    "IncompleteBody": Unavailable,
    "InternalError": Unavailable,
    "RequestLimitExceeded": Unavailable,
    "RequestTimeout": Unavailable,
    "ServiceUnavailable": Unavailable,
    "SlowDown": Unavailable,
    "Throttling": Unavailable,
    "ThrottlingException": Unavailable,
    "XAmzContentChecksumMismatch": Unavailable,
    "XAmzContentSHA256Mismatch": Unavailable,
    "NoSuchBucket": NoSuchBucket,
}
_ABSENT = frozenset({"NoSuchKey", "NoSuchUpload", "NoSuchVersion", "NotFound", "404", ""})
"""Codes of a 404 that says that an object is missing. Any other one, as of an unknown access key, says something else.

The last three are those of an answer without a body, to a HEAD.
"""
_UNKNOWN_KEY = "the server does not know this access key"
_EXPIRED = "the credentials have expired; get new ones and run it again: it continues"
_REGION = "the bucket is in another region: give --region"
_ADVICE: dict[str, str] = {
    "AccessDenied": "these credentials do not allow it; see the policy in docs/publish.md",
    "AuthorizationHeaderMalformed": _REGION,
    "ExpiredToken": _EXPIRED,
    "IllegalLocationConstraintException": _REGION,
    "InvalidAccessKeyId": _UNKNOWN_KEY,
    "InvalidToken": "the session token is not one of this server's",
    "NoSuchBucket": "check its name, or make the bucket first: spack-farm makes none",
    "PermanentRedirect": _REGION,
    "RequestTimeTooSkewed": "this machine's clock is wrong",
    "SignatureDoesNotMatch": "the secret key is wrong, or a proxy changes requests",
    "TokenRefreshRequired": _EXPIRED,
    "XAdminUserNotFound": _UNKNOWN_KEY,
}
_LONGEST_MESSAGE = 200


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A server's answer that is an error."""

    status: int
    code: str
    """The server's own; digits stand for an answer that is not S3's, or that has no body."""
    message: str = ""
    region: str = ""
    """The one that the server names."""


def classified(answer: ErrorAnswer, *, where: str, server: str = "") -> StoreError:
    """Return the exception for a server's error; `server` is its address."""
    status, code, message, region = answer.status, answer.code, answer.message, answer.region
    is_s3s = bool(code) and not code.isdigit()
    kind = _kind(status, code)
    reason = f"{status} {code if is_s3s else _phrase(status)}"
    text = _printable(message).rstrip(".") if is_s3s and message != code else ""
    if is_s3s and code in _ADVICE:
        advice = f"; {_ADVICE[code]}{f' {region}' if region and _ADVICE[code] is _REGION else ''}"
    else:
        advice = "" if is_s3s or kind is not Denied else f"; {_foreign(status, server)}"
    full = f"{where}: {server or 'the server'} answers {reason}{f': {text}' if text else ''}{advice}"
    return Unavailable(full, reason=reason) if kind is Unavailable else kind(full)


def _kind(status: int, code: str) -> type[StoreError]:
    if code in _BY_CODE:
        return _BY_CODE[code]
    if status == http.HTTPStatus.NOT_FOUND:
        return NotFound if code in _ABSENT else Denied
    return _BY_STATUS.get(status, Denied)


def _phrase(status: int) -> str:
    return http.HTTPStatus(status).phrase if status in set(http.HTTPStatus) else "an unknown status"


def _foreign(status: int, server: str) -> str:
    """Return what an answer may mean that is not S3's."""
    if status == http.HTTPStatus.BAD_REQUEST and server.startswith("http://"):
        return "that is not an S3 server's answer; is its address https://?"
    if http.HTTPStatus.MULTIPLE_CHOICES <= status < http.HTTPStatus.BAD_REQUEST:
        return "that is not an S3 server's answer: a proxy or a login page may stand between, or the region is another one"
    return "the server gives no reason"


def _printable(message: str) -> str:
    """Return a server's message, short and on one line."""
    return re.sub(r"[^\x20-\x7e]+", " ", message).strip()[:_LONGEST_MESSAGE]
