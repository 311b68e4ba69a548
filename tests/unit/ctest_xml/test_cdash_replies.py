"""What the sender makes of CDash's replies: a reply is the input. Connections are tested against a real server."""

import hashlib
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import responses

from ctest_xml.answers import Delivery
from ctest_xml.cdash import Server, put, stored_documents
from ctest_xml.identity import Identity

SERVER = Server(url="https://cdash.example.org/farm/submit.php?project=x", project="Spack", token="secret-token")
IDENTITY = Identity(site="ci", build="zlib", stamp="20260101-0000-Nightly")
SUBMIT = "https://cdash.example.org/farm/submit.php"
GRAPHQL = "https://cdash.example.org/farm/graphql"
OK = "<cdash version='3.0'><status>OK</status><message></message><buildId>7</buildId></cdash>"


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "Build.xml"
    path.write_bytes(b"<Site/>")
    return path


def deliver(document: Path, server: Server = SERVER) -> tuple[Delivery, str]:
    answer = put(server, document, name="Build.xml", identity=IDENTITY, progress=lambda _sent, _size: None)
    return answer.delivery, answer.reason


@responses.activate
def test_a_request_names_build_digest_and_token(document: Path) -> None:
    responses.put(SUBMIT, body=OK)
    assert deliver(document)[0] is Delivery.SENT
    request = responses.calls[0].request
    assert request.headers["Authorization"] == "Bearer secret-token"
    assert request.headers["Content-Type"] == "text/xml"
    assert dict(parse_qsl(urlsplit(str(request.url)).query)) == {
        "project": "Spack", "FileName": "ci___zlib___20260101-0000-Nightly___XML___Build.xml", "build": "zlib", "site": "ci",
        "stamp": "20260101-0000-Nightly", "MD5": hashlib.md5(b"<Site/>", usedforsecurity=False).hexdigest(),
    }  # fmt: skip


@responses.activate
@pytest.mark.parametrize(
    ("status", "body", "delivery", "reason"),
    [
        (200, OK, Delivery.SENT, ""),
        (
            200,
            "<cdash><status>ERROR</status><message>no such project</message></cdash>",
            Delivery.REFUSED,
            "no such project",
        ),
        (200, "<html>Welcome</html>", Delivery.UNKNOWN, "not an answer of CDash"),
        (401, "", Delivery.NOT_SENT, "refuses the token"),
        (404, "", Delivery.NOT_SENT, "no such project"),
        (413, "", Delivery.REFUSED, "larger than the web server allows"),
        (422, "bad", Delivery.REFUSED, "HTTP 422: bad"),
        (500, "", Delivery.UNKNOWN, "HTTP 500"),
        (503, "", Delivery.NOT_SENT, "not available"),
    ],
)
def test_a_reply_decides_what_became_of_the_file(
    document: Path, status: int, body: str, delivery: Delivery, reason: str
) -> None:
    responses.put(SUBMIT, status=status, body=body)
    became, words = deliver(document)
    assert became is delivery
    assert reason in words


@responses.activate
def test_a_redirect_to_the_same_cdash_is_followed_with_the_token(document: Path) -> None:
    onward = "https://cdash.example.org/other/submit.php"
    responses.put(SUBMIT, status=307, headers={"Location": onward})
    responses.put(onward, body=OK)
    assert deliver(document)[0] is Delivery.SENT
    assert [call.request.headers["Authorization"] for call in responses.calls] == ["Bearer secret-token"] * 2


@responses.activate
@pytest.mark.parametrize(
    "onward",
    ["https://elsewhere.example.org/submit.php", "http://cdash.example.org/submit.php", "https://cdash.example.org/login"],
)
def test_a_redirect_to_anything_else_is_not_followed(document: Path, onward: str) -> None:
    responses.put(SUBMIT, status=302, headers={"Location": onward})
    became, words = deliver(document)
    assert became is Delivery.NOT_SENT
    assert onward in words
    assert len(responses.calls) == 1


@responses.activate
def test_redirects_in_a_circle_end(document: Path) -> None:
    responses.put(SUBMIT, status=307, headers={"Location": SUBMIT})
    assert deliver(document)[0] is Delivery.NOT_SENT
    assert len(responses.calls) == 4


@responses.activate
@pytest.mark.parametrize(
    ("status", "reply", "stored"),
    [
        (
            200,
            {"data": {"project": {"builds": {"edges": [{"node": {
                "configure": {"returnValue": 0}, "buildErrorsCount": 0, "passedTestsCount": -1,
                "notes": {"edges": [{"node": {"name": "n"}}]}, "files": None,
            }}]}}}},
            {"Configure.xml": True, "Build.xml": True, "Test.xml": False, "Notes.xml": True, "Upload.xml": False},
        ),
        (200, {"data": {"project": {"builds": {"edges": []}}}}, None),
        (200, {"data": {"project": None}}, None),
        (200, {"errors": [{"message": "no"}]}, None),
        (403, {"data": {"project": {"builds": {"edges": [{"node": {}}]}}}}, None),
    ],
    ids=["a build", "no such build", "no such project", "an error", "no right to ask"],
)  # fmt: skip
def test_what_cdash_has_is_read_from_its_reply(
    status: int, reply: dict[str, object], stored: dict[str, bool] | None
) -> None:
    responses.post(GRAPHQL, status=status, json=reply)
    assert stored_documents(SERVER, IDENTITY) == stored


@responses.activate
def test_no_reply_about_a_build_is_unknown() -> None:
    responses.post(GRAPHQL, body=requests.exceptions.ReadTimeout("slow"))
    assert stored_documents(SERVER, IDENTITY) is None
    responses.replace("POST", GRAPHQL, body="not JSON")
    assert stored_documents(SERVER, IDENTITY) is None
