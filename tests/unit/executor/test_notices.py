"""What reaches a running stage from outside: the Runner's TERM wakes it, once, and leaves the former handler in place."""

import os
import select
import signal
from types import FrameType

from executor.notices import Notices


def test_term_is_noted_wakes_a_select_and_ends_nothing() -> None:
    with Notices(os.getppid()) as notices:
        os.kill(os.getpid(), signal.SIGTERM)
        assert select.select([notices], [], [], 30)[0]
        assert notices.terminated_at is not None
        first = notices.terminated_at
        notices.clear()
        assert not select.select([notices], [], [], 0)[0]
        os.kill(os.getpid(), signal.SIGTERM)
        assert select.select([notices], [], [], 30)[0]
        assert notices.terminated_at == first, "the first TERM counts"


def test_the_former_handler_is_put_back() -> None:
    seen: list[int] = []

    def former(number: int, frame: FrameType | None) -> None:
        del frame
        seen.append(number)

    before = signal.signal(signal.SIGTERM, former)
    try:
        with Notices(os.getppid()):
            os.kill(os.getpid(), signal.SIGTERM)
        assert seen == []
        os.kill(os.getpid(), signal.SIGTERM)
        assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_without_news_there_is_none_and_a_living_parent_is_no_news() -> None:
    with Notices(os.getppid()) as notices:
        assert notices.deletion_reasons() == []
        assert not notices.pod_is_gone
        notices.runner.check()
