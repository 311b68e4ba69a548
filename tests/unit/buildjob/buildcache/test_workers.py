"""Work in threads: every item once, few at a time, and the first error ends it."""

import threading
from collections.abc import Iterator

import pytest

from buildjob.buildcache.workers import in_parallel


@pytest.mark.parametrize("count", [0, 1, 3, 50])
@pytest.mark.parametrize("workers", [1, 4])
def test_each_item_is_yielded_once_with_its_result(count: int, workers: int) -> None:
    found = list(in_parallel(range(count), lambda item: item * 2, workers=workers))
    assert sorted(found) == [(item, item * 2) for item in range(count)]


def test_no_more_items_are_taken_than_are_worked_on() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(1000):
            taken += 1
            yield item

    running = in_parallel(items(), lambda item: item, workers=3)
    for done in range(1, 20):
        next(running)
        assert taken <= done + 2 * 3
    running.close()  # type: ignore[attr-defined]


def test_the_first_error_is_raised_and_nothing_new_is_begun() -> None:
    begun: list[int] = []
    lock = threading.Lock()

    def work(item: int) -> int:
        with lock:
            begun.append(item)
        if item == 2:
            message = "two"
            raise ValueError(message)
        return item

    with pytest.raises(ValueError, match="two"):
        list(in_parallel(range(1000), work, workers=2))
    assert len(begun) < 10
