"""Why a pod that has its node does not start, on a real kubelet: in the log of its job, soon, and the right reason."""

from pathlib import Path

import pytest

from scripts.proofs import reasons
from tests.labs.cluster.lab import NAMESPACE
from tests.labs.farm.farm import Farm


@pytest.mark.timeout(200)
def test_a_missing_secret_and_a_missing_volume_are_told_apart(farm: Farm, tmp_path: Path) -> None:
    """The official executor says of both that containers are not ready. Fifty times each: scripts/prove reasons."""
    with reasons.watched(farm, tmp_path, namespace=NAMESPACE):
        for reason in ("secret", "volume"):
            (told,) = reasons.real(farm.gitlab, reason, jobs=1)
            assert reasons.is_right(reason, told), told
