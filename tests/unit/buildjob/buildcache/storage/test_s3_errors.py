"""What an S3 server's errors mean: by status and code, never by text."""

import pytest

from buildjob.buildcache.storage.s3_errors import classified
from buildjob.errors import Conflict, NotFound, StoreError, Unavailable, Unsupported


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NoSuchKey", NotFound),
        (404, "", NotFound),
        (404, "NoSuchBucket", StoreError),
        (412, "PreconditionFailed", Conflict),
        (409, "ConditionalRequestConflict", Unavailable),
        (429, "TooManyRequests", Unavailable),
        (500, "InternalError", Unavailable),
        (501, "NotImplemented", Unsupported),
        (502, "", Unavailable),
        (503, "SlowDown", Unavailable),
        (504, "", Unavailable),
        (400, "BadDigest", Unavailable),
        (400, "RequestTimeout", Unavailable),
        (400, "IncompleteBody", Unavailable),
        (400, "XAmzContentSHA256Mismatch", Unavailable),
        (400, "XAmzContentChecksumMismatch", Unavailable),
        (403, "AccessDenied", StoreError),
        (301, "PermanentRedirect", StoreError),
        (418, "Teapot", StoreError),
    ],
)
def test_each_status_and_code_is_one_kind(status: int, code: str, kind: type[StoreError]) -> None:
    assert type(classified(status, code, "", where="here")) is kind


@pytest.mark.parametrize(
    ("code", "message", "text"),
    [
        (
            "AccessDenied",
            "Access Denied",
            "here: the server answers 403 AccessDenied: Access Denied; these credentials do not",
        ),
        ("ExpiredToken", "", "ExpiredToken: ExpiredToken; the credentials have expired"),
        ("Teapot", "short and stout", "here: the server answers 403 Teapot: short and stout"),
        ("", "", "here: the server answers 403 : no reason given"),
    ],
)
def test_the_message_has_the_servers_own_and_what_to_do(code: str, message: str, text: str) -> None:
    assert text in str(classified(403, code, message, where="here"))


def test_the_text_of_a_message_decides_nothing() -> None:
    assert type(classified(403, "AccessDenied", "404 NoSuchKey SlowDown", where="here")) is StoreError
