"""What clients read: each refusal and each ending has its status, and only what may pass says when to try again."""

import json

import pytest

from delegate.messages import ENDINGS, REFUSALS, Problem, problem, problem_of
from delegate.request_queue import Ending, Refusal


@pytest.mark.parametrize(
    ("table", "statuses"),
    [
        (REFUSALS, {"FULL": 429, "NO_WORKER": 503, "DRAINING": 503, "QUARANTINED": 502}),
        (
            ENDINGS,
            {
                "REFUSED": 422, "CRASHED": 502, "UNRUNNABLE": 502, "UNAVAILABLE": 503, "LATE_WAITING": 504,
                "LATE_RUNNING": 504, "NO_WORKER": 503, "DRAINED": 503,
            },
        ),
    ],
    ids=["refusals", "endings"],
)  # fmt: skip
def test_each_has_its_status(table: dict[Refusal | Ending, Problem], statuses: dict[str, int]) -> None:
    assert {each.name: found.status for each, found in table.items()} == statuses


def test_none_is_forgotten() -> None:
    assert set(REFUSALS) == set(Refusal)
    assert set(ENDINGS) == set(Ending) - {Ending.ANSWERED, Ending.MOVED}


@pytest.mark.parametrize("kind", [*REFUSALS.values(), *ENDINGS.values()], ids=lambda kind: kind.title)
def test_a_document_says_what_happened_and_whether_to_try_again(kind: Problem) -> None:
    response = problem_of(kind, request_id="abc", retry_seconds=7)
    document = json.loads(bytes(response.body))
    assert document == {"title": kind.title, "status": kind.status, "detail": kind.detail, "request_id": "abc"}
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers.get("retry-after") == ("7" if kind.status in {429, 503} else None)


def test_the_workers_words_stand_for_the_general_ones() -> None:
    response = problem_of(ENDINGS[Ending.REFUSED], request_id="abc", retry_seconds=1, message='no "ü"\n')
    assert json.loads(bytes(response.body))["detail"] == 'no "ü"\n'


def test_a_problem_has_a_request_id_and_headers_only_if_there_are_some() -> None:
    response = problem(404, "no such address", "There is none.", headers={"Allow": "GET"})
    assert json.loads(bytes(response.body)) == {"title": "no such address", "status": 404, "detail": "There is none."}
    assert response.headers["allow"] == "GET"
