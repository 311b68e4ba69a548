"""Kubernetes Events of what was done: `kubectl describe node` says why. One that cannot be written changes nothing.

A node to which the same happens again and again gets fewer and fewer of them; each says how often it was.
"""

import datetime as dt
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

from autoscaler.cluster.api import Api
from autoscaler.errors import ClusterError
from autoscaler.outages import Outage, Repetition
from autoscaler.scale_plan import CordonNode, DeleteNodeObject, Line, RemoveNode, UncordonNode
from autoscaler.service.scale_in import ABORTED

_REASONS: dict[type, str] = {
    CordonNode: "ScaleInBegun",
    UncordonNode: "ScaleInUndone",
    RemoveNode: "ScaleInDone",
    DeleteNodeObject: "MachineGone",
}
_LONGEST = 1000
_APART_SECONDS = 900.0
"""What has not happened for so long begins anew."""
_MOST_REPEATED = 1000


class Events:
    """Writes Events about nodes into one namespace."""

    def __init__(
        self, api: Api, *, identity: str, now: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api, self._identity, self._now, self._clock = api, identity, now, clock
        self._repeated: dict[tuple[str, str], Repetition] = {}
        """By node and reason."""
        self._outage = Outage("an Event cannot be written", "Events can be written again", level=logging.INFO)

    def tell(self, line: Line, result: str, detail: str) -> None:
        """Write an Event about a line's node, if it has one."""
        if not isinstance(line, CordonNode | UncordonNode | RemoveNode | DeleteNodeObject):
            return
        aborted = result == ABORTED
        reason = "ScaleInAborted" if aborted else _REASONS[type(line)]
        message = f"{line.message}{'; it stays: a job came to it, or somebody wants it back' if aborted else ''}{detail}"
        count = self._due(line.node, reason)
        if not count:
            return
        try:
            body = self._body(line.node, reason, message) | {"count": count}
            self._api.create_event("default", body)  # where Events of nodes belong
        except ClusterError as error:
            self._outage.failed(error, node=line.node)
        else:
            self._outage.worked()

    def _due(self, node: str, reason: str) -> int:
        """Return how often this has happened to the node; 0 if no Event of it is due."""
        repetition = self._repeated.get((node, reason))
        if repetition is None or repetition.is_over(after_seconds=_APART_SECONDS):
            if len(self._repeated) >= _MOST_REPEATED:
                self._repeated.pop(next(iter(self._repeated)))
            repetition = self._repeated[node, reason] = Repetition(clock=self._clock)
        return repetition.count if repetition.again() else 0

    def _body(self, node: str, reason: str, message: str) -> dict[str, Any]:
        at = dt.datetime.fromtimestamp(self._now(), tz=dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{node[:200]}.{uuid.uuid4().hex[:16]}", "namespace": "default"},
            "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node},
            "type": "Normal",
            "reason": reason,
            "message": message[:_LONGEST],
            "source": {"component": "spack-farm-autoscaler", "host": self._identity[:63]},
            "firstTimestamp": at,
            "lastTimestamp": at,
        }
