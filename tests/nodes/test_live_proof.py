"""`scripts/prove autoscaler-live`, small: the service on a farm that is written into the store, as jobs come and go."""

from scripts.proofs.autoscaler_live import service
from tests.labs.nodes.control_plane import running_control_plane


def test_the_service_sees_every_job_of_a_farm_that_changes_all_the_time() -> None:
    """Of 1,000 nodes and 10,000 pods: scripts/prove autoscaler-live."""
    with running_control_plane(simulated=False) as plane:
        lines = service(plane, nodes=20, pods=200, seconds=12)
    assert any("MiB resident" in line for line in lines)
