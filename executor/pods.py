"""One pod at the API server, with its pull secret: find it, read what its containers have printed, delete it."""

import contextlib

from executor import errors, names
from executor.kube import Api, pods_path, secrets_path, with_retries
from executor.plan import PodPlan
from executor.pod_agent import FACTS_BEGIN
from executor.pod_status import Pod, read_pod

_MOST_LINES = 50
_MOST_BYTES = 16 << 10


def find(api: Api, namespace: str, name: str) -> Pod:
    """Return a pod. Raises NotFound, or Unavailable without retrying."""
    return read_pod(api.call("GET", pods_path(namespace, name)))


def note_outcome(api: Api, namespace: str, name: str, outcome: str) -> None:
    """Annotate a pod that is about to be deleted with what became of its job, once.

    It is for what looks ahead in a job graph, so nothing is to fail for it: that it cannot be written is no error.
    """
    with contextlib.suppress(errors.ClusterError):
        api.call("PATCH", pods_path(namespace, name), body={"metadata": {"annotations": {names.OUTCOME: outcome}}})


def delete(api: Api, namespace: str, name: str, *, grace_seconds: int, seconds: float) -> None:
    """Delete a pod without waiting for it; absence is success. Raises ClusterError once `seconds` are over."""
    query = {"gracePeriodSeconds": str(grace_seconds)}
    with contextlib.suppress(errors.NotFound):
        with_retries(lambda: api.call("DELETE", pods_path(namespace, name), query=query), seconds=seconds)


def delete_secret(api: Api, namespace: str, name: str, *, seconds: float) -> None:
    """Delete a pull secret; absence is success. Raises ClusterError once `seconds` are over."""
    with contextlib.suppress(errors.NotFound):
        with_retries(lambda: api.call("DELETE", secrets_path(namespace, name)), seconds=seconds)


def printed(api: Api, plan: PodPlan, container: str) -> str:
    """Return the last lines that a container's entrypoint has printed, each indented on a new line; "" if there are none.

    They are for a message: that they cannot be read is no error of its own.
    """
    query = {"container": container, "tailLines": str(_MOST_LINES), "limitBytes": str(_MOST_BYTES)}
    try:
        log = api.text(pods_path(plan.namespace, plan.name, "log"), query)
    except errors.ClusterError:
        return ""
    lines = log.partition(FACTS_BEGIN)[0].splitlines()
    return "".join(f"\n  {line}" for line in lines if line.strip())
