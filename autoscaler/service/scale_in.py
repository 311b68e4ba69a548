"""Taking a node out of use and ending it, so that no job is lost to it.

Two looks. First the node is cordoned, tainted and annotated. At least `confirm_seconds` after *this* process saw that
acknowledged, the API server itself is asked for the node and for its pods, not a cache: any pod that has not ended and goes
not with its node takes everything back. There is no grace after which a job is ended. The cordon is what makes the second
look final: after it the scheduler binds nothing there, and a binding under way shows in the list.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from autoscaler.cluster import names
from autoscaler.cluster.api import Api, decoded
from autoscaler.cluster.objects import NodeObject, PodObject
from autoscaler.cluster.reading import blocks_removal, read_cordon
from autoscaler.errors import Conflict, NotFound
from autoscaler.hands.hand import Fence, Hand
from autoscaler.policy import ScaleIn
from autoscaler.scale_plan import CordonNode, RemoveNode
from autoscaler.snapshot import Cordon, Node

_TRIES = 4
_NODE = msgspec.json.Decoder(NodeObject)
_Change = Callable[[NodeObject], dict[str, Any] | str]

DONE, ABORTED = "done", "aborted"


class Scaler:
    """The two phases, and what this process knows of the first ones."""

    def __init__(  # noqa: PLR0913 (two clocks)
        self,
        api: Api,
        settings: ScaleIn,
        *,
        identity: str,
        tick_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._api, self._identity, self._monotonic, self._now = api, identity, monotonic, now
        self._wait_seconds = max(settings.confirm_seconds, tick_seconds, 15.0)
        self._first_seen: dict[tuple[str, Cordon], float] = {}

    def note_cordons(self, nodes: Iterable[Node]) -> None:
        """Note which of our cordons are there, and since when this process has seen each of them.

        The times written on nodes are of another machine's clock, or of one that was set since: they prove nothing.
        """
        there = {(node.name, node.cordon) for node in nodes if node.cordon is not None and node.is_unschedulable}
        now = self._monotonic()
        self._first_seen = {key: self._first_seen.get(key, now) for key in there}

    def cordon(self, line: CordonNode, *, fence: Fence) -> str:
        """Carry out the first phase; return `done`, or why not. Raises NotLeader, ClusterError."""
        mark = Cordon(at=self._now(), by=self._identity)

        def change(node: NodeObject) -> dict[str, Any] | str:
            if node.metadata.labels.get(names.POOL) != line.pool:
                return f"its pool is {node.metadata.labels.get(names.POOL) or 'none'} now"
            if names.SCALE_IN in node.metadata.annotations:
                return "it is cordoned by us already"
            if node.spec.unschedulable:
                return "somebody else has cordoned it"
            if names.KEEP in node.metadata.annotations or names.KEEP in node.metadata.labels:
                return "its annotation keeps it"
            taint = {"key": names.SCALE_IN, "value": line.reason, "effect": "NoSchedule"}
            return {
                "metadata": {"annotations": {names.SCALE_IN: msgspec.json.encode(mark).decode()}},
                "spec": {"unschedulable": True, "taints": [*_other_taints(node), taint]},
            }

        return self._change(line.node, change, fence)

    def undo(self, node: str, *, fence: Fence) -> str:
        """Take back our own cordon; return `done`, or why not. Raises NotLeader, ClusterError."""

        def change(found: NodeObject) -> dict[str, Any] | str:
            is_tainted = any(taint.key == names.SCALE_IN for taint in found.spec.taints)
            if names.SCALE_IN not in found.metadata.annotations and not is_tainted:
                return "it has no cordon of ours"
            return {
                "metadata": {"annotations": {names.SCALE_IN: None}},
                "spec": {"unschedulable": None, "taints": _other_taints(found)},
            }

        return self._change(node, change, fence)

    def remove(self, line: RemoveNode, hand: Hand, *, fence: Fence) -> str:
        """Carry out the second phase; return `done`, `aborted`, or why it waits. Raises AutoscalerError."""
        try:
            node = decoded(_NODE, self._api.get_node(line.node), f"node {line.node}")
        except NotFound:
            return "it is gone already"
        if reason := self._not_yet(node, line):
            return reason
        if not node.spec.unschedulable or _taint_of(node) is None:
            # Somebody wants it back: our marks must not keep jobs away any longer.
            self.undo(line.node, fence=fence)
            return ABORTED
        if self._blockers(line.node):
            self.undo(line.node, fence=fence)
            return ABORTED
        hand.end(line.pool, line.instance, node=line.node, fence=fence)
        return DONE

    def _not_yet(self, node: NodeObject, line: RemoveNode) -> str:
        """Return why the second phase has not come; "" if it has."""
        if node.metadata.labels.get(names.POOL) != line.pool:
            return "it is another pool's now"
        cordon = read_cordon(node.metadata.annotations)
        if cordon is None:
            return "it has no cordon of ours"
        seen_at = self._first_seen.get((line.node, cordon))
        if seen_at is None or self._monotonic() - seen_at < self._wait_seconds:
            return "too early: this controller has not seen the cordon for long enough"
        return ""

    def _blockers(self, node: str) -> list[str]:
        """Return the pods that keep the node, read from the API server's store."""
        pages = self._api.pages("pods", PodObject, field_selector=f"spec.nodeName={node}")
        return [pod.metadata.name for page in pages for pod in page.items if blocks_removal(pod)]

    def _change(self, name: str, change: _Change, fence: Fence) -> str:
        """Patch a node as it is now; begin again if it changes meanwhile."""
        for left in reversed(range(_TRIES)):
            try:
                node = decoded(_NODE, self._api.get_node(name), f"node {name}")
                patch = change(node)
                if isinstance(patch, str):
                    return patch
                patch["metadata"]["resourceVersion"] = node.metadata.resource_version
                fence()
                self._api.patch_node(name, patch)
            except NotFound:
                return "it is gone already"
            except Conflict:
                if not left:
                    raise
                continue
            return DONE
        raise AssertionError("unreachable")


def _taint_of(node: NodeObject) -> str | None:
    return next((taint.value for taint in node.spec.taints if taint.key == names.SCALE_IN), None)


def _other_taints(node: NodeObject) -> list[dict[str, str]]:
    """Return all taints but ours, as they are: a list is replaced as a whole."""
    found = []
    for taint in node.spec.taints:
        if taint.key not in {names.SCALE_IN, names.UNSCHEDULABLE}:
            written = {"key": taint.key, "value": taint.value, "effect": taint.effect, "timeAdded": taint.time_added}
            found.append({key: value for key, value in written.items() if value})
    return found
