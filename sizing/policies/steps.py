"""The cheapest ladder for a distribution of needs: a dynamic program.

An attempt with the limit L runs the builds that passed all lower limits and costs L for their whole run; one that is killed
costs a fixed price besides. What a build needs in the end is the same for all ladders, so the least cost is the least waste.

Source: the idea of choosing allocations by expected waste is that of B. Tovar et al., "A Job Sizing Strategy for
High-Throughput Scientific Workflows" (2018), with two attempts there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Need:
    """One outcome: a build needs so much memory."""

    memory_bytes: float
    chance: float
    seconds: float
    """Chance × run time."""


def cheapest(needs: Sequence[Need], *, kill_costs: float, most_steps: int) -> list[float]:
    """Return the ladder of least expected cost: at least one of the needs' sizes, at most `most_steps`, rising to the last.

    `needs` rise in memory and are not empty. `kill_costs` is in byte-seconds.
    """
    count = len(needs)
    sizes = [need.memory_bytes for need in needs]
    # of all needs from this one on: their run time; their chance is what a limit below this one kills
    seconds = list(accumulate((need.seconds for need in reversed(needs)), initial=0.0))[::-1]
    killed = list(accumulate((need.chance for need in reversed(needs)), initial=0.0))[::-1]
    # cost of all needs from index on with so many steps at most; without a step only "none left" has a cost
    costs = [float("inf")] * count + [0.0]
    choices: list[list[int]] = []
    for _ in range(most_steps):
        after = [kill_costs * killed[step + 1] + costs[step + 1] for step in range(count)]
        costs, chosen = [0.0] * (count + 1), [0] * count
        for index in range(count):
            run = seconds[index]
            totals = [size * run + rest for size, rest in zip(sizes[index:], after[index:], strict=True)]
            costs[index] = min(totals)
            chosen[index] = index + totals.index(costs[index])
        choices.append(chosen)
    ladder, index = [], 0
    for chosen in reversed(choices):
        if index == count:
            break
        ladder.append(sizes[chosen[index]])
        index = chosen[index] + 1
    return ladder
