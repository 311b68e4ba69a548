import json

import pytest

from executor import errors
from executor.kube import config_maps_path, error_of, pods_path, with_retries

ROLE = 'pods is forbidden: User "runner" cannot create resource "pods" in API group "" in the namespace "ci"'
QUOTA = 'pods "x" is forbidden: exceeded quota: team, requested: pods=1, used: pods=9, limited: pods=9'
ADMISSION = 'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'
WEBHOOK = 'admission webhook "policy" denied the request: no'


def answer(message: str, reason: str = "") -> bytes:
    return json.dumps({"kind": "Status", "status": "Failure", "message": message, "reason": reason}).encode()


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (400, answer("bad"), errors.Rejected),
        (401, answer("Unauthorized"), errors.Unauthorized),
        (403, answer(ROLE, "Forbidden"), errors.NotPermitted),
        (403, answer(QUOTA, "Forbidden"), errors.OverQuota),
        (403, answer(ADMISSION, "Forbidden"), errors.Forbidden),
        (403, answer(WEBHOOK), errors.Forbidden),
        (404, answer("not found", "NotFound"), errors.NotFound),
        (409, answer("exists", "AlreadyExists"), errors.Conflict),
        (410, answer("too old", "Expired"), errors.Unavailable),
        (418, answer("teapot"), errors.ClusterError),
        (422, answer("invalid", "Invalid"), errors.Rejected),
        (429, answer("slow down", "TooManyRequests"), errors.Unavailable),
        (500, answer("etcd", "InternalError"), errors.Unavailable),
        (503, b"<html>no JSON</html>", errors.Unavailable),
        (404, b"[]", errors.NotFound),
        (404, b"[" * 100_000, errors.NotFound),
    ],
)
def test_an_answer_is_classified_once_by_its_status_and_what_the_server_says(
    status: int, content: bytes, kind: type[errors.ClusterError]
) -> None:
    assert type(error_of(status, content, "POST /x")) is kind


def test_the_message_names_the_call_and_has_the_servers_text_status_and_reason() -> None:
    assert str(error_of(403, answer(WEBHOOK, "Forbidden"), "POST /x")) == f"POST /x: {WEBHOOK} (403 Forbidden)"
    assert str(error_of(503, b"", "GET /x")) == "GET /x: status 503 (503)"
    assert len(str(error_of(400, answer("x" * 100_000), "GET /x"))) < 3000


def test_an_error_in_a_watch_is_the_status_within_the_event() -> None:
    event = {"type": "ERROR", "object": {"message": "too old resource version", "reason": "Expired"}}
    assert str(error_of(410, json.dumps(event).encode(), "watch")) == "watch: too old resource version (410 Expired)"


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.time = 0.0
        self.pauses: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += seconds


def failing(times: int, error: errors.ClusterError) -> list[errors.ClusterError]:
    return [error] * times


@pytest.mark.parametrize("times", [0, 1, 5])
def test_what_may_pass_is_tried_again_with_growing_pauses(times: int) -> None:
    left, clock = failing(times, errors.Unavailable("no answer")), Clock()

    def call() -> str:
        if left:
            raise left.pop()
        return "done"

    assert with_retries(call, seconds=60, sleep=clock.sleep, now=clock.now) == "done"
    assert clock.pauses == [0.1, 0.2, 0.4, 0.8, 1.6][:times]


def test_the_last_failure_is_raised_once_the_time_is_over() -> None:
    clock = Clock()

    def call() -> str:
        raise errors.Unavailable(f"at {clock.time:.1f}")

    with pytest.raises(errors.Unavailable, match=r"at 16\.3"):
        with_retries(call, seconds=20, sleep=clock.sleep, now=clock.now)
    assert max(clock.pauses) == 5.0


def test_what_does_not_pass_is_not_tried_again() -> None:
    clock = Clock()

    def call() -> str:
        raise errors.Forbidden("no")

    with pytest.raises(errors.Forbidden):
        with_retries(call, seconds=20, sleep=clock.sleep, now=clock.now)
    assert clock.pauses == []


def test_names_in_paths_are_quoted() -> None:
    assert pods_path("a/b", "c d", "log") == "/api/v1/namespaces/a%2Fb/pods/c%20d/log"
    assert config_maps_path("n") == "/api/v1/namespaces/n/configmaps"
