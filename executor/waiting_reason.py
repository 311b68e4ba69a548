"""Why a pod waits, as the autoscaler has written it on the pod, and its line in the job log. Pure.

The document: docs/reference/waiting.schema.json, version 1. One that cannot be read, or is of a later version, counts as
absent: the scheduler's own message stays. Which reason it is, is never taken from its text.
"""

import datetime as dt

import msgspec

from executor.units import in_time

UNKNOWN, FITS_NO_TYPE = "unknown", "fits_no_type"
_LONGEST_DETAIL = 600
_MEANINGS = {
    "pool_at_limit": "no more nodes can be ordered now",
    "node_booting": "a node boots for this job",
    "taint": "this pod does not tolerate the taints of the nodes that could take it",
    FITS_NO_TYPE: "this pod is larger than any node that can be ordered",
    "quota": "a quota is used up",
    "image": "an image cannot be pulled",
    "secret": "a secret or config map that this pod needs is missing",
    "volume": "a volume that this pod needs is missing",
}
"""Every reason but `unknown`; a reason that is not among them counts as that."""
ON_A_NODE = frozenset({"image", "secret", "volume"})
"""Reasons that a pod may have that has its node."""


class WaitingReason(msgspec.Struct, frozen=True):
    """The annotation `spack-farm.io/waiting`: only what is read."""

    version: int
    reason: str = UNKNOWN
    detail: str = ""
    expected_start: str | None = None
    """RFC 3339."""
    exceeds: tuple[str, ...] = ()
    """Of `fits_no_type`: the resources, by their names in Kubernetes, of which the pod requests too much."""


def read_waiting_reason(text: str) -> WaitingReason | None:
    """Return what an annotation says; None if it is absent or cannot be read."""
    try:
        found = msgspec.json.decode(text, type=WaitingReason)
    except (msgspec.MsgspecError, RecursionError):
        return None
    if found.version != 1:
        return None
    detail = " ".join(found.detail.split())[:_LONGEST_DETAIL]
    reason = found.reason if found.reason in _MEANINGS else UNKNOWN
    return msgspec.structs.replace(found, reason=reason, detail=detail)


def waiting_message(found: WaitingReason, *, now: float) -> str:
    """Return the line of a reason; `now` is Unix time. Not for `unknown`, beside which the scheduler's message counts."""
    detail = f": {found.detail}" if found.detail else ""
    return f"waiting ({found.reason}): {_MEANINGS[found.reason]}{detail}{expected_text(found, now=now)}"


def expected_text(found: WaitingReason, *, now: float) -> str:
    """Return `; expected to start in 2 min, at 12:05:30 UTC`; "" if that is not known."""
    try:
        at = dt.datetime.fromisoformat(found.expected_start or "")
        seconds = at.timestamp() - now
        clock = at.astimezone(dt.UTC).strftime("%H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return ""
    if seconds <= 0:
        return "; expected to start any moment"
    return f"; expected to start in {in_time(seconds)}, at {clock}"


def never_fits_message(found: WaitingReason, *, is_jobs_size: bool) -> str:
    """Return what ends the job after `fits_no_type`, with what to do: by the job's author, or by the operator."""
    advice = (
        "lower the job's KUBERNETES_* sizes, or ask the operator for a larger type of node"
        if is_jobs_size
        else "lower the sizes in [kubernetes], or give the autoscaler a larger type of node"
    )
    return f"{_MEANINGS[FITS_NO_TYPE]}: {found.detail or 'the autoscaler does not say more'}; {advice}"
