"""The four verbs that GitLab Runner calls, each as the story of what it does.

The contract: gitlab-runner docs/executors/custom.md and executors/custom/custom.go, 19.4. Nothing here exits or catches
broadly; `__main__` does.
"""

import contextlib
import functools
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import msgspec

from executor import errors
from executor.attempt import Attempt, load_attempt, save_attempt
from executor.environment import Invocation
from executor.log import Log, write_all
from executor.pod_agent import KNOWN_PROTOCOLS, PROTOCOL_VERSION, container_of, is_build_script, is_needless, is_user_script
from executor.settings import Settings

if TYPE_CHECKING:
    from executor.kube import Api
    from executor.plan import Planned, PodPlan
    from executor.pod_status import Pod
    from executor.size_table import MeasuredSize
    from executor.verdict import Verdict

VERSION = "0.1.0"


def config(settings: Settings) -> str:
    """Return what the Runner is to know of this driver, as JSON. Calls no API, and needs no job."""
    return json.dumps({
        "builds_dir": settings.builds_dir,
        "cache_dir": settings.cache_dir,
        "builds_dir_is_shared": False,
        "driver": {"name": "spack-farm", "version": VERSION},
    })  # fmt: skip


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Raise Terminated on TERM within. After it TERM ends the process at once: raised there, nobody would catch it."""

    def terminate(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise errors.Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@_terminable()
def prepare(invocation: Invocation, settings: Settings, job_log: Log) -> None:
    """Launch the attempt's pod and wait until scripts can run in it. Whatever fails, nothing is left behind.

    Raises DriverError, or Terminated when the Runner sends TERM.
    """
    from executor import attempt_history, credentials, image_check, names, pods  # noqa: PLC0415 (ssl and http only where used)
    from executor.job import read_job  # noqa: PLC0415
    from executor.kube import Api  # noqa: PLC0415
    from executor.notices import Notices  # noqa: PLC0415
    from executor.plan import make_plan  # noqa: PLC0415

    runner = Notices(invocation.runner_process)
    job = read_job(invocation.response_file)
    measured = _measured(settings, invocation, job_log)
    if settings.backend == "local":
        from executor import local  # noqa: PLC0415 (as above)

        planned = make_plan(
            job, settings, invocation.variables, namespace="local", attempt=invocation.attempt, measured=measured
        )
        _tell(planned, job_log)
        local.prepare(planned.plan, invocation, settings, job_log)
        return
    source = credentials.Source(kubeconfig=settings.kubernetes.kubeconfig, context=settings.kubernetes.context)
    access = credentials.resolve(source)
    credentials.save(access, invocation.folder)
    api = Api(access, renew=functools.partial(credentials.renewed, invocation.folder))
    namespace = settings.kubernetes.namespace or access.namespace
    record = names.memory_record_name(job)
    earlier = attempt_history.recall(api, namespace, record, job_log)
    planned = make_plan(
        job,
        settings,
        invocation.variables,
        namespace=namespace,
        attempt=invocation.attempt,
        measured=measured,
        killed_at_bytes=earlier.memory_limit_bytes,
        disk_killed_at_bytes=earlier.disk_limit_bytes,
    )
    plan = planned.plan
    _tell(planned, job_log)
    attempt = _begun(plan, namespace, record, job.last_stages)
    save_attempt(attempt, invocation.folder)
    job_log.step(f"Preparing pod {namespace}/{plan.name} with image {plan.build.image} ...")
    try:
        pod = pods.launch(api, plan, job_log)
        waited_seconds = (earlier.waited_seconds or 0) if earlier.waited_job_id == job.id else 0
        pod = pods.wait_ready(api, plan, pod, job_log, waited_seconds=waited_seconds, check=runner.check)
        facts = pods.facts_of(api, plan)
        image_check.check_images(facts, settings, invocation.variable("CI_RUNNER_VERSION"))
        save_attempt(_ready(attempt, pod, facts["build"]), invocation.folder)
        job_log.note(f"Pod {plan.name} is ready")
    except BaseException as failure:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the deletion is what TERM asks for
        _take_away(api, plan, job_log)
        if isinstance(failure, errors.PodFailed) and failure.waited_seconds:
            news = attempt_history.Earlier(waited_job_id=job.id, waited_seconds=failure.waited_seconds)
            attempt_history.record(api, namespace, record, job_log, news=news, keep_seconds=settings.memory.keep_seconds)
        raise


def _begun(plan: "PodPlan", namespace: str, memory_record: str, last_stages: frozenset[str]) -> Attempt:
    """Return what the later verbs need to know of a pod that is about to be made."""
    size = plan.build.size
    return Attempt(
        pod=plan.name,
        namespace=namespace,
        control_protocol=PROTOCOL_VERSION,
        image=plan.build.image,
        cpu_request_millicores=size.cpu_request_millicores,
        disk_request_bytes=size.ephemeral_storage_request_bytes,
        memory_request_bytes=size.memory_request_bytes,
        memory_limit_bytes=size.memory_limit_bytes,
        cpu_limit_millicores=size.cpu_limit_millicores,
        disk_limit_bytes=size.ephemeral_storage_limit_bytes,
        memory_record=memory_record,
        last_stages=last_stages,
    )


def _ready(attempt: Attempt, pod: "Pod", build: dict[str, set[str]]) -> Attempt:
    """Return what is known of an attempt whose pod is ready; `build` is what the build container's image offers."""
    return msgspec.structs.replace(
        attempt,
        uid=pod.metadata.uid,
        node=pod.spec.node_name,
        quoting="yes" in build.get("quoting", ()),
        shell=next(iter(build["shell"])),
    )


def _take_away(api: "Api", plan: "PodPlan", job_log: Log) -> None:
    """Delete the pod of an attempt that has failed before it began; that it could not be done is only told."""
    from executor import pods  # noqa: PLC0415 (as in prepare)

    seconds = min(15, plan.settings.budgets.api_seconds)
    try:
        pods.delete(api, plan.namespace, plan.name, grace_seconds=1, seconds=seconds)
    except errors.ClusterError as error:
        job_log.warning(f"pod {plan.name} could not be deleted: {error}")


def run(invocation: Invocation, settings: Settings, job_log: Log, *, script: Path, stage: str) -> "Verdict":
    """Run one script in the attempt's pod and return what its end means. Raises DriverError, Terminated, RunnerGone."""
    from executor.image_check import check_quoting  # noqa: PLC0415 (as in prepare)
    from executor.verdict import Booking, Verdict, judge_earlier_loss  # noqa: PLC0415

    attempt = _ready_attempt(invocation)
    container = container_of(stage)
    earlier = judge_earlier_loss(attempt, stage=stage, container=container)
    if earlier is not None:
        return earlier
    if attempt.is_done and is_needless(stage) and not settings.keep_failed:
        return Verdict(booking=Booking.SUCCESS)
    content = script.read_bytes()
    if stage == "prepare_script" and attempt.backend != "local" and _is_told(content, attempt, settings):
        return Verdict(booking=Booking.SUCCESS)
    check_quoting(attempt, container, content)
    run_there = _run_locally if attempt.backend == "local" else _run_in_pod
    return run_there(content, attempt, invocation, settings, job_log, stage=stage)


def _is_told(script: bytes, attempt: Attempt, settings: Settings) -> bool:
    """Print what the Runner's first script would print; tell whether that was all that it would do."""
    from executor.first_script import printed_by  # noqa: PLC0415 (as in prepare)

    printed = printed_by(script, builds_dir=settings.builds_dir, hostname=attempt.pod)
    if printed is None:
        return False
    try:
        write_all(1, printed)
    except BrokenPipeError:  # the Runner is gone: whoever runs the script sees to it
        return False
    return True


def _run_in_pod(  # noqa: PLR0913 (as `run`)
    content: bytes, attempt: Attempt, invocation: Invocation, settings: Settings, job_log: Log, *, stage: str
) -> "Verdict":
    """Run one script in the pod, tell what it used, and keep what later calls and attempts need to know of its end."""
    from executor import attempt_history, credentials, pods  # noqa: PLC0415 (as in prepare)
    from executor.kube import Api  # noqa: PLC0415
    from executor.notices import Notices  # noqa: PLC0415
    from executor.run_script import Cancelled, PodLoss, Script, ScriptRun  # noqa: PLC0415
    from executor.verdict import judge_loss, judge_script  # noqa: PLC0415

    container = container_of(stage)
    access = credentials.load(invocation.folder)
    api = Api(access, renew=functools.partial(credentials.renewed, invocation.folder))
    folder = f"{''.join(c if c.isalnum() else '_' for c in stage)[:80]}-{os.urandom(16).hex()}"
    job = Script(content=content, container=container, stage=stage, folder=folder)
    began = time.time()
    with Notices(invocation.runner_process) as notices:
        try:
            end = ScriptRun(api, attempt, job, settings, output=1, job_log=job_log, notices=notices).result()
        except (errors.RunnerGone, BrokenPipeError) as error:
            pods.delete(api, attempt.namespace, attempt.pod, grace_seconds=1, seconds=settings.budgets.api_seconds)
            raise errors.RunnerGone("GitLab Runner is gone; its pod was deleted") from error
        if isinstance(end, Cancelled):
            raise errors.Terminated
        judged = {"stage": stage, "container": container}
        if isinstance(end, PodLoss):
            verdict = judge_loss(end.pod, **judged, attempt=attempt, settings=settings)
        else:
            verdict = judge_script(end, **judged, attempt=attempt, settings=settings)
            if is_user_script(stage):
                from executor.usage import used_line  # noqa: PLC0415

                job_log.note(used_line(end, attempt, wall_seconds=time.time() - began))
            if is_build_script(stage) and settings.telemetry.folder:
                from executor import usage  # noqa: PLC0415 (only where a folder is set)

                usage.write_document(end, attempt, invocation, settings, job_log, began=began, version=VERSION)
        is_done = stage in attempt.last_stages and not isinstance(end, PodLoss)
        if is_done or verdict.lost or verdict.build_dead:
            fate = msgspec.structs.replace(attempt, is_done=is_done, lost=verdict.lost, build_dead=verdict.build_dead)
            save_attempt(fate, invocation.folder)
        news = attempt_history.Earlier(
            memory_limit_bytes=verdict.memory_killed_at_bytes, disk_limit_bytes=verdict.disk_killed_at_bytes
        )  # fmt: skip
        if news != attempt_history.Earlier() and attempt.memory_record:
            keep_seconds = settings.memory.keep_seconds
            attempt_history.record(
                api, attempt.namespace, attempt.memory_record, job_log, news=news, keep_seconds=keep_seconds
            )
    return verdict


@_terminable()
def cleanup(invocation: Invocation, settings: Settings, job_log: Log) -> None:
    """Delete the attempt's pod without waiting for it; absence is fine, and so is an attempt that never began.

    Where the settings say so, the pod of a failed job stays; `job_log` is told, which here is the manager's.

    Raises ClusterError if the API server refuses or is silent.
    """
    attempt = load_attempt(invocation.folder)
    if attempt is None:
        return
    if attempt.backend == "local":
        from executor import local  # noqa: PLC0415 (as in prepare)

        local.cleanup(invocation)
        return
    if settings.keep_failed and attempt.uid and not attempt.lost and invocation.variable("CI_JOB_STATUS") == "failed":
        job_log.note(
            f"pod {attempt.namespace}/{attempt.pod} of a failed job is kept, see keep_failed; its containers end "
            f"{settings.orphan_after_seconds} s from now, or with `kubectl delete pod -n {attempt.namespace} {attempt.pod}`"
        )
        return
    from executor import credentials, pods  # noqa: PLC0415 (as in prepare)
    from executor.kube import Api  # noqa: PLC0415

    access = credentials.load(invocation.folder)
    api = Api(access, renew=functools.partial(credentials.renewed, invocation.folder))
    grace = settings.kubernetes.cleanup_grace_period_seconds
    pods.delete(api, attempt.namespace, attempt.pod, grace_seconds=grace, seconds=min(50, settings.budgets.api_seconds))


def exit_code_of(verdict: "Verdict", invocation: Invocation) -> int:
    """Return the driver's exit code for a verdict; the script's own goes into the Runner's file first."""
    from executor.verdict import Booking  # noqa: PLC0415 (as in prepare)

    if verdict.booking is Booking.SUCCESS:
        return 0
    if verdict.booking is Booking.SYSTEM_FAILURE:
        return invocation.system_failure
    return build_failure(invocation, verdict.exit_code)


def build_failure(invocation: Invocation, code: int) -> int:
    """Write the job's exit code for the Runner, over what an earlier stage left, and return the driver's."""
    if invocation.exit_code_file is not None:
        invocation.exit_code_file.write_text(f"{code}\n", encoding="ascii")
    return invocation.build_failure


def _ready_attempt(invocation: Invocation) -> Attempt:
    """Return the attempt that prepare has made ready. Raises SettingsError."""
    attempt = load_attempt(invocation.folder)
    if attempt is None or not attempt.uid:
        raise errors.SettingsError(f"{invocation.folder}: prepare has not made a pod ready in this attempt")
    if attempt.control_protocol not in KNOWN_PROTOCOLS:
        known = ", ".join(map(str, sorted(KNOWN_PROTOCOLS)))
        raise errors.SettingsError(
            f"pod {attempt.pod} speaks version {attempt.control_protocol} of the control protocol, this driver {known}: "
            "the driver was changed by more than one version during the job: repeat the job"
        )
    return attempt


def _measured(settings: Settings, invocation: Invocation, job_log: Log) -> "MeasuredSize | None":
    """Return what earlier builds of the same thing used, if the operator's size table has it."""
    if not settings.sizes_file:
        return None
    from executor.size_table import find_measured, read_table  # noqa: PLC0415 (rarely used)

    try:
        return find_measured(read_table(Path(settings.sizes_file)), invocation.variables)
    except errors.SettingsError as error:
        job_log.warning(f"no size comes from measured builds: {error}; see sizes_file")
        return None


def _tell(planned: "Planned", job_log: Log) -> None:
    for note in planned.notes:
        job_log.note(note)
    for warning in planned.warnings:
        job_log.warning(warning)


def _run_locally(  # noqa: PLR0913 (as `run`)
    content: bytes, attempt: Attempt, invocation: Invocation, settings: Settings, job_log: Log, *, stage: str
) -> "Verdict":
    """Run one script of the local backend and return what its end means."""
    from executor import local  # noqa: PLC0415 (only for this backend)
    from executor.notices import Notices  # noqa: PLC0415
    from executor.usage import used_line  # noqa: PLC0415
    from executor.verdict import judge_script  # noqa: PLC0415

    began = time.time()
    with Notices(invocation.runner_process) as notices:
        end = local.run(content, attempt, invocation, settings, notices)
    if is_user_script(stage):
        job_log.note(used_line(end, attempt, wall_seconds=time.time() - began))
    if is_build_script(stage) and settings.telemetry.folder:
        from executor import usage  # noqa: PLC0415 (as in run)

        usage.write_document(end, attempt, invocation, settings, job_log, began=began, version=VERSION)
    return judge_script(end, stage=stage, container=container_of(stage), attempt=attempt, settings=settings)
