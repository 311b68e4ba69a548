"""A line once a minute while something lasts, and none after it."""

import threading

from status_line.heartbeat import Heartbeat


def test_it_beats_until_it_is_left() -> None:
    beaten, said = threading.Event(), list[float]()

    def say(seconds: float) -> None:
        said.append(seconds)
        beaten.set()

    with Heartbeat(say, every_seconds=0.01):
        assert beaten.wait(10)
    count = len(said)
    assert said == sorted(said)
    assert not [thread for thread in threading.enumerate() if thread.name == "heartbeat"]
    assert len(said) == count


def test_what_is_over_at_once_says_nothing() -> None:
    said: list[float] = []
    with Heartbeat(said.append, every_seconds=60):
        pass
    assert said == []
