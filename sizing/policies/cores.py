"""How many cores a build asks for: what three quarters of its past builds used on average.

It is a request and no limit: a build that can use more takes what its node has left. It is never above the parallel jobs
that the build is allowed: what is asked for and lies idle costs as much as what is used.
"""

from sizing.observations import Evidence, PolicySettings
from sizing.policies.windows import chosen

_QUARTILE = 75
_LEAST_MILLICORES = 500
_GRID_MILLICORES = 250


def millicores(evidence: Evidence, *, now: float, settings: PolicySettings) -> int | None:
    """Return the request of the most exact level that says enough; else the prior's; None if neither says anything."""
    found = chosen(evidence, now=now, settings=settings)
    ended = [seen for seen in found.observations if not seen.censored] if found else []
    used = sorted(cores for seen in ended if (cores := seen.mean_cores))
    if not used:
        return evidence.prior.cpu_millicores
    usual = used[-(-len(used) * _QUARTILE // 100) - 1] * 1000
    steps = max(-(-usual // _GRID_MILLICORES), -(-_LEAST_MILLICORES // _GRID_MILLICORES))
    asked = int(steps) * _GRID_MILLICORES
    jobs = evidence.prior.build_jobs
    return min(asked, jobs * 1000) if jobs else asked
