"""The policies by the name that `--policy` and the table of sizes give them, and the one way to use them."""

from collections.abc import Mapping

from sizing.observations import Evidence, Ladder, PolicySettings
from sizing.policies import Policy, max_margin, min_waste, percentile
from sizing.policies.tiers import rounded

POLICIES: Mapping[str, Policy] = {
    "max_margin": max_margin.ladder,
    "min_waste": min_waste.ladder,
    "percentile": percentile.ladder,
}


def sized(policy: str | Policy, evidence: Evidence, *, now: float, settings: PolicySettings) -> Ladder | None:
    """Return what a policy gives, rounded to tiers, within floor and cap; None if nothing is known.

    Raises KeyError for an unknown name.
    """
    ladder = (POLICIES[policy] if isinstance(policy, str) else policy)(evidence, now=now, settings=settings)
    return None if ladder is None else rounded(ladder, settings=settings)
