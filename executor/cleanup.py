"""The verb `cleanup`: delete the attempt's pod."""

from executor import pods
from executor.call import Call
from executor.kube import open_api

_MOST_SECONDS = 50  # below `cleanup_exec_timeout` of our config.toml.example


def cleanup(call: Call) -> None:
    """Delete the attempt's pod, and a secret that no pod owns, without waiting; no pod and no attempt are fine.

    Where the settings say so, the pod of a failed job stays, with a line in the manager's log.
    Raises ClusterError if the API server refuses or does not answer.
    """
    attempt, settings = call.attempt, call.settings
    if attempt is None:
        return
    has_failed = call.invocation.variable("CI_JOB_STATUS") == "failed"
    if settings.keep_failed and has_failed and attempt.uid and not attempt.fate.lost:
        call.job_log.note(
            f"pod {attempt.namespace}/{attempt.pod} of a failed job is kept, see keep_failed; its containers end "
            f"{settings.orphan_after_seconds} s from now, or with `kubectl delete pod -n {attempt.namespace} {attempt.pod}`"
        )
        return
    grace = settings.kubernetes.cleanup_grace_period_seconds
    seconds = min(_MOST_SECONDS, settings.budgets.api_seconds)
    api = open_api(call.invocation.folder)
    pods.delete(api, attempt.namespace, attempt.pod, grace_seconds=grace, seconds=seconds)
    if attempt.secret:
        pods.delete_secret(api, attempt.namespace, attempt.secret, seconds=seconds)
