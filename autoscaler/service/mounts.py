"""Why pods that have a node do not get their volumes: only the kubelet's Events say it, not the pods' status.

Asked only while such a pod is there, and not more often than every few seconds: two lists, whatever the number of pods.
Without the right to list Events these pods have no reason, and all else goes on.
"""

import time
from collections.abc import Callable

import msgspec

from autoscaler.cluster.api import Api
from autoscaler.cluster.objects import EventObject
from autoscaler.cluster.reading import mount_faults
from autoscaler.errors import ClusterError, NotPermitted
from autoscaler.outages import Outage
from autoscaler.snapshot import JOB, Pod

_REASONS = ("FailedMount", "FailedAttachVolume")
_AGAIN_SECONDS = 3.0
_DENIED_SECONDS = 600.0
_PATIENT_SECONDS = 2.0
"""A pod that was just bound has not tried yet."""


class Mounts:
    """What was read last."""

    def __init__(self, api: Api, *, clock: Callable[[], float] = time.time) -> None:
        self._api, self._clock = api, clock
        self._next_at = 0.0
        self._events: list[EventObject] = []
        self._outage = Outage("why volumes are missing cannot be read", "why volumes are missing can be read again")
        self.is_needed = False
        """Whether there was a pod that waits for its volumes: the next look at its Events may say why."""

    def explained(self, pods: tuple[Pod, ...]) -> tuple[Pod, ...]:
        """Return the pods; those that wait for a volume or a secret say so."""
        now = self._clock()
        self.is_needed = any(pod.is_mounting and pod.kind == JOB for pod in pods)
        stuck = {
            pod.uid for pod in pods
            if pod.is_mounting and pod.kind == JOB and not pod.blocked and now - pod.bound_at >= _PATIENT_SECONDS
        }  # fmt: skip
        if not stuck:
            return pods
        if now >= self._next_at:
            self._read(now)
        faults = {uid: fault for uid, fault in mount_faults(self._events, now).items() if uid in stuck}
        if not faults:
            return pods
        return tuple(
            msgspec.structs.replace(pod, blocked=faults[pod.uid][0], blocked_detail=faults[pod.uid][1])
            if pod.uid in faults
            else pod
            for pod in pods
        )

    def _read(self, now: float) -> None:
        self._next_at = now + _AGAIN_SECONDS
        try:
            self._events = [
                event
                for reason in _REASONS
                for page in self._api.pages("events", EventObject, field_selector=f"reason={reason}")
                for event in page.items
            ]
        except NotPermitted as error:
            self._next_at = now + _DENIED_SECONDS
            cause = f"{error}; see deploy/autoscaler/rbac.yaml"
            self._outage.failed(cause)
        except ClusterError as error:
            self._outage.failed(error)
        else:
            self._outage.worked()
