"""The verb `prepare`: launch the attempt's pod and wait until scripts can run in it."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from executor import access, credentials, errors, metrics, names, pods
from executor.attempt import Attempt, save_attempt
from executor.attempt_history import AttemptHistory, Earlier
from executor.call import Call
from executor.environment import process_environment
from executor.image_check import check_images
from executor.image_facts import Facts, read_facts
from executor.job import Job, read_job
from executor.kube import Api, open_api
from executor.log import Log
from executor.notices import RunnerProcess
from executor.plan import PodPlan, make_plan, next_pull_policy
from executor.pod_agent import PROTOCOL_VERSION
from executor.pod_launch import launch
from executor.pod_status import Pod
from executor.pod_wait import wait_ready
from executor.registry_logins import MANAGERS_FILE
from executor.size_table import MeasuredSize, measured_size
from executor.sizes import PastUse

_MOST_DELETE_SECONDS = 15
_LARGEST_LOGINS = 1 << 20  # a secret takes no more


def prepare(call: Call) -> None:
    """Launch the attempt's pod and wait until scripts can run in it. A failure leaves no pod behind.

    Raises DriverError, or Terminated when the Runner sends TERM.
    """
    runner = RunnerProcess(call.invocation.runner_process)
    job = read_job(call.invocation.response_file)
    measured = measured_size(call.settings, call.invocation.variables, call.job_log)
    api, namespace = _connect(call)
    history = _history(api, namespace, job, call)
    earlier = history.read()
    plan = _plan(job, namespace, measured, earlier, call)
    attempt = _new_attempt(plan, history, job, measured, number=earlier.next_number)
    if earlier.attempts:
        metrics.add(call.settings, {metrics.RETRIES: 1}, call.job_log)
    call.job_log.step(f"Preparing pod {namespace}/{plan.name} with image {plan.build.image} ...")
    began = time.monotonic()
    with _recording_vain_waits(history, job, attempt):
        waited_seconds = earlier.waited_for(job.id)
        while (following := _start(api, plan, attempt, call, waited_seconds=waited_seconds, check=runner.check)) is not None:
            plan, attempt = following, msgspec.structs.replace(attempt, pod=following.name, secret=_secret_of(following))
    metrics.add(call.settings, {metrics.WAITING: time.monotonic() - began, metrics.STARTS: 1}, call.job_log)


def _start(  # noqa: PLR0913 (an API, a plan and its attempt, the call, and what ends a wait)
    api: Api, plan: PodPlan, attempt: Attempt, call: Call, *, waited_seconds: int, check: Callable[[], None]
) -> PodPlan | None:
    """Launch a pod and wait for it. Return None if it is ready, or the pod to try after a failed pull."""
    folder, job_log = call.invocation.folder, call.job_log
    save_attempt(attempt, folder)
    try:
        with _deleting_on_failure(api, plan, job_log):
            pod = launch(api, plan, job_log)
            pod = wait_ready(api, plan, pod, job_log, waited_seconds=waited_seconds, check=check)
            facts = read_facts(api, plan, check=check)
            if plan.build.has_entrypoint and (output := pods.printed(api, plan, "build")):
                job_log.note(f"the entrypoint has printed:{output}")
            check_images(facts, call.settings, call.invocation.variable("CI_RUNNER_VERSION"))
            save_attempt(_ready(attempt, pod, facts["build"]), folder)
    except (errors.RequestError, errors.PodFailed) as failure:
        following = next_pull_policy(plan, failure.pull_of)
        if following is None:
            raise
        job_log.warning(f"{failure}; trying the next pull policy of container {failure.pull_of}")
        return following
    job_log.note(f"Pod {plan.name} is ready on node {pod.spec.node_name or 'unknown'}")
    return None


def _connect(call: Call) -> tuple[Api, str]:
    """Resolve the credentials and keep them for the attempt's later calls; return a connection and the pod's namespace."""
    kubernetes, folder = call.settings.kubernetes, call.invocation.folder
    source = credentials.Source(kubeconfig=kubernetes.kubeconfig, context=kubernetes.context)
    resolved = access.resolve(source, process_environment(), warn=call.job_log.warning)
    credentials.save(resolved, folder)
    return open_api(folder), kubernetes.namespace or resolved.namespace


def _history(api: Api, namespace: str, job: Job, call: Call) -> AttemptHistory:
    return AttemptHistory(
        api=api, namespace=namespace, name=names.history_name(job), job_log=call.job_log,
        keep_seconds=call.settings.memory.keep_seconds,
    )  # fmt: skip


def _plan(job: Job, namespace: str, measured: MeasuredSize | None, earlier: Earlier, call: Call) -> PodPlan:
    """Plan the pod and log how its size came about."""
    invocation = call.invocation
    past = PastUse(
        measured=measured, memory_killed_at_bytes=earlier.memory_limit_bytes, disk_killed_at_bytes=earlier.disk_limit_bytes
    )  # fmt: skip
    planned = make_plan(
        job, call.settings, invocation.variables, namespace=namespace, attempt=invocation.attempt, past=past,
        managers_logins=_managers_logins(),
    )  # fmt: skip
    call.job_log.all(planned.notes, planned.warnings)
    return planned.plan


def _new_attempt(plan: PodPlan, history: AttemptHistory, job: Job, measured: MeasuredSize | None, *, number: int) -> Attempt:
    """Return what the later verbs need to know of a pod that is about to be created."""
    return Attempt(
        namespace=plan.namespace,
        pod=plan.name,
        control_protocol=PROTOCOL_VERSION,
        secret=_secret_of(plan),
        image=plan.build.image,
        size=plan.build.size,
        build_jobs=measured.build_jobs if measured else None,
        ladder_memory_bytes=measured.ladder_memory_bytes if measured else [],
        number=number,
        history=history.name,
        last_stages=job.last_stages,
    )


def _ready(attempt: Attempt, pod: Pod, facts: Facts) -> Attempt:
    """Return what is known of an attempt whose pod is ready; `facts` are those of the build container's image."""
    return msgspec.structs.replace(
        attempt,
        uid=pod.metadata.uid,
        secret="",  # the pod owns it
        node=pod.spec.node_name,
        image_digest=pod.image_digest("build"),
        quoting="yes" in facts.get("quoting", ()),
        shell=next(iter(facts["shell"])),
        first_process=int(next(iter(facts.get("process", {"1"})))),
    )


def _secret_of(plan: PodPlan) -> str:
    return plan.name if plan.registries else ""


def _managers_logins() -> str:
    """Return the content of the manager's own `~/.docker/config.json`; "" if it has none."""
    try:
        with Path(MANAGERS_FILE).expanduser().open(encoding="utf-8", errors="replace") as file:
            return file.read(_LARGEST_LOGINS)
    except (OSError, RuntimeError):  # no such file, or no home
        return ""


@contextlib.contextmanager
def _deleting_on_failure(api: Api, plan: PodPlan, job_log: Log) -> Iterator[None]:
    """Delete the pod if what is within fails; a deletion that fails is only logged."""
    try:
        yield
    except BaseException:
        handler = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # TERM asks for nothing but this deletion
        seconds = min(_MOST_DELETE_SECONDS, plan.settings.budgets.api_seconds)
        try:
            pods.delete(api, plan.namespace, plan.name, grace_seconds=1, seconds=seconds)
        except errors.ClusterError as error:
            job_log.warning(f"pod {plan.name} could not be deleted: {error}")
        if plan.registries:
            with contextlib.suppress(errors.ClusterError):  # the pod's secret is deleted with it
                pods.delete_secret(api, plan.namespace, plan.name, seconds=seconds)
        signal.signal(signal.SIGTERM, handler)
        raise


@contextlib.contextmanager
def _recording_vain_waits(history: AttemptHistory, job: Job, attempt: Attempt) -> Iterator[None]:
    """Record how long the pod has waited for a node, if it got none: the Runner's next attempt has only what is left."""
    try:
        yield
    except errors.PodFailed as failure:
        if failure.waited_seconds:
            waited_seconds = failure.waited_seconds
            history.add(Earlier(attempts=attempt.number, waited_job_id=job.id, waited_seconds=waited_seconds))
        raise
