"""Tells on each waiting pod why it waits: the annotation `spack-farm.io/waiting`, version 1.

It is written when the reason changes, or the expected start moves by more than a minute; at most so many in one tick, the
longest-waiting pods first. That it cannot be written changes nothing.
"""

import datetime as dt
import logging
from typing import Any

import msgspec

from autoscaler.cluster import names
from autoscaler.cluster.api import Api
from autoscaler.errors import ClusterError
from autoscaler.hands.hand import Fence
from autoscaler.scale_plan import Waiting
from autoscaler.service.log import LOGGER

VERSION = 1
_MOST_PATCHES = 40
_MOVED_SECONDS = 60.0
_LONGEST = 500
_LOG = logging.getLogger(LOGGER)


class WaitingNotes:
    """The annotations, and what was written last on each pod."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._written: dict[str, Waiting] = {}

    def write(self, waiting: tuple[Waiting, ...], *, fence: Fence) -> int:
        """Write what is new; return how many. Raises NotLeader."""
        self._written = {one.uid: self._written[one.uid] for one in waiting if one.uid in self._written}
        count = 0
        for one in sorted(waiting, key=lambda one: one.since):
            if count == _MOST_PATCHES:
                break
            if not _is_news(one, self._written.get(one.uid)):
                continue
            count += 1
            fence()
            try:
                self._api.patch_pod(one.namespace, one.pod, patch_of(one))
            except ClusterError as error:
                _LOG.warning("why a pod waits cannot be written", extra={"pod": one.pod, "cause": str(error)})
                continue
            self._written[one.uid] = one
        return count


def patch_of(waiting: Waiting) -> dict[str, Any]:
    """Return the patch of a pod."""
    document = {
        "version": VERSION,
        "reason": waiting.reason,
        "since": _rfc3339(waiting.since),
        "detail": waiting.detail[:_LONGEST],
        "expected_start": None if waiting.expected_start is None else _rfc3339(waiting.expected_start),
    }
    annotations = {names.WAITING: msgspec.json.encode(document).decode()}
    return {"metadata": {"uid": waiting.uid, "annotations": annotations}}


def _is_news(now: Waiting, before: Waiting | None) -> bool:
    if before is None or now.reason != before.reason:
        return True
    if now.expected_start is None or before.expected_start is None:
        return now.expected_start != before.expected_start
    return abs(now.expected_start - before.expected_start) > _MOVED_SECONDS


def _rfc3339(seconds: float) -> str:
    try:
        return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return "1970-01-01T00:00:00Z"
