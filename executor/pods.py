"""One pod at the API server, with its pull secret: find it, delete it."""

import contextlib

from executor import errors
from executor.kube import Api, pods_path, secrets_path, with_retries
from executor.pod_status import Pod, read_pod


def find(api: Api, namespace: str, name: str) -> Pod:
    """Return a pod. Raises NotFound, or Unavailable without retrying."""
    return read_pod(api.call("GET", pods_path(namespace, name)))


def delete(api: Api, namespace: str, name: str, *, grace_seconds: int, seconds: float) -> None:
    """Delete a pod without waiting for it; absence is success. Raises ClusterError once `seconds` are over."""
    query = {"gracePeriodSeconds": str(grace_seconds)}
    with contextlib.suppress(errors.NotFound):
        with_retries(lambda: api.call("DELETE", pods_path(namespace, name), query=query), seconds=seconds)


def delete_secret(api: Api, namespace: str, name: str, *, seconds: float) -> None:
    """Delete a pull secret; absence is success. Raises ClusterError once `seconds` are over."""
    with contextlib.suppress(errors.NotFound):
        with_retries(lambda: api.call("DELETE", secrets_path(namespace, name)), seconds=seconds)
