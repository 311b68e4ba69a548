"""How far a long call is: what is said of it, and when."""

import threading

import pytest

from status_line.progress import Progress, silent
from status_line.screen import Screen


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def progress(*, total: int | None = None, clock: Clock | None = None) -> Progress:
    unit = ("binary", "binaries")
    return Progress("verifying", unit=unit, screen=Screen(), say=print, total=total, clock=clock or Clock())


@pytest.mark.parametrize(
    ("total", "done", "size_bytes", "retries", "text"),
    [
        (None, 0, 0, 0, "verifying: 0 binaries (0:42)"),
        (None, 1, 0, 0, "verifying: 1 binary (0:42)"),
        (None, 1200, 3 << 30, 0, "verifying: 1,200 binaries (0:42, 3.0 GiB)"),
        (5000, 1200, 3 << 30, 1, "verifying: 1,200 of 5,000 binaries (0:42, 3.0 GiB, 1 retry)"),
        (5000, 1200, 0, 2, "verifying: 1,200 of 5,000 binaries (0:42, 2 retries)"),
        (1, 0, 0, 0, "verifying: 0 of 1 binary (0:42)"),
        (3, 5, 0, 0, "verifying: 5 of 5 binaries (0:42)"),  # more have come since they were counted
    ],
)
def test_what_is_done_is_counted_with_bytes_and_retries(
    total: int | None, done: int, size_bytes: int, retries: int, text: str
) -> None:
    clock = Clock()
    with progress(total=total, clock=clock) as one:
        clock.now += 42.4
        one.done, one.bytes = done, size_bytes
        for _ in range(retries):
            one.retried()
        assert one.text() == text
        forms = one.forms()
    assert sorted(forms, key=len, reverse=True) == forms
    assert one.retries == retries  # also afterwards, for the last line
    one.retried()
    assert one.retries == retries


def test_without_a_terminal_there_is_a_line_a_minute() -> None:
    said: list[str] = []
    heard = threading.Event()

    def say(text: str) -> None:
        said.append(text)
        heard.set()

    others = {*threading.enumerate()}
    with Progress("reading", unit=("document", "documents"), screen=Screen(), say=say, every_seconds=0.01) as one:
        assert not {*threading.enumerate()} - others, "none yet: this process may be forked"
        one.add(3, size_bytes=5)
        assert heard.wait(30)
    assert said[0].startswith("reading: 3 documents (0:00, 5 B")
    count = len(said)
    assert not [thread for thread in {*threading.enumerate()} - others if thread.name == "heartbeat"]
    assert len(said) == count


def test_what_lasts_finds_out_how_much_there_is() -> None:
    counted = threading.Event()

    def count() -> int:
        counted.set()
        return 7

    one = Progress(
        "reading", unit=("document", "documents"), screen=Screen(), say=print, count=count, count_after_seconds=0.01
    )
    with one:
        one.begin()
        assert counted.wait(30)
        for thread in threading.enumerate():
            if thread.name == "total":
                thread.join(30)
        assert one.text() == "reading: 0 of 7 documents (0:00)"


def test_what_cannot_be_counted_is_shown_without_a_total() -> None:
    counted = threading.Event()

    def count() -> int:
        counted.set()
        raise OSError

    one = Progress("reading", unit=("one", "some"), screen=Screen(), say=print, count=count, count_after_seconds=0.01)
    with one:
        one.begin()
        assert counted.wait(30)
        assert one.total is None


def test_where_nothing_is_shown_nothing_is_listed() -> None:
    others = {*threading.enumerate()}
    with silent() as one:
        one.count = lambda: 7
        one.add()
        assert not {*threading.enumerate()} - others
    assert (one.done, one.total) == (1, None)


def test_one_that_is_silent_counts_all_the_same() -> None:
    one = silent()
    one.begin()
    one.add(2, size_bytes=10)
    one.retried()
    assert (one.done, one.bytes, one.retries) == (2, 10, 0)
