"""Settings of policies that no size can be computed with."""

import math
from typing import Any

import pytest

from sizing.errors import BadRequest
from sizing.observations import PolicySettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"margin_percent": 99}, {"window_count": -1}, {"window_days": -1}, {"accepted_count": 0}, {"mixed_below_count": -1},
        {"floor_bytes": 0}, {"cap_bytes": 0}, {"tiers_per_doubling": -1}, {"most_attempts": 0}, {"percentile": 0},
        {"percentile": 101}, {"kill_costs_gb_hours": -0.1}, {"kill_costs_gb_hours": math.inf},
        {"kill_costs_gb_hours": math.nan}, {"percentile": 0, "most_attempts": 0},
    ],
    ids=str,
)  # fmt: skip
def test_each_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as raised:
        PolicySettings(**wrong)
    assert all(name in str(raised.value) for name in wrong)
