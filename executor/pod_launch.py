"""Launches the pod that a plan describes, with its pull secret."""

import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

from executor import errors, names
from executor.admission import never_fits, refusal
from executor.kube import Api, config_maps_path, pods_path, secrets_path, with_retries
from executor.log import Log
from executor.manifest import Manifest, agent_files_manifest, owner_references, pod_manifest, pull_secret_manifest
from executor.plan import PodPlan
from executor.pod_status import Pod, read_pod
from executor.pods import find

_QUOTA_PAUSE_SECONDS = 5.0
_RIGHTS = "the rights that the driver needs: docs/reference/rbac.yaml"
_Made = TypeVar("_Made")


def launch(api: Api, plan: PodPlan, job_log: Log, *, sleep: Callable[[float], None] = time.sleep) -> Pod:
    """Create the pull secret, then the pod, and return it. A pod that this attempt has created already is taken over.

    The secret comes first, so that the kubelet never pulls without it; the pod owns it as soon as there is a pod.
    Raises RequestError or SettingsError if the API server will never take it, PodFailed if no quota becomes free, else
    ClusterError.
    """
    _within_quota(lambda: _provide_agent(api, plan, sleep=sleep), plan, job_log, sleep=sleep)
    if plan.registries:
        _within_quota(lambda: _create_secret(api, plan, sleep=sleep), plan, job_log, sleep=sleep)
    pod = _within_quota(lambda: _create(api, plan, sleep=sleep), plan, job_log, sleep=sleep)
    if plan.registries:
        _give_to(pod, api, plan, job_log, sleep=sleep)
    return pod


def _provide_agent(api: Api, plan: PodPlan, *, sleep: Callable[[float], None]) -> None:
    """Create the config map with the pod agent unless it is there. Raises ClusterError, or SettingsError for another's."""
    wanted = agent_files_manifest(plan)
    name, seconds = wanted["metadata"]["name"], plan.settings.budgets.api_seconds

    def provide() -> Manifest:
        try:
            return api.call("GET", config_maps_path(plan.namespace, name))
        except errors.NotFound:
            with contextlib.suppress(errors.Conflict):  # another job's driver was faster
                return api.call("POST", config_maps_path(plan.namespace), body=wanted)
            return api.call("GET", config_maps_path(plan.namespace, name))

    found = with_retries(provide, seconds=seconds, sleep=sleep)
    if any(found.get(key) != wanted[key] for key in ("data", "binaryData")):
        raise errors.SettingsError(
            f"config map {plan.namespace}/{name} should hold the driver's program and holds something else: delete it"
        )


def _within_quota(create: Callable[[], _Made], plan: PodPlan, job_log: Log, *, sleep: Callable[[float], None]) -> _Made:
    """Create an object, or wait for the namespace's quota. Raises as `launch`."""
    budget = plan.settings.budgets.quota_seconds
    waited = 0.0
    while True:
        try:
            return create()
        except errors.OverQuota as error:
            hopeless = never_fits(error, plan)
            if hopeless is not None:
                raise hopeless from error
            if waited == 0:
                job_log.note(f"waiting for quota: {error}")
            if waited >= budget:
                raise errors.PodFailed(f"no quota within {budget} s, see budgets.quota_seconds: {error}") from error
        pause = min(_QUOTA_PAUSE_SECONDS, budget)
        sleep(pause)
        waited += pause


def _create_secret(api: Api, plan: PodPlan, *, sleep: Callable[[float], None], pod: Pod | None = None) -> None:
    """Create the pull secret. Raises OverQuota, else ClusterError."""
    body = pull_secret_manifest(plan, pod_uid=pod.metadata.uid if pod else "")
    path, seconds = secrets_path(plan.namespace), plan.settings.budgets.api_seconds
    try:
        with contextlib.suppress(errors.Conflict):  # this attempt's own secret: the answer to an earlier try was lost
            with_retries(lambda: api.call("POST", path, body=body), seconds=seconds, sleep=sleep)
    except errors.NotPermitted as error:
        raise errors.NotPermitted(f"{error}; {_RIGHTS}") from error


def _give_to(pod: Pod, api: Api, plan: PodPlan, job_log: Log, *, sleep: Callable[[float], None]) -> None:
    """Make the pod the owner of its pull secret, which is then deleted with it."""
    change = {"metadata": {"ownerReferences": owner_references(plan, pod_uid=pod.metadata.uid)}}
    path, seconds = secrets_path(plan.namespace, plan.name), plan.settings.budgets.api_seconds
    try:
        with_retries(lambda: api.call("PATCH", path, body=change), seconds=seconds, sleep=sleep)
    except errors.NotFound:
        _create_secret(api, plan, sleep=sleep, pod=pod)
    except errors.NotPermitted as error:
        job_log.warning(f"secret {plan.name} with the job's registry logins stays after the job: {error}; {_RIGHTS}")


def _create(api: Api, plan: PodPlan, *, sleep: Callable[[float], None]) -> Pod:
    """Create the pod. Raises OverQuota; RequestError or SettingsError if it is never taken; else ClusterError."""
    manifest = pod_manifest(plan)
    path, seconds = pods_path(plan.namespace), plan.settings.budgets.api_seconds
    try:
        return read_pod(with_retries(lambda: api.call("POST", path, body=manifest), seconds=seconds, sleep=sleep))
    except errors.Conflict:
        return _take_over(api, plan)
    except errors.NotPermitted as error:
        raise errors.NotPermitted(f"{error}; {_RIGHTS}") from error
    except errors.OverQuota:
        raise
    except (errors.Forbidden, errors.Rejected) as error:
        raise refusal(error, plan) from error


def _take_over(api: Api, plan: PodPlan) -> Pod:
    """Return the pod that this attempt has created although the answer was lost. Raises Conflict if it is another's."""
    pod = with_retries(lambda: find(api, plan.namespace, plan.name), seconds=plan.settings.budgets.api_seconds)
    if pod.metadata.labels.get(names.ATTEMPT) != plan.labels[names.ATTEMPT] or pod.is_finished or pod.is_terminating:
        raise errors.Conflict(f"pod {plan.name} exists and belongs to another attempt, whose cleanup deletes it")
    return pod
