"""Promise: whatever cloud, API server or operator do in the middle of a pipeline, no job is ended and no node stays."""

from pathlib import Path

import pytest

from tests.labs.nodes import scenarios
from tests.labs.nodes.plugin import NodesLab


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", scenarios.SCENARIOS)
def test_no_job_is_ended_and_no_node_is_left(farm: NodesLab, tmp_path: Path, name: str) -> None:
    """Each twenty times: scripts/prove autoscaler-faults."""
    outcome = scenarios.run(name, farm, tmp_path, seed=1)
    assert (outcome.ended_by_us, outcome.nodes_left) == (0, 0), outcome
    assert outcome.jobs >= 6
