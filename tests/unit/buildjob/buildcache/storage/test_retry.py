"""Retries: how often, after which waits, and of what."""

import pytest

from buildjob.buildcache.storage.retry import RetryPolicy, with_retries
from buildjob.errors import Conflict, Unavailable


class Server:
    """Fails a number of times."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.left, self.error, self.calls = failures, error, 0

    def __call__(self, attempt: int) -> str:
        self.calls += 1
        assert attempt == self.calls
        if self.left:
            self.left -= 1
            raise self.error
        return "answer"


def test_waits_grow_up_to_the_longest() -> None:
    policy = RetryPolicy(random=lambda: 1.0)
    assert [policy.wait_seconds(failures) for failures in range(1, 9)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20.0]
    assert RetryPolicy(random=lambda: 0.0).wait_seconds(5) == 0.0


@pytest.mark.parametrize("failures", [0, 1, 8])
def test_an_answer_within_the_tries_is_returned(failures: int) -> None:
    waits: list[float] = []
    server = Server(failures, Unavailable("busy"))
    assert with_retries(server, RetryPolicy(sleep=waits.append)) == "answer"
    assert server.calls == failures + 1
    assert len(waits) == failures


def test_the_last_error_is_raised() -> None:
    waits: list[float] = []
    server = Server(100, Unavailable("busy"))
    with pytest.raises(Unavailable, match="busy"):
        with_retries(server, RetryPolicy(tries=3, sleep=waits.append))
    assert (server.calls, len(waits)) == (3, 2)


def test_an_error_that_stays_is_raised_at_once() -> None:
    server = Server(100, Conflict("changed"))
    with pytest.raises(Conflict):
        with_retries(server, RetryPolicy())
    assert server.calls == 1


def test_no_attempt_begins_after_the_time_for_all_of_them() -> None:
    clock = iter(range(0, 10_000, 60))
    server = Server(100, Unavailable("silent"))
    failed: list[tuple[int, float]] = []
    with pytest.raises(Unavailable):
        with_retries(
            server,
            RetryPolicy(clock=lambda: float(next(clock)), sleep=lambda _: None, random=lambda: 0.0),
            failed=lambda attempt, _, seconds: failed.append((attempt, seconds)),
        )
    assert server.calls == 4
    assert failed == [(1, 60.0), (2, 120.0), (3, 180.0)]
