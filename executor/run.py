"""The verb `run`: run one script in the attempt's pod."""

import os
import time

import msgspec

from executor import errors, metrics, pods, usage
from executor.attempt import Attempt, Fate, save_attempt
from executor.attempt_history import AttemptHistory, Earlier
from executor.build_stage import container_of, is_build_script, only_deletes_files
from executor.call import Call, read_script
from executor.first_script import printed_by
from executor.helper_prelude import helper_prelude
from executor.image_check import check_quoting
from executor.judge import judge_earlier_loss, judge_loss, judge_script
from executor.kube import Api, open_api
from executor.log import write_all
from executor.notices import Notices
from executor.pod_agent import KNOWN_PROTOCOLS
from executor.run_script import Cancelled, PodLoss, Script, ScriptRun
from executor.stream_state import ScriptEnd
from executor.verdict import Booking, Verdict

_STDOUT = 1
_SUCCESS = Verdict(booking=Booking.SUCCESS)


def run(call: Call) -> Verdict:
    """Run one script in the attempt's pod and return what its end means. Raises DriverError, Terminated, RunnerGone."""
    attempt = _ready_attempt(call)
    container = container_of(call.stage)
    earlier = judge_earlier_loss(attempt, stage=call.stage, container=container)
    if earlier is not None:
        return earlier
    if attempt.fate.is_done and only_deletes_files(call.stage) and not call.settings.keep_failed:
        return _SUCCESS
    content = read_script(call)
    if call.stage == "prepare_script" and _printed_instead(content, attempt, call):
        return _SUCCESS
    check_quoting(attempt, container, content)
    return _run_in_pod(content, attempt, call)


def _ready_attempt(call: Call) -> Attempt:
    """Return the attempt that prepare has made ready. Raises SettingsError."""
    attempt = call.attempt
    if attempt is None or not attempt.uid:
        raise errors.SettingsError(f"{call.invocation.folder}: prepare has not made a pod ready in this attempt")
    if attempt.control_protocol not in KNOWN_PROTOCOLS:
        known = ", ".join(map(str, sorted(KNOWN_PROTOCOLS)))
        raise errors.SettingsError(
            f"pod {attempt.pod} speaks version {attempt.control_protocol} of the control protocol, this driver {known}: "
            "the driver was changed by more than one version during the job: repeat the job"
        )
    return attempt


def _printed_instead(script: bytes, attempt: Attempt, call: Call) -> bool:
    """Print what the Runner's first script would print; return whether that is all that the script does."""
    printed = printed_by(script, builds_dir=call.settings.builds_dir, hostname=attempt.pod)
    if printed is None:
        return False
    try:
        write_all(_STDOUT, printed)
    except BrokenPipeError:  # the Runner is gone: running the script deals with that
        return False
    return True


def _run_in_pod(content: bytes, attempt: Attempt, call: Call) -> Verdict:
    """Run the script, judge its end, and keep what later calls and attempts need to know of it."""
    api = open_api(call.invocation.folder)
    container = container_of(call.stage)
    if container == "helper":
        content = helper_prelude(call.stage, call.invocation.variables, builds_dir=call.settings.builds_dir) + content
    script = Script(content=content, container=container, stage=call.stage, folder=_new_folder(call.stage))
    began, began_monotonic = time.time(), time.monotonic()
    with Notices(call.invocation.runner_process) as notices:  # from here on TERM is noticed, and ends nothing
        end = _end_of(script, api, attempt, call, notices)
        if isinstance(end, PodLoss):
            verdict = judge_loss(end.pod, stage=call.stage, container=container, attempt=attempt, settings=call.settings)
        else:
            verdict = judge_script(end, stage=call.stage, container=container, attempt=attempt, settings=call.settings)
            wall_seconds = time.monotonic() - began_monotonic
            usage.report(end, attempt, call, began=began, wall_seconds=wall_seconds)
            if is_build_script(call.stage):
                metrics.add(call.settings, usage.amounts(end, attempt, wall_seconds=wall_seconds), call.job_log)
        _count_kill(verdict, call)
        _keep_fate(verdict, attempt, call, is_done=call.stage in attempt.last_stages and isinstance(end, ScriptEnd))
        _add_to_history(verdict, api, attempt, call)
    return verdict


def _new_folder(stage: str) -> str:
    """Return a name for the script's folder in the control volume; the random part keeps two calls apart."""
    return f"{''.join(c if c.isalnum() else '_' for c in stage)[:80]}-{os.urandom(16).hex()}"


def _end_of(script: Script, api: Api, attempt: Attempt, call: Call, notices: Notices) -> ScriptEnd | PodLoss:
    """Run the script to its end. Raises Terminated if the Runner has canceled it, RunnerGone if the Runner has died."""
    script_run = ScriptRun(api, attempt, script, call.settings, output=_STDOUT, job_log=call.job_log, notices=notices)
    try:
        end = script_run.result()
    except (errors.RunnerGone, BrokenPipeError) as error:
        seconds = call.settings.budgets.api_seconds
        pods.delete(api, attempt.namespace, attempt.pod, grace_seconds=1, seconds=seconds)  # there will be no cleanup
        raise errors.RunnerGone("GitLab Runner is gone; its pod was deleted") from error
    if isinstance(end, Cancelled):
        raise errors.Terminated
    return end


def _count_kill(verdict: Verdict, call: Call) -> None:
    limits = {"memory": verdict.memory_killed_at_bytes, "disk": verdict.disk_killed_at_bytes}
    kills = {metrics.series(metrics.KILLS, limit=name): 1.0 for name, limit in limits.items() if limit}
    metrics.add(call.settings, kills, call.job_log)


def _keep_fate(verdict: Verdict, attempt: Attempt, call: Call, *, is_done: bool) -> None:
    """Keep for the attempt's later calls what has become of the pod."""
    if is_done or verdict.lost or verdict.build_dead:
        fate = Fate(is_done=is_done, lost=verdict.lost, build_dead=verdict.build_dead)
        save_attempt(msgspec.structs.replace(attempt, fate=fate), call.invocation.folder)


def _add_to_history(verdict: Verdict, api: Api, attempt: Attempt, call: Call) -> None:
    """Record for the job's next attempt which limit was too small, if one was."""
    memory, disk = verdict.memory_killed_at_bytes, verdict.disk_killed_at_bytes
    if (memory or disk) and attempt.history:
        AttemptHistory(
            api=api, namespace=attempt.namespace, name=attempt.history, job_log=call.job_log,
            keep_seconds=call.settings.memory.keep_seconds,
        ).add(Earlier(attempts=attempt.number, memory_limit_bytes=memory, disk_limit_bytes=disk))  # fmt: skip
