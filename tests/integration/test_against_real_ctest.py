"""The rules `ctest` against the machine's own ctest, on random logs from fixed seeds; others: scripts/prove ctest-xml."""

import random
from pathlib import Path

import pytest

from tests.labs.real_ctest import lines, needs_ctest, ours, theirs


@pytest.mark.parametrize("limit", [1_000_000, 7], ids=["limits lifted", "limits reached"])
def test_every_event_of_a_random_log_is_equal(tmp_path: Path, limit: int) -> None:
    needs_ctest()
    log = b"\n".join(lines(random.Random(1), 600, tmp_path)) + b"\n"
    expected = theirs(log, tmp_path, limit=limit)
    assert len(expected) > min(limit, 50)
    assert ours(log, tmp_path, limit=limit) == expected


def test_without_re2_the_events_are_those_of_ctest_too(tmp_path: Path) -> None:
    needs_ctest()
    log = b"\n".join(lines(random.Random(2), 200, tmp_path)) + b"\n"
    assert ours(log, tmp_path, limit=1000, use_re2=False) == theirs(log, tmp_path, limit=1000)
