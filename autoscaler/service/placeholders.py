"""Room for jobs that come, as pods of the lowest priority: for autoscalers that know nothing else. One for each piece.

The other autoscaler sees such a pod wait and starts a node; the first job that needs the room pushes it out. A placeholder
that is bound holds its node. Those that are no longer expected are deleted, the ones that still wait first.
"""

from collections.abc import Iterable

from autoscaler.cluster import names
from autoscaler.cluster.api import Api
from autoscaler.cluster.objects import PodObject
from autoscaler.hands.hand import Fence
from autoscaler.service.expected import Expected, labels, template


class Placeholders:
    """The pods. Their names are never used twice: one that is being deleted is no obstacle."""

    def __init__(self, api: Api, *, owner: str) -> None:
        self._api, self._owner = api, owner

    def apply(self, expected: Iterable[Expected], *, at: float, fence: Fence) -> int:
        """Create what is missing, delete what is too much; return how many were created. Raises ClusterError, NotLeader."""
        there = self._there()
        wanted = {one.name: one for one in expected}
        created = 0
        for name, one in wanted.items():
            for number in range(one.count - len(there.get(name, ()))):
                fence()
                body = {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {
                        "name": f"{name}-{int(at):x}-{number}",
                        "labels": labels(one, self._owner) | {names.POOL: one.pool.name},
                    },
                    "spec": template(one),
                }
                self._api.create_pod(self._api.namespace, body)
                created += 1
        for name, pods in there.items():
            count = wanted[name].count if name in wanted else 0
            for pod in sorted(pods, key=lambda pod: (not pod.spec.node_name, pod.metadata.creation_timestamp))[count:]:
                fence()
                self._api.delete_pod(pod.metadata.namespace, pod.metadata.name, uid=pod.metadata.uid)
        return created

    def _there(self) -> dict[str, list[PodObject]]:
        """Return our placeholders by what they stand for; those that go or have ended hold nothing."""
        found: dict[str, list[PodObject]] = {}
        for page in self._api.pages("pods", PodObject, label_selector=f"{names.PAUSE}=true,{names.OWNER}={self._owner}"):
            for pod in page.items:
                gone = pod.metadata.deletion_timestamp or pod.status.phase in {"Succeeded", "Failed"}
                if pod.metadata.namespace == self._api.namespace and not gone:
                    found.setdefault(pod.metadata.labels.get(names.PLACEHOLDER, ""), []).append(pod)
        return found
