"""Notices while a server does not answer: failures that pass soon are not mentioned, and never two at once."""

from buildjob.buildcache.storage.notices import Notices, say_nothing
from buildjob.errors import Unavailable

BUSY = Unavailable("here: busy", reason="503 SlowDown")


def test_a_failure_is_mentioned_if_the_next_attempt_is_late() -> None:
    lines: list[str] = []
    notices = Notices(lines.append, "http://s3", clock=lambda: 100.0)
    notices.failed(1, BUSY, 0.3)
    assert lines == []
    notices.failed(5, BUSY, 6.0)
    assert lines == ["no answer yet from http://s3, attempt 5: 503 SlowDown"]


def test_threads_that_wait_together_are_mentioned_once() -> None:
    lines: list[str] = []
    now = [100.0]
    notices = Notices(lines.append, "http://s3", clock=lambda: now[0])
    for _ in range(8):
        notices.failed(6, BUSY, 9.0)
    assert len(lines) == 1
    now[0] += 30
    notices.failed(7, Unavailable("x"), 30.0)
    assert lines[1:] == ["no answer yet from http://s3, attempt 7"]


def test_without_a_listener_nothing_is_said() -> None:
    notices = Notices(say_nothing, "http://s3")
    with notices.request(1):
        notices.failed(9, BUSY, 100.0)
