"""Writes on each waiting pod why it waits: the annotation `spack-farm.io/waiting`, version 1, and removes it afterwards.

It is written when the reason changes, or the expected start moves by more than a minute; within a time for each round, the
pods that have waited longest first. What stands on the pods is known from the watch: a new controller writes nothing anew.
That it cannot be written changes nothing. Document: docs/reference/waiting.schema.json.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from autoscaler.cluster import names
from autoscaler.cluster.api import Api
from autoscaler.cluster.objects import PodObject
from autoscaler.cluster.reading import seconds
from autoscaler.errors import ClusterError
from autoscaler.hands.hand import Fence
from autoscaler.outages import Outage
from autoscaler.scale_plan import Waiting, WaitReason
from autoscaler.snapshot import JOB, Pod

VERSION = 1
_MOST_SECONDS = 5.0
"""For one round of writing: decisions must not wait for it."""
_FENCE_SECONDS = 1.0
"""A controller that has lost its lease writes reasons for so long at most; they do no harm."""
_MOVED_SECONDS = 60.0
_LONGEST = 500


class WaitingDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a pod waits, version 1: the annotation `spack-farm.io/waiting` of a job's pod, as JSON."""

    version: int
    """Version of this document."""
    reason: WaitReason
    """From the closed list; a reader takes one that it does not know for `unknown`."""
    since: str
    """Since when the pod waits for this reason: RFC 3339, UTC."""
    detail: str
    """For people; at most 500 characters."""
    expected_start: str | None
    """When it is expected to have a node: RFC 3339, UTC; None if that is not known."""
    exceeds: tuple[str, ...] = ()
    """Of `fits_no_type`: the resources, by their names in Kubernetes, of which it requests more than any type has."""


class WaitingNotes:
    """The annotations: what the watch shows of them, and what was written last on each pod."""

    def __init__(self, api: Api, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._api, self._clock = api, clock
        self._shown: dict[str, WaitingDocument | None] = {}
        """What the watch has shown; None: an annotation that cannot be read. Changed by the watch's thread."""
        self._written: dict[str, WaitingDocument] = {}
        self._outage = Outage("why a pod waits cannot be written", "why pods wait can be written again")

    def pod_changed(self, pod: PodObject, change: str) -> None:
        """Note what stands on a pod."""
        text = pod.metadata.annotations.get(names.WAITING)
        if text is None or change == "DELETED":
            self._shown.pop(pod.metadata.uid, None)
            return
        try:
            self._shown[pod.metadata.uid] = msgspec.json.decode(text, type=WaitingDocument)
        except (msgspec.MsgspecError, RecursionError):
            self._shown[pod.metadata.uid] = None

    def write(self, waiting: Iterable[Waiting], pods: Iterable[Pod], *, now: float, fence: Fence) -> int:
        """Write what is new, remove what is over; return how many pods were changed. Raises NotLeader."""
        live = {pod.uid: pod for pod in pods}
        wait = {one.uid: one for one in waiting}
        self._written = {uid: one for uid, one in self._written.items() if uid in wait}
        for uid in [uid for uid in list(self._shown) if uid not in live]:
            self._shown.pop(uid, None)
        begun = self._clock()
        fenced_at, count = float("-inf"), 0
        for namespace, name, uid, document in self._changes(wait, live, now):
            at = self._clock()
            if at - begun > _MOST_SECONDS:
                break
            if at - fenced_at > _FENCE_SECONDS:
                fence()
                fenced_at = at
            count += 1
            try:
                self._api.patch_pod(namespace, name, patch_of(uid, document))
            except ClusterError as error:
                self._outage.failed(error, pod=name)
                continue
            self._outage.worked()
            if document is None:
                self._shown.pop(uid, None)
            else:
                self._written[uid] = document
        return count

    def _changes(
        self, wait: dict[str, Waiting], live: dict[str, Pod], now: float
    ) -> list[tuple[str, str, str, WaitingDocument | None]]:
        """Return namespace, name and identity of pods with what is to stand on them; None removes it."""
        found: list[tuple[str, str, str, WaitingDocument | None]] = []
        for one in sorted(wait.values(), key=lambda one: one.since):
            before = self._written.get(one.uid) or self._shown.get(one.uid)
            document = document_of(one, before, now=now)
            if is_news(document, before):
                found.append((one.namespace, one.pod, one.uid, document))
        over = [uid for uid in list(self._shown) if uid not in wait and live[uid].kind == JOB]
        # A pod that is about to be deleted keeps its reason: that was why it never ran.
        found += [(live[uid].namespace, live[uid].name, uid, None) for uid in over if not live[uid].is_terminating]
        return found


def document_of(waiting: Waiting, before: WaitingDocument | None, *, now: float) -> WaitingDocument:
    """Return the annotation; a reason that has replaced another one holds since now."""
    since = _rfc3339(waiting.since)
    if before is not None:
        since = before.since if before.reason == waiting.reason else _rfc3339(now)
    start = waiting.expected_start
    return WaitingDocument(
        version=VERSION, reason=waiting.reason, since=since, detail=waiting.detail[:_LONGEST],
        expected_start=None if start is None else _rfc3339(start), exceeds=waiting.exceeds,
    )  # fmt: skip


def patch_of(uid: str, document: WaitingDocument | None) -> dict[str, Any]:
    """Return the patch of a pod: of nothing but the annotation, and only if it is still this pod."""
    text = None if document is None else msgspec.json.encode(document).decode()
    return {"metadata": {"uid": uid, "annotations": {names.WAITING: text}}}


def is_news(now: WaitingDocument, before: WaitingDocument | None) -> bool:
    """Return whether a pod's annotation is to be replaced."""
    if before is None or (now.version, now.reason, now.exceeds) != (before.version, before.reason, before.exceeds):
        return True
    if now.expected_start is None or before.expected_start is None:
        return now.expected_start != before.expected_start
    return abs(seconds(now.expected_start) - seconds(before.expected_start)) > _MOVED_SECONDS


def _rfc3339(at: float) -> str:
    try:
        return dt.datetime.fromtimestamp(at, tz=dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return "1970-01-01T00:00:00Z"
