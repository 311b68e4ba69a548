"""How many cores a build asks for: what three quarters of its past builds used on average.

It is a request and no limit: a build that can use more takes what its node has left. It is never above the parallel jobs
that the build is allowed: what is asked for and lies idle costs as much as what is used.
"""

from collections.abc import Iterable

from sizing.observations import Evidence, PolicySettings
from sizing.policies.windows import chosen

_QUARTILE = 75
_LEAST_MILLICORES = 500
_STEP_MILLICORES = 100


def millicores(evidence: Evidence, *, now: float, settings: PolicySettings) -> int | None:
    """Return the request of the most exact level that says enough; else the prior's; None if neither says anything."""
    found = chosen(evidence, now=now, settings=settings)
    used = [seen.mean_cores for seen in found.observations if not seen.censored] if found else []
    asked = requested((cores for cores in used if cores), jobs=evidence.prior.build_jobs)
    return evidence.prior.cpu_millicores if asked is None else asked


def requested(cores: Iterable[float], *, jobs: int | None) -> int | None:
    """Return the request for builds that used so many cores each; None without builds. `jobs`: None if unknown."""
    used = sorted(cores)
    if not used:
        return None
    usual = used[-(-len(used) * _QUARTILE // 100) - 1]
    asked = max(-(-round(usual * 1000) // _STEP_MILLICORES) * _STEP_MILLICORES, _LEAST_MILLICORES)
    return min(asked, jobs * 1000) if jobs else asked
