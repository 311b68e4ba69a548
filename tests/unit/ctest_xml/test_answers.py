import pytest

from ctest_xml.answers import Answer, Delivery, read_answer, read_failure

TAKEN = b"<cdash version='5.3'><status>OK</status><message> </message><buildId>4711</buildId></cdash>"
REFUSED = b"<cdash><status>ERROR</status><message>bad</message></cdash>"
NOT_SENT, REFUSED_FILE, UNKNOWN = Delivery.NOT_SENT, Delivery.REFUSED, Delivery.UNKNOWN


def test_the_answer_of_cdash_gives_the_build() -> None:
    assert read_answer(200, TAKEN) == Answer(delivery=Delivery.SENT, build_id="4711")


def test_a_refusal_of_cdash_gives_its_reason() -> None:
    assert read_answer(200, REFUSED) == Answer(delivery=REFUSED_FILE, reason="bad")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>welcome</html>",
        b"<cdash><status>MAYBE</status></cdash>",
        b"<cdash><status>OK</status>",
        b"<other><status>OK</status></other>",
        b"<cdash><a><status>OK</status></a></cdash>",
        b"<!DOCTYPE cdash [<!ENTITY ok 'OK'>]><cdash><status>&ok;</status></cdash>",
        b'<?xml version="1.0" encoding="nope"?>' + TAKEN,
        b'<?xml version="1.0" encoding="utf-7"?>' + TAKEN,
    ],
)
def test_200_without_the_answer_of_cdash_proves_nothing(body: bytes) -> None:
    assert read_answer(200, body).delivery is UNKNOWN


@pytest.mark.parametrize(
    ("status", "delivery", "may_retry", "applies_to_all"),
    [
        (400, REFUSED_FILE, False, False),
        (401, NOT_SENT, False, True),
        (403, NOT_SENT, False, True),
        (404, NOT_SENT, False, True),
        (408, NOT_SENT, True, False),
        (413, REFUSED_FILE, False, False),
        (418, REFUSED_FILE, False, False),
        (429, NOT_SENT, True, False),
        (500, UNKNOWN, False, False),
        (502, NOT_SENT, True, False),
        (503, NOT_SENT, True, False),
        (504, UNKNOWN, False, False),
        (307, NOT_SENT, False, True),
    ],
)
def test_a_status_says_whether_the_file_was_taken(
    status: int, delivery: Delivery, *, may_retry: bool, applies_to_all: bool
) -> None:
    answer = read_answer(status, b"words\x00of the\nserver")
    assert (answer.delivery, answer.may_retry, answer.applies_to_all) == (delivery, may_retry, applies_to_all)
    assert answer.reason


def test_the_words_of_a_server_are_quoted_on_one_short_line() -> None:
    reason = read_answer(500, b"<h1>Oops\x1b[31m</h1>\n" + b"x" * 5000).reason
    assert reason.startswith("HTTP 500: ")
    assert len(reason) < 400
    assert "\n" not in reason
    assert "\x1b" not in reason


def test_a_redirect_names_the_address() -> None:
    assert "https://b/login" in read_answer(302, b"", location="https://b/login").reason
    assert "nowhere" in read_answer(302, b"").reason


@pytest.mark.parametrize(
    ("handed_over", "is_tls", "delivery", "may_retry", "applies_to_all"),
    [
        (0, False, NOT_SENT, True, False),
        (0, True, NOT_SENT, False, True),
        (50, False, NOT_SENT, True, False),
        (50, True, NOT_SENT, True, False),
        (100, False, UNKNOWN, False, False),
        (100, True, UNKNOWN, False, False),
    ],
)
def test_a_file_that_did_not_go_out_whole_was_not_taken(
    handed_over: int, delivery: Delivery, *, is_tls: bool, may_retry: bool, applies_to_all: bool
) -> None:
    answer = read_failure(OSError("broken"), handed_over=handed_over, size=100, is_tls=is_tls)
    assert (answer.delivery, answer.may_retry, answer.applies_to_all) == (delivery, may_retry, applies_to_all)
    assert "OSError: broken" in answer.reason


def test_the_cause_at_the_bottom_is_named() -> None:
    outer = RuntimeError("retries exceeded")
    outer.__context__ = ConnectionRefusedError(111, "Connection refused")
    reason = read_failure(outer, handed_over=0, size=1, is_tls=False).reason
    assert reason == "ConnectionRefusedError: [Errno 111] Connection refused"
