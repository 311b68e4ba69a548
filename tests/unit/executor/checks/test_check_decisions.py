"""What `executor check` decides by itself: rights, clocks, ends of certificates and tokens, pull secrets, exit codes."""

import base64
import json
import time

import msgspec
import pytest
import yaml

from executor.checks import cluster, finding, programs, rights, validity
from executor.checks.finding import Finding, Kind, fault, note, ok
from executor.credentials import Credentials, Source
from executor.errors import Forbidden, Garbled, NotFound, Unauthorized, Unavailable
from executor.settings import Settings, load_settings
from tests.labs import certificates
from tests.labs.checkout import ROOT

NOON = 1_700_000_000.0


def test_the_rights_are_those_of_the_role_in_the_manual() -> None:
    """The Role is audited on a real cluster: each of its rights is used, no other is tried (tests/e2e/test_rights.py)."""
    documents = yaml.safe_load_all((ROOT / "docs/reference/rbac.yaml").read_text())
    (role,) = [document for document in documents if document["kind"] == "Role"]
    granted = {(name, verb) for rule in role["rules"] for name in rule["resources"] for verb in rule["verbs"]}
    assert {(right.resource, verb) for right in rights.RIGHTS for verb in right.verbs} == granted


@pytest.mark.parametrize(("version", "asks"), [(None, False), ((1, 34), False), ((1, 35), True), ((2, 0), True)])
def test_new_servers_ask_for_the_right_to_create_an_exec(version: tuple[int, int] | None, *, asks: bool) -> None:
    (right,) = [each for each in rights.needed(version) if each.resource == "pods/exec"]
    assert ("create" in right.verbs) is asks


def test_a_part_of_a_resource_is_asked_for_as_one() -> None:
    (right,) = [each for each in rights.RIGHTS if each.resource == "pods/log"]
    attributes = rights.review(right, "get", namespace="n")["spec"]["resourceAttributes"]
    assert attributes == {"namespace": "n", "verb": "get", "group": "", "resource": "pods", "subresource": "log"}


@pytest.mark.parametrize(
    ("answers", "kind", "said"),
    [
        ({"get": True, "list": True}, Kind.OK, "get, list in namespace n"),
        ({"get": True, "list": False}, Kind.REFUSED, "cannot list pods in namespace n: x"),
        ({"get": False, "list": False}, Kind.REFUSED, "cannot get or list pods"),
        ({"get": None, "list": True}, Kind.NOTE, "does not say whether this user can get pods"),
        ({}, Kind.NOTE, "can get or list pods"),
    ],
)
def test_a_right_is_judged_by_all_of_its_verbs(answers: dict[str, bool | None], kind: Kind, said: str) -> None:
    judged = rights.judge(rights.Right(resource="pods", verbs=("get", "list"), use="x"), answers, namespace="n")
    assert judged.kind is kind
    assert said in judged.text


@pytest.mark.parametrize("answer", [{}, {"status": 3}, {"status": {}}, {"status": {"allowed": "yes"}}])
def test_an_answer_that_says_nothing_is_no_right(answer: dict[str, object]) -> None:
    assert rights.is_allowed(answer) is None


@pytest.mark.parametrize(
    ("ahead", "kind", "said"),
    [
        (0, Kind.OK, "agrees"),
        (10, Kind.NOTE, "10 s ahead of"),
        (-10, Kind.NOTE, "10 s behind"),
        (400, Kind.REFUSED, "400 s ahead of"),
        (-90000, Kind.REFUSED, "90000 s behind"),
    ],
)
def test_clocks_are_compared(ahead: float, kind: Kind, said: str) -> None:
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(NOON))
    found = cluster.clock_finding(date, NOON + 0.5 + ahead)
    assert found.kind is kind
    assert said in found.text


@pytest.mark.parametrize("date", ["", "now", "Thu, 99 Xxx 2026 00:00:00 GMT", "\0", "9" * 400])
def test_a_date_that_is_none_is_a_note(date: str) -> None:
    assert cluster.clock_finding(date, NOON).kind is Kind.NOTE


def test_the_end_of_each_certificate_is_read() -> None:
    ends = validity.certificate_ends(certificates.AUTHORITY + certificates.CERTIFICATE)
    assert len(ends) == 2
    assert all(time.gmtime(end).tm_year > 2026 for end in ends)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no PEM",
        certificates.BROKEN,
        certificates.KEY,
        "-----BEGIN CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMAA=",
    ]
    + [certificates.AUTHORITY[:length] for length in range(40, 1000, 90)],
)
def test_what_is_no_certificate_has_no_end(text: str) -> None:
    assert validity.certificate_ends(text) in ([], validity.certificate_ends(certificates.AUTHORITY))


def token(claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJub25lIn0.{body}.sig"


@pytest.mark.parametrize(
    ("text", "end"),
    [
        (token({"exp": 17}), 17.0),
        (token({}), None),
        (token({"exp": "17"}), None),
        (token({"exp": True}), None),
        (token([1]), None),
        ("opaque", None),
        ("a.b.c", None),
        ("a.%%%.c", None),
        ("", None),
    ],
)
def test_the_end_of_a_token_is_read(text: str, end: float | None) -> None:
    assert validity.token_end(text) == end


@pytest.mark.parametrize(
    ("exp", "kinds"),
    [
        (NOON - 1, [Kind.OK, Kind.BAD_FILE]),
        (NOON + 3600, [Kind.OK, Kind.NOTE]),
        (NOON + 1e7, [Kind.OK]),
    ],
)
def test_a_token_that_has_expired_is_a_fault(exp: float, kinds: list[Kind]) -> None:
    credentials = Credentials(server="https://s", token=token({"exp": exp}), source=Source(kubeconfig="k"))
    assert [found.kind for found in cluster.access_findings(credentials, now=NOON)] == kinds


def test_a_certificate_that_has_expired_is_a_fault_and_an_unchecked_server_a_note() -> None:
    credentials = Credentials(server="https://s", client_certificate=certificates.CERTIFICATE, verify=False)
    found = cluster.access_findings(credentials, now=1e11)
    assert [each.kind for each in found] == [Kind.OK, Kind.BAD_FILE, Kind.NOTE]
    assert "the client certificate has expired on" in found[1].text


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (Unauthorized("no"), Kind.BAD_FILE, "rejects the credentials"),
        (Unavailable("later"), Kind.SILENT, "later"),
        (Forbidden("no"), Kind.REFUSED, "no"),
        (NotFound("no"), Kind.REFUSED, "no"),
        (Garbled("no"), Kind.REFUSED, "no"),
    ],
)
def test_why_a_server_gives_no_answer_decides_the_kind(error: Exception, kind: Kind, said: str) -> None:
    found = cluster.unreachable(error)  # type: ignore[arg-type]
    assert found.kind is kind
    assert said in found.text
    assert found.advice


@pytest.mark.parametrize("cause", [TimeoutError(), ConnectionRefusedError(), OSError("no route")])
def test_a_connection_that_fails_has_advice_of_its_own(cause: OSError) -> None:
    error = Unavailable("it does not answer")
    error.__cause__ = cause
    assert cluster.unreachable(error).advice != cluster.unreachable(Unavailable("x")).advice


def secret(
    content: object, kind: str = "kubernetes.io/dockerconfigjson", key: str = ".dockerconfigjson"
) -> dict[str, object]:
    return {"type": kind, "data": {key: base64.b64encode(json.dumps(content).encode()).decode()}}


@pytest.mark.parametrize(
    ("found", "registries"),
    [
        (secret({"auths": {"r.site": {}, "a.site": {}}}), ["a.site", "r.site"]),
        (secret({"r.site": {}}, "kubernetes.io/dockercfg", ".dockercfg"), ["r.site"]),
        (secret({"auths": {}}), []),
        (secret({"auths": []}), None),
        (secret([]), None),
        ({"type": "Opaque", "data": {}}, None),
        ({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "!"}}, None),
        ({"type": "kubernetes.io/dockerconfigjson"}, None),
        ({}, None),
    ],
)
def test_the_registries_of_a_pull_secret_are_read(found: dict[str, object], registries: list[str] | None) -> None:
    assert cluster.registries_of(found) == registries


@pytest.mark.parametrize(
    ("registry", "image", "fits"),
    [
        ("r.site", "r.site/team/app:1", True),
        ("https://r.site", "r.site/app", True),
        ("r.site:5000", "r.site:5000/app", True),
        ("r.site:5000", "r.site/app", False),
        ("https://index.docker.io/v1/", "debian:12", True),
        ("https://index.docker.io/v1/", "team/app", True),
        ("https://index.docker.io/v1/", "r.site/app", False),
        ("localhost", "localhost/app", True),
    ],
)
def test_a_login_is_for_the_registry_of_an_image(registry: str, image: str, *, fits: bool) -> None:
    assert cluster.is_for(registry, image) is fits


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ([], 0),
        ([ok("a", "b"), note("a", "b")], 0),
        ([fault("a", "b", "c", kind=Kind.REFUSED)], 1),
        ([fault("a", "b", "c", kind=Kind.REFUSED), fault("a", "b", "c", kind=Kind.SILENT)], 4),
        ([fault("a", "b", "c", kind=Kind.SILENT), fault("a", "b", "c")], 2),
    ],
)
def test_the_exit_code_is_that_of_what_is_mended_first(found: list[Finding], code: int) -> None:
    assert finding.exit_code(found) == code


def test_a_line_has_its_advice_below_and_nothing_that_moves_a_cursor() -> None:
    assert fault("a", "b\x1b[2J\r", "c").line == "FIX   a: b?[2J?\n      c"
    assert ok("a", "b").line == "ok    a: b"


def with_helper(image: str) -> Settings:
    settings = load_settings(None)
    return msgspec.structs.replace(settings, kubernetes=msgspec.structs.replace(settings.kubernetes, helper_image=image))


@pytest.mark.parametrize(
    ("image", "version", "kind"),
    [
        ("helper:x86_64-v$CI_RUNNER_VERSION", "19.4.0", Kind.OK),
        ("helper:x86_64-v${CI_RUNNER_VERSION}", "", Kind.OK),
        ("helper:x86_64-v19.4.0", "19.4.1", Kind.OK),
        ("helper:x86_64-v18.0.0", "19.4.0", Kind.BAD_FILE),
        ("helper:x86_64-v19.4.0", "", Kind.NOTE),
        ("r.site:5000/helper", "19.4.0", Kind.NOTE),
        ("helper:latest", "19.4.0", Kind.NOTE),
        ("helper@sha256:0123", "19.4.0", Kind.NOTE),
        ("", "19.4.0", Kind.BAD_FILE),
    ],
)
def test_the_helper_is_not_older_than_the_runner(image: str, version: str, kind: Kind) -> None:
    assert programs.helper_finding(with_helper(image), version).kind is kind


@pytest.mark.parametrize(
    ("version", "kind"),
    [("19.4.0", Kind.OK), ("17.9.0", Kind.OK), ("17.8.1", Kind.BAD_FILE), ("", Kind.NOTE), ("development", Kind.OK)],
)
def test_a_runner_that_gives_no_file_for_exit_codes_is_too_old(version: str, kind: Kind) -> None:
    assert programs.runner_finding(version).kind is kind
