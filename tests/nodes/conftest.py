"""Tests of the autoscaler on a real API server with simulated nodes (tests/labs/nodes/plugin.py)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.labs.nodes.plugin import NodesLab
from tests.labs.nodes.service import Service


@pytest.fixture
def start(farm: NodesLab, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Yield a function that starts a controller; all end with the test, and none may have met a bug."""
    started: list[Service] = []

    def make(**options: Any) -> Service:
        started.append(Service(farm, tmp_path, **options))
        return started[-1]

    yield make
    for one in started:
        one.kill()
        assert "Traceback" not in one.log.read_text(), one.log.read_text()
