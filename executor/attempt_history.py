"""What one attempt leaves for the next of the same job: the limits that were too small, and how long it waited for a node.

A config map beside the pods, so that any manager reads it; it carries a deadline for the sweeper. A history that cannot be
written or read may cost a larger size, never a job.
"""

import re
import time

import msgspec

from executor import errors, names
from executor.kube import Api, config_maps_path
from executor.log import Log


class Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of earlier attempts; None means nothing."""

    memory_limit_bytes: int | None = None
    """The memory limit at which one was killed."""
    disk_limit_bytes: int | None = None
    """The disk limit that one exceeded."""
    attempts: int | None = None
    """How many of them are recorded: those that were killed for memory or disk, or waited for a node in vain."""
    waited_job_id: int | None = None
    """The job, by GitLab's id, whose attempt waited for a node in vain: the Runner calls prepare up to three times."""
    waited_seconds: int | None = None
    """How long it waited."""

    @property
    def next_number(self) -> int:
        """The number of the attempt that comes next, from 1; 0 if that is unknown."""
        return 0 if self.attempts is None else self.attempts + 1

    def waited_for(self, job_id: int) -> int:
        """Return how many seconds earlier attempts of this very job waited for a node."""
        return (self.waited_seconds or 0) if self.waited_job_id == job_id else 0


_NO_RECORD = Earlier(attempts=0)


class AttemptHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The history of one job, in the config map `name`."""

    api: Api
    namespace: str
    name: str
    keep_seconds: int
    """How long what is added stays valid."""
    job_log: Log

    def read(self, *, now: float | None = None) -> Earlier:
        """Return what is recorded; nothing if there is no record, or an expired one."""
        try:
            record = self.api.call("GET", config_maps_path(self.namespace, self.name))
        except errors.NotFound:
            return _NO_RECORD
        except errors.ClusterError as error:
            self.job_log.warning(f"the record of earlier attempts cannot be read: {error}")
            return Earlier()
        return earlier_in(record, now=time.time() if now is None else now)

    def add(self, news: Earlier) -> None:
        """Record what is new; the rest of an earlier record stays."""
        data = {key: str(value) for key, value in msgspec.structs.asdict(news).items() if value}
        data |= {"version": "1", "until": str(int(time.time()) + self.keep_seconds)}
        document = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": {names.MANAGED_BY: "executor"}},
            "data": data,
        }
        try:
            try:
                self.api.call("POST", config_maps_path(self.namespace), body=document)
            except errors.Conflict:
                self.api.call("PATCH", config_maps_path(self.namespace, self.name), body={"data": data})
        except errors.ClusterError as error:
            self.job_log.warning(f"nothing could be recorded for the next attempt: {error}")


def earlier_in(record: dict[str, object], *, now: float) -> Earlier:
    """Return what a config map says; nothing if it has expired or holds something else."""
    data = record.get("data")
    until = _number(data.get("until")) if isinstance(data, dict) else None
    if not isinstance(data, dict) or until is None:
        return Earlier()
    if until < now:
        return _NO_RECORD
    return Earlier(**{field: _number(data.get(field)) for field in Earlier.__struct_fields__})


def _number(text: object) -> int | None:
    is_number = isinstance(text, str) and re.fullmatch("[0-9]{1,18}", text)
    return int(is_number[0]) if is_number else None
