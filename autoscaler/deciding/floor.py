"""The warm floor: how many slots each pool keeps free now. Pure."""

import math

from autoscaler import cron
from autoscaler.deciding.places import NodePods
from autoscaler.policy import Policy, WarmPeriod
from autoscaler.snapshot import JOB, Snapshot


def slots(policy: Policy, snapshot: Snapshot, bound: dict[str, NodePods], now: float) -> dict[str, int]:
    """Return pool -> slots for jobs that are kept free; of several periods that hold now, the last one counts."""
    found = {}
    for pool in policy.pools:
        period: WarmPeriod | None = None
        for one in policy.warm:
            if one.pool == pool.name and cron.holds(one.cron, now):
                period = one
        if period is None:
            continue
        names = [node.name for node in snapshot.nodes if node.pool == pool.name]
        active = sum(pod.kind == JOB for name in names if name in bound for pod in bound[name].jobs)
        found[pool.name] = max(
            period.idle_count, min(period.most_slots, math.ceil(active * period.scale_factor - 1e-9))
        )  # fmt: skip
    return found
