"""The verb `cleanup`: note what became of a job of a job graph, and delete the attempt's pod."""

import time

from executor import metrics, names, pods
from executor.attempt import Attempt
from executor.call import Call
from executor.kube import open_api

_MOST_SECONDS = 50  # below `cleanup_exec_timeout` of our config.toml.example


def cleanup(call: Call) -> None:
    """Delete the attempt's pod, and a secret that no pod owns, without waiting; no pod and no attempt are fine.

    Where the settings say so, the pod of a failed job stays, with a line in the manager's log.
    Raises ClusterError if the API server refuses or does not answer.
    """
    attempt, settings = call.attempt, call.settings
    job_status = call.invocation.variable("CI_JOB_STATUS")
    metrics.add(settings, {metrics.series(metrics.JOBS, outcome=_outcome(attempt, job_status)): 1}, call.job_log)
    if attempt is None:
        return
    if settings.keep_failed and job_status == "failed" and attempt.uid and not attempt.fate.lost:
        call.job_log.note(
            f"pod {attempt.namespace}/{attempt.pod} of a failed job is kept, see keep_failed; its containers end "
            f"{settings.orphan_after_seconds} s from now, or with `kubectl delete pod -n {attempt.namespace} {attempt.pod}`"
        )
        return
    grace = settings.kubernetes.cleanup_grace_period_seconds
    began = time.monotonic()
    api = open_api(call.invocation.folder)
    if attempt.uid and names.graph_labels(call.invocation.variables):
        outcome = names.outcome_of(job_status=job_status, is_lost=bool(attempt.fate.lost))
        pods.note_outcome(api, attempt.namespace, attempt.pod, outcome)
    seconds = min(_MOST_SECONDS - (time.monotonic() - began), settings.budgets.api_seconds)
    pods.delete(api, attempt.namespace, attempt.pod, grace_seconds=grace, seconds=seconds)
    if attempt.secret:
        pods.delete_secret(api, attempt.namespace, attempt.secret, seconds=seconds)


def _outcome(attempt: Attempt | None, job_status: str) -> str:
    """Return how the attempt is counted. Not every word that a job may set as its status becomes a series."""
    if attempt is None or not attempt.uid:
        return "not_started"
    if attempt.fate.lost:
        return "lost"
    return job_status if job_status in {"success", "failed", "canceled", "timedout"} else "unknown"
