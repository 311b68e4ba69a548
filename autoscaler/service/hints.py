"""Beside another autoscaler that is in charge (`mode = "hints"`): room for jobs that come is asked of it, and nothing else.

No node and no machine is touched. How the room is asked for is the operator's choice: pods or CapacityBuffers.
"""

import logging
from typing import Protocol

from autoscaler.errors import AutoscalerError, NotLeader
from autoscaler.hands.hand import Fence
from autoscaler.outages import Outage
from autoscaler.policy import Policy
from autoscaler.scale_plan import ScalePlan
from autoscaler.service.expected import Expected, expected
from autoscaler.service.log import LOGGER
from autoscaler.service.metrics import Metrics
from autoscaler.snapshot import Snapshot

_LOG = logging.getLogger(LOGGER)


class Room(Protocol):
    """A way to ask for room."""

    def apply(self, expected: list[Expected], *, at: float, fence: Fence) -> int:
        """Have it as expected; return how many pieces are new. Raises AutoscalerError."""


class Hints:
    """What is asked for, decision by decision."""

    def __init__(self, room: Room, policy: Policy, *, metrics: Metrics) -> None:
        self._room, self._policy, self._metrics = room, policy, metrics
        self._said: dict[str, int] = {}
        self._outage = Outage(
            "room for jobs that come cannot be asked for", "room for jobs that come can be asked for again"
        )

    def apply(self, plan: ScalePlan, snapshot: Snapshot, *, fence: Fence) -> None:
        """Ask for what a plan expects; say what is new of it. Raises NotLeader."""
        wanted = expected(plan, snapshot, self._policy)
        result = "done"
        if not self._policy.dry_run:
            try:
                live = [one for one in wanted if one.pool.name not in plan.dry_run_pools]
                self._room.apply(live, at=plan.decided_at, fence=fence)
            except NotLeader:
                raise
            except AutoscalerError as error:
                self._metrics.fault("apply")
                self._outage.failed(error)
                result = "failed"
            else:
                self._outage.worked()
        for one in wanted:
            if one.count > self._said.get(one.name, 0):
                reason = "look_ahead" if one.kind == "ahead" else "warm_floor"
                outcome = "dry_run" if one.pool.name in plan.dry_run_pools else result
                self._metrics.action("out", reason, outcome)
                about = {"action": "placeholder", "pool": one.pool.name, "type": one.type, "reason": reason}
                what = one.type if one.kind == "ahead" else "slots of the warm floor"
                if result != "failed":  # else the outage is logged, once
                    _LOG.info(f"room for {one.count} {what}", extra=about | {"count": one.count, "result": outcome})
        if result != "failed":
            self._said = {one.name: one.count for one in wanted}
