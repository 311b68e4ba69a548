"""Everything that is known of the cluster now, as one Snapshot: mirrors, hands, job graphs, GitLab.

What cannot be read is missing from `inputs` or old there, and the decision is the more careful for it. A pool whose hand
fails is rejected with the reason, and the others go on.
"""

import contextlib
import time
from collections.abc import Callable, Mapping

import msgspec

from autoscaler.cluster.api import Api
from autoscaler.cluster.mirror import Mirror
from autoscaler.cluster.objects import NodeObject, PodObject
from autoscaler.cluster.reading import Selection, read_node, read_pod
from autoscaler.errors import AutoscalerError
from autoscaler.hands.hand import Hand
from autoscaler.lookahead.gitlab import GitLabQueue
from autoscaler.lookahead.graphs import Graphs
from autoscaler.lookahead.owners import Owners
from autoscaler.service.metrics import Metrics
from autoscaler.service.mounts import Mounts
from autoscaler.snapshot import Graph, Launch, Ledger, Node, Pod, PoolState, QueuedJob, Snapshot


class Observer:
    """The eyes: two mirrors, the hands, and what looks ahead."""

    def __init__(  # noqa: PLR0913 (each source of a Snapshot)
        self,
        api: Api,
        selection: Selection,
        *,
        hands: Mapping[str, Hand],
        graphs: Graphs | None,
        gitlab: GitLabQueue | None,
        owners: Owners,
        metrics: Metrics,
        pod_changed: Callable[[PodObject, str], None] = lambda _pod, _change: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`hands` are by pool; pools of one hand share it. `pod_changed` gets each change of a pod, in a thread."""
        self._mounts, self._pass_on = Mounts(api, clock=clock), pod_changed
        self._hands, self._graphs, self._gitlab, self._metrics, self._clock = hands, graphs, gitlab, metrics, clock
        self._owners = owners
        self._pods: Mirror[PodObject, Pod] = Mirror(
            api, "pods", PodObject, lambda found: read_pod(found, selection), on_change=self._pod_changed, clock=clock
        )
        self._nodes: Mirror[NodeObject, Node] = Mirror(
            api, "nodes", NodeObject, lambda found: read_node(found, selection), clock=clock
        )

    def start(self) -> None:
        """Begin to read."""
        self._pods.start()
        self._nodes.start()
        self._owners.start()
        if self._gitlab:
            self._gitlab.start()

    def stop(self) -> None:
        """End reading."""
        self._pods.stop()
        self._nodes.stop()
        self._owners.stop()
        if self._gitlab:
            self._gitlab.stop()

    @property
    def is_ready(self) -> bool:
        """Whether pods and nodes were read once."""
        return self._pods.read_at is not None and self._nodes.read_at is not None

    @property
    def fault(self) -> str:
        """Why pods or nodes could not be read just now; "" if they could, or are being read."""
        return self._pods.fault or self._nodes.fault

    @property
    def changes(self) -> int:
        """How often pods have changed."""
        return self._pods.changes

    @property
    def is_mounting(self) -> bool:
        """Whether a job's pod waits for its volumes, of which no change of the pod would say anything."""
        return self._mounts.is_needed

    def refreshed(self, snapshot: Snapshot) -> Snapshot:
        """Return a Snapshot with today's pods and nodes; machines, graphs and GitLab's jobs are not asked for anew."""
        read = {"pods": self._pods.read_at, "nodes": self._nodes.read_at}
        return msgspec.structs.replace(
            snapshot,
            taken_at=self._clock(),
            inputs=snapshot.inputs | {name: at for name, at in read.items() if at is not None},
            pods=self._current_pods(),
            nodes=tuple(sorted(self._nodes.values(), key=lambda node: node.name)),
        )

    def _current_pods(self) -> tuple[Pod, ...]:
        return self._mounts.explained(tuple(sorted(self._pods.values(), key=lambda pod: (pod.created_at, pod.uid))))

    def observe(self, ledger: Ledger) -> Snapshot:
        """Return what is known now."""
        now = self._clock()
        inputs = {"pods": self._pods.read_at, "nodes": self._nodes.read_at, "pools": now}
        # Pods first: a pod that is bound to a node of the later list is never missed, only shown too early.
        pods, nodes = self._with_orphans(self._current_pods()), self._nodes.values()
        states, launches = self._look(nodes, now)
        graphs: tuple[Graph, ...] = ()
        queued: tuple[QueuedJob, ...] = ()
        if self._graphs:
            graphs = self._graphs.look(pods)
            inputs["graphs"] = now
        if self._gitlab:
            queued = self._gitlab.jobs()
            inputs["gitlab"] = self._gitlab.read_at
        return Snapshot(
            taken_at=now,
            inputs={name: at for name, at in inputs.items() if at is not None},
            pods=pods,
            nodes=tuple(sorted(nodes, key=lambda node: node.name)),
            pools=states,
            launches=launches,
            graphs=graphs,
            queued=queued,
            ledger=ledger,
        )

    def _look(self, nodes: tuple[Node, ...], now: float) -> tuple[tuple[PoolState, ...], tuple[Launch, ...]]:
        by_machine = {node.instance or node.name: node for node in nodes}
        states: list[PoolState] = []
        launches: list[Launch] = []
        for hand in dict.fromkeys(self._hands.values()):
            pools = [name for name, one in self._hands.items() if one is hand]
            try:
                view = hand.look(by_machine, now)
            except AutoscalerError as error:
                self._metrics.fault("hand")
                states += [PoolState(name=name, rejected=f"its machines cannot be read: {error}") for name in pools]
                continue
            states += view.pools
            launches += view.launches
        return tuple(states), tuple(launches)

    def _with_orphans(self, pods: tuple[Pod, ...]) -> tuple[Pod, ...]:
        """Return the pods; those whose job is over say since when."""
        over = self._owners.over(pods)
        if not over:
            return pods
        return tuple(
            msgspec.structs.replace(pod, orphaned_since=over[pod.uid]) if pod.uid in over else pod for pod in pods
        )  # fmt: skip

    def _pod_changed(self, pod: PodObject, change: str) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._metrics.pod_changed(pod, change)
        self._owners.pod_changed(pod, change)
        self._pass_on(pod, change)
        if self._graphs:
            self._graphs.pod_changed(pod, change)
