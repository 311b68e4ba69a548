"""What one attempt tells the next of the same job: at which memory limit it was killed.

A config map beside the pods, so that any manager reads it; it carries a deadline for the sweeper. A record that cannot be
written or read costs a bigger size, never a job.
"""

import time

from executor import errors, names
from executor.kube import Api, config_maps_path
from executor.log import Log


def recall(api: Api, namespace: str, name: str, job_log: Log, *, now: float | None = None) -> int | None:
    """Return the limit in bytes at which an earlier attempt was killed; None if there is no record, or an old one."""
    try:
        record = api.call("GET", config_maps_path(namespace, name))
    except errors.NotFound:
        return None
    except errors.ClusterError as error:
        job_log.warning(f"the record of earlier memory kills cannot be read: {error}")
        return None
    told = record.get("data") or {}
    limit, until = str(told.get("memory_limit_bytes", "")), str(told.get("until", ""))
    if not (limit.isdecimal() and until.isdecimal()) or int(until) < (time.time() if now is None else now):
        return None
    return int(limit)


def record(  # noqa: PLR0913 (a place, a log, two figures)
    api: Api, namespace: str, name: str, job_log: Log, *, limit_bytes: int, keep_seconds: int
) -> None:
    """Record a kill, over an earlier record."""
    until = int(time.time()) + keep_seconds
    document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": {names.MANAGED_BY: "executor"}},
        "data": {"version": "1", "memory_limit_bytes": str(limit_bytes), "until": str(until)},
    }
    try:
        try:
            api.call("POST", config_maps_path(namespace), body=document)
        except errors.Conflict:
            api.call("PATCH", config_maps_path(namespace, name), body={"data": document["data"]})
    except errors.ClusterError as error:
        job_log.warning(f"the memory kill could not be recorded for the next attempt: {error}")
