"""Room for jobs that come, as CapacityBuffer objects: for Karpenter and Cluster Autoscaler with their buffers switched on.

One buffer for each kind of room, with as many replicas as pieces; its PodTemplate has the shape. No pod is created: the
other autoscaler counts with pods that are not there. Source: autoscaling.x-k8s.io, CapacityBuffer, of which the fields used
here are the same in v1, v1beta1 and v1alpha1.
"""

from collections.abc import Iterable

from autoscaler.cluster import names
from autoscaler.cluster.api import Api, JsonObject
from autoscaler.cluster.objects import BufferObject
from autoscaler.errors import BadRequest, NotFound
from autoscaler.hands.hand import Fence
from autoscaler.service.expected import Expected, labels, template

GROUP, PLURAL = "autoscaling.x-k8s.io", "capacitybuffers"
VERSIONS = ("v1", "v1beta1", "v1alpha1")
STRATEGY = "buffer.x-k8s.io/active-capacity"


class Buffers:
    """The buffers, each with a PodTemplate of its own name."""

    def __init__(self, api: Api, *, owner: str) -> None:
        self._api, self._owner = api, owner
        self._version = ""

    def apply(self, expected: Iterable[Expected], *, at: float, fence: Fence) -> int:
        """Create, change and delete; return how many pieces are new. Raises BadRequest, ClusterError, NotLeader."""
        del at
        there = {one.metadata.name: one for one in self._there()}
        wanted = {one.name: one for one in expected}
        new = 0
        for name, one in wanted.items():
            old = there.get(name)
            if old is not None and _is_right(old, one):
                continue
            fence()
            body = self._body(one, old)
            if old is None:
                self._api.create_pod_template(self._template(one))
                self._api.create_custom(GROUP, self._version, PLURAL, body)
            else:
                self._api.replace_custom(GROUP, self._version, PLURAL, name, body)
            new += max(one.count - (old.spec.replicas or 0 if old else 0), 0)
        for name in there.keys() - wanted.keys():
            fence()
            self._api.delete_custom(GROUP, self._version, PLURAL, name)
            self._api.delete_pod_template(name)
        return new

    def _there(self) -> list[BufferObject]:
        """Return our buffers, and find out which version of the kind the cluster has."""
        selector = f"{names.PAUSE}=true,{names.OWNER}={self._owner}"
        for version in (self._version,) if self._version else VERSIONS:
            try:
                found = self._api.list_custom(GROUP, version, PLURAL, BufferObject, label_selector=selector)
            except NotFound:
                continue
            self._version = version
            return found
        self._version = ""
        raise BadRequest(
            f"the cluster has no CapacityBuffer ({GROUP}): install its definition and switch buffers on in the other "
            'autoscaler, or set service.placeholders = "pods"'
        )

    def _template(self, one: Expected) -> JsonObject:
        return {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "metadata": {"name": one.name, "labels": labels(one, self._owner)},
            "template": {"metadata": {"labels": labels(one, self._owner)}, "spec": template(one)},
        }

    def _body(self, one: Expected, old: BufferObject | None) -> JsonObject:
        metadata: JsonObject = {"name": one.name, "labels": labels(one, self._owner) | {names.POOL: one.pool.name}}
        if old is not None:
            metadata["resourceVersion"] = old.metadata.resource_version
        spec = {"provisioningStrategy": STRATEGY, "podTemplateRef": {"name": one.name}, "replicas": one.count}
        return {"apiVersion": f"{GROUP}/{self._version}", "kind": "CapacityBuffer", "metadata": metadata, "spec": spec}


def _is_right(old: BufferObject, one: Expected) -> bool:
    spec = old.spec
    return (spec.replicas, spec.pod_template_ref.name, spec.provisioning_strategy) == (one.count, one.name, STRATEGY)
