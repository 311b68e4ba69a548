"""What all policies' ladders pass before they are written: the floor, the grid of tiers, the cap.

A grid makes few sizes of many, so that rows repeat and a new peak by a hair changes nothing.
"""

import math
from dataclasses import replace

from sizing.observations import Ladder, PolicySettings


def rounded(ladder: Ladder, *, settings: PolicySettings) -> Ladder:
    """Return the ladder with limits of the grid, each once, none below the floor, none above the cap."""
    limits = (rounded_bytes(limit, settings=settings) for limit in ladder.memory_bytes)
    return replace(ladder, memory_bytes=tuple(dict.fromkeys(limits)))


def rounded_bytes(memory_bytes: int, *, settings: PolicySettings) -> int:
    """Return the least size of the grid that is not below the memory and not below the floor; at most the cap."""
    at_least = max(memory_bytes, settings.floor_bytes)
    if settings.tiers_per_doubling:
        step = math.ceil(math.log2(at_least) * settings.tiers_per_doubling)
        # logarithms are not exact: the step before may be enough, this one too little
        steps = (round(2 ** (near / settings.tiers_per_doubling)) for near in range(step - 1, step + 2))
        at_least = next(size for size in steps if size >= at_least)
    return at_least if settings.cap_bytes is None else min(at_least, settings.cap_bytes)
