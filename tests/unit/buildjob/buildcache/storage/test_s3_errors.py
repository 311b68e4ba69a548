"""What an S3 server's errors mean: by status and code, never by text."""

import pytest

from buildjob.buildcache.storage.s3_errors import ErrorAnswer, classified
from buildjob.errors import Conflict, Denied, NoSuchBucket, NotFound, StoreError, Unavailable, Unsupported


def of(status: int, code: str, message: str = "", *, server: str = "http://s3:9000", region: str = "") -> StoreError:
    return classified(ErrorAnswer(status=status, code=code, message=message, region=region), where="here", server=server)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NoSuchKey", NotFound),
        (404, "404", NotFound),  # the answer to a HEAD
        (404, "", NotFound),
        (404, "NoSuchUpload", NotFound),
        (404, "NoSuchBucket", NoSuchBucket),
        (404, "XAdminUserNotFound", Denied),  # versitygw, of an access key
        (404, "NoSuchTagSet", Denied),
        (412, "PreconditionFailed", Conflict),
        (409, "ConditionalRequestConflict", Unavailable),
        (429, "TooManyRequests", Unavailable),
        (500, "InternalError", Unavailable),
        (501, "NotImplemented", Unsupported),
        (502, "502", Unavailable),
        (503, "SlowDown", Unavailable),
        (504, "", Unavailable),
        (400, "BadDigest", Unavailable),
        (400, "RequestTimeout", Unavailable),
        (400, "IncompleteBody", Unavailable),
        (400, "ThrottlingException", Unavailable),
        (400, "XAmzContentSHA256Mismatch", Unavailable),
        (400, "XAmzContentChecksumMismatch", Unavailable),
        (400, "ExpiredToken", Denied),
        (400, "AuthorizationHeaderMalformed", Denied),
        (400, "400", Denied),
        (302, "302", Denied),
        (403, "AccessDenied", Denied),
        (403, "InvalidAccessKeyId", Denied),
        (403, "RequestTimeTooSkewed", Denied),
        (403, "SignatureDoesNotMatch", Denied),
        (301, "PermanentRedirect", Denied),
        (418, "Teapot", Denied),
    ],
)
def test_each_status_and_code_is_one_kind(status: int, code: str, kind: type[StoreError]) -> None:
    assert type(of(status, code)) is kind


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            of(403, "AccessDenied", "Access Denied"),
            "here: http://s3:9000 answers 403 AccessDenied: Access Denied; these credentials do not",
        ),
        (of(400, "ExpiredToken"), "400 ExpiredToken; the credentials have expired"),
        (
            of(404, "XAdminUserNotFound", "no user"),
            "404 XAdminUserNotFound: no user; the server does not know this access key",
        ),
        (of(403, "Teapot", "short and stout"), "here: http://s3:9000 answers 403 Teapot: short and stout"),
        (of(403, "403", "Forbidden"), "answers 403 Forbidden; the server gives no reason"),
        (of(400, "400"), "that is not an S3 server's answer; is its address https://?"),
        (of(400, "400", server="https://s3"), "the server gives no reason"),
        (of(302, "302"), "302 Found; that is not an S3 server's answer: a proxy or a login page may stand between"),
        (of(301, "PermanentRedirect", region="eu-west-1"), "give --region eu-west-1"),
        (of(503, "503"), "here: http://s3:9000 answers 503 Service Unavailable"),
        (of(599, "599"), "599 an unknown status"),
        (of(403, "Odd", "two\nlines \x1b[31m" + "x" * 500), "403 Odd: two lines  [31mxxx"),
    ],
)
def test_the_message_names_the_server_and_what_to_do(error: StoreError, text: str) -> None:
    assert text in str(error)
    assert len(str(error)) < 400
    assert str(error).isprintable()


def test_the_text_of_a_message_decides_nothing() -> None:
    assert type(of(403, "AccessDenied", "404 NoSuchKey SlowDown")) is Denied


def test_a_busy_server_has_a_short_reason() -> None:
    busy = of(503, "SlowDown", "reduce your request rate")
    assert isinstance(busy, Unavailable)
    assert busy.reason == "503 SlowDown"
