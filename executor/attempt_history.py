"""What one attempt tells the next of the same job: at which limits it was killed, and how long it has waited for a node.

A config map beside the pods, so that any manager reads it; it carries a deadline for the sweeper. A record that cannot be
written or read costs a bigger size, never a job.
"""

import re
import time

import msgspec

from executor import errors, names
from executor.kube import Api, config_maps_path
from executor.log import Log


class Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of earlier attempts; None is nothing."""

    memory_limit_bytes: int | None = None
    """The memory limit at which one was killed."""
    disk_limit_bytes: int | None = None
    """The disk limit that one has passed."""
    waited_job_id: int | None = None
    """The job, by GitLab's id, whose attempt waited in vain for a node: the Runner calls prepare up to three times."""
    waited_seconds: int | None = None
    """How long it did."""


def recall(api: Api, namespace: str, name: str, job_log: Log, *, now: float | None = None) -> Earlier:
    """Return what is recorded of a job; nothing if there is no record, or an old one."""
    try:
        record = api.call("GET", config_maps_path(namespace, name))
    except errors.NotFound:
        return Earlier()
    except errors.ClusterError as error:
        job_log.warning(f"the record of earlier attempts cannot be read: {error}")
        return Earlier()
    told = record.get("data")
    if not isinstance(told, dict):
        return Earlier()
    until = _number(told.get("until"))
    if until is None or until < (time.time() if now is None else now):
        return Earlier()
    return Earlier(**{field: _number(told.get(field)) for field in Earlier.__struct_fields__})


def record(  # noqa: PLR0913 (a place, a log, a record)
    api: Api, namespace: str, name: str, job_log: Log, *, news: Earlier, keep_seconds: int
) -> None:
    """Record what is new; the rest of an earlier record stays."""
    data = {key: str(value) for key, value in msgspec.structs.asdict(news).items() if value}
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
        job_log.warning(f"nothing could be recorded for the next attempt: {error}")


def _number(text: object) -> int | None:
    is_number = isinstance(text, str) and re.fullmatch("[0-9]{1,18}", text)
    return int(is_number[0]) if is_number else None
