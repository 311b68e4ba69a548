"""The dynamic program, beside all ladders that there are."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizing.policies.steps import Need, cheapest

chances = st.floats(0.001, 1)
outcomes = st.lists(
    st.tuples(st.integers(1, 1000), chances, st.floats(0.1, 100)),
    min_size=1,
    max_size=7,
    unique_by=lambda outcome: outcome[0],
)


def cost(ladder: tuple[float, ...], needs: list[Need], kill_costs: float) -> float:
    """Each outcome pays all limits up to the first that holds it, and each kill."""
    total = 0.0
    for need in needs:
        tried = [limit for limit in ladder if limit < need.memory_bytes]
        held = min(limit for limit in ladder if limit >= need.memory_bytes)
        total += need.seconds * (sum(tried) + held) + need.chance * kill_costs * len(tried)
    return total


@given(outcomes=outcomes, kill_costs=st.floats(0, 1000), most=st.integers(1, 5))
def test_no_ladder_is_cheaper(outcomes: list[tuple[int, float, float]], kill_costs: float, most: int) -> None:
    needs = [Need(size, chance, chance * seconds) for size, chance, seconds in sorted(outcomes)]
    found = tuple(cheapest(needs, kill_costs=kill_costs, most_steps=most))
    sizes = [need.memory_bytes for need in needs]
    ladders = [(*below, sizes[-1]) for steps in range(most) for below in combinations(sizes[:-1], steps)]
    least = min(cost(ladder, needs, kill_costs) for ladder in ladders)
    assert found in ladders
    assert cost(found, needs, kill_costs) == pytest.approx(least, rel=1e-9)
