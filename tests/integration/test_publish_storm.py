"""Many writers, killed and thrown errors at, lose nothing: the small form of `scripts/prove publish`."""

import random
from pathlib import Path

import pytest

from tests.labs.s3.server import Server
from tests.labs.storm import Weather, storm


@pytest.mark.timeout(400)
def test_writers_that_are_killed_and_refused_lose_nothing(s3: Server, tmp_path: Path) -> None:
    weather = Weather(writers=3, pushes=1, binaries=6, kills=1)
    tally, _ = storm(s3, tmp_path, weather, random.Random(7))
    assert tally.problem == ""
    assert tally.binaries == 18
