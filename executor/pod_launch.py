"""Launches the pod that a plan describes, with its pull secret."""

import contextlib
import time
from collections.abc import Callable

from executor import errors, names
from executor.kube import Api, pods_path, secrets_path, with_retries
from executor.log import Log
from executor.manifest import Manifest, pod_manifest, pull_secret_manifest
from executor.plan import PodPlan
from executor.pod_status import Pod, read_pod
from executor.pods import find

_QUOTA_PAUSE_SECONDS = 5.0


def launch(api: Api, plan: PodPlan, job_log: Log, *, sleep: Callable[[float], None] = time.sleep) -> Pod:
    """Create the pod, and its pull secret, and return it. A pod that this attempt has created already is taken over.

    Raises RequestError if the API server will never take it, PodFailed if no quota becomes free, else ClusterError.
    """
    pod = _create_within_quota(api, plan, job_log, sleep=sleep)
    if plan.registries:
        secret = pull_secret_manifest(plan, pod_uid=pod.metadata.uid)
        path, seconds = secrets_path(plan.namespace), plan.settings.budgets.api_seconds
        with contextlib.suppress(errors.Conflict):  # this attempt's own secret: the answer to an earlier try was lost
            with_retries(lambda: api.call("POST", path, body=secret), seconds=seconds, sleep=sleep)
    return pod


def _create_within_quota(api: Api, plan: PodPlan, job_log: Log, *, sleep: Callable[[float], None]) -> Pod:
    """Create the pod, or wait for the namespace's quota. Raises as `launch`."""
    manifest, budget = pod_manifest(plan), plan.settings.budgets.quota_seconds
    waited = 0.0
    while True:
        try:
            return _create(api, plan, manifest, sleep=sleep)
        except errors.OverQuota as error:
            if waited == 0:
                job_log.note(f"waiting for quota: {error}")
            if waited >= budget:
                raise errors.PodFailed(f"no quota within {budget} s, see budgets.quota_seconds: {error}") from error
        pause = min(_QUOTA_PAUSE_SECONDS, budget)
        sleep(pause)
        waited += pause


def _create(api: Api, plan: PodPlan, manifest: Manifest, *, sleep: Callable[[float], None]) -> Pod:
    """Create the pod. Raises OverQuota, RequestError if the API server will never take it, else ClusterError."""
    path, seconds = pods_path(plan.namespace), plan.settings.budgets.api_seconds
    try:
        return read_pod(with_retries(lambda: api.call("POST", path, body=manifest), seconds=seconds, sleep=sleep))
    except errors.Conflict:
        return _take_over(api, plan)
    except errors.NotPermitted as error:
        raise errors.NotPermitted(f"{error}; the rights that the driver needs: docs/reference/rbac.yaml") from error
    except errors.OverQuota:
        raise
    except errors.Forbidden as error:
        raise errors.RequestError(f"the cluster does not admit this job's pod: {error}") from error
    except errors.Rejected as error:
        raise errors.RequestError(f"the API server rejects this job's pod: {error}") from error


def _take_over(api: Api, plan: PodPlan) -> Pod:
    """Return the pod that this attempt has created although the answer was lost. Raises Conflict if it is another's."""
    pod = with_retries(lambda: find(api, plan.namespace, plan.name), seconds=plan.settings.budgets.api_seconds)
    if pod.metadata.labels.get(names.ATTEMPT) != plan.labels[names.ATTEMPT] or pod.is_finished or pod.is_terminating:
        raise errors.Conflict(f"pod {plan.name} exists and belongs to another attempt, whose cleanup deletes it")
    return pod
