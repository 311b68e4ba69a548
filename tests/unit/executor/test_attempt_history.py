import pytest

from executor.attempt_history import Earlier, earlier_in

NOW = 1000.0


def record(**data: object) -> dict[str, object]:
    return {"data": {"version": "1", "until": "2000", **data}}


def test_what_an_earlier_attempt_has_left_is_read() -> None:
    found = earlier_in(record(attempts="2", memory_limit_bytes="1024", waited_job_id="7", waited_seconds="60"), now=NOW)
    assert found == Earlier(attempts=2, memory_limit_bytes=1024, waited_job_id=7, waited_seconds=60)
    assert (found.next_number, found.waited_for(7), found.waited_for(8)) == (3, 60, 0)


def test_an_expired_history_is_none_and_the_attempt_the_first() -> None:
    assert earlier_in(record(attempts="2", until="999"), now=NOW) == Earlier(attempts=0)
    assert Earlier(attempts=0).next_number == 1


@pytest.mark.parametrize(
    "document", [{}, {"data": None}, {"data": []}, {"data": {}}, record(until="soon"), record(until=2000)]
)
def test_what_is_no_history_leaves_the_number_unknown(document: dict[str, object]) -> None:
    """Others in the namespace may write it."""
    found = earlier_in(document, now=NOW)
    assert (found, found.next_number) == (Earlier(), 0)


@pytest.mark.parametrize("text", ["-1", "1.5", "", "9" * 19, "\u0663", 7, None, ["7"]])
def test_a_number_that_is_none_is_unknown(text: object) -> None:
    assert earlier_in(record(memory_limit_bytes=text), now=NOW) == Earlier()
