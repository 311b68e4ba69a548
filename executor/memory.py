"""What one attempt tells the next of the same job: at which limits of memory and disk it was killed.

A config map beside the pods, so that any manager reads it; it carries a deadline for the sweeper. A record that cannot be
written or read costs a bigger size, never a job.
"""

import time

import msgspec

from executor import errors, names
from executor.kube import Api, config_maps_path
from executor.log import Log


class Killed(msgspec.Struct, frozen=True, kw_only=True):
    """The limits at which earlier attempts were killed; None is none."""

    memory_bytes: int | None = None
    disk_bytes: int | None = None


def recall(api: Api, namespace: str, name: str, job_log: Log, *, now: float | None = None) -> Killed:
    """Return what is recorded of a job; nothing if there is no record, or an old one."""
    try:
        record = api.call("GET", config_maps_path(namespace, name))
    except errors.NotFound:
        return Killed()
    except errors.ClusterError as error:
        job_log.warning(f"the record of earlier kills cannot be read: {error}")
        return Killed()
    told = record.get("data") or {}
    until = _number(told.get("until"))
    if until is None or until < (time.time() if now is None else now):
        return Killed()
    return Killed(memory_bytes=_number(told.get("memory_limit_bytes")), disk_bytes=_number(told.get("disk_limit_bytes")))


def record(  # noqa: PLR0913 (a place, a log, a record)
    api: Api, namespace: str, name: str, job_log: Log, *, killed: Killed, keep_seconds: int
) -> None:
    """Record a kill, over an earlier record of the same resource."""
    limits = {"memory_limit_bytes": killed.memory_bytes, "disk_limit_bytes": killed.disk_bytes}
    data = {key: str(limit) for key, limit in limits.items() if limit}
    data |= {"version": "1", "until": str(int(time.time()) + keep_seconds)}
    document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": {names.MANAGED_BY: "executor"}},
        "data": data,
    }
    try:
        try:
            api.call("POST", config_maps_path(namespace), body=document)
        except errors.Conflict:
            api.call("PATCH", config_maps_path(namespace, name), body={"data": data})
    except errors.ClusterError as error:
        job_log.warning(f"the kill could not be recorded for the next attempt: {error}")


def _number(text: object) -> int | None:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else None
