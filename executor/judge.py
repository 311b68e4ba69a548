"""Judges what the end of a script or of a pod means to GitLab. Pure; one row of the table is one branch here and one test.

The table: docs/executor.md, "What a failure means". Text that Spack's error taxonomy greps for is kept: `command terminated
with exit code 137`, `pods "…" not found`, `pod "…" status is "Failed"`, `Pod was terminated in response to imminent node
shutdown`.
"""

import signal

from executor.attempt import Attempt
from executor.build_stage import is_user_script
from executor.pod_status import Ended, Pod
from executor.settings import Settings
from executor.sizes import next_memory_limit
from executor.stream_state import ScriptEnd
from executor.units import in_gib
from executor.verdict import Booking, Verdict

KILLED = 137
_LONGEST_TEXT = 1000
_OWN_KILL = (
    f"exit code {KILLED}: the script killed its own container's processes, its own shell among them (SIGKILL, as by "
    "`kill -9 -1`); the kernel has counted no memory kill"
)


def judge_script(end: ScriptEnd, *, stage: str, container: str, attempt: Attempt, settings: Settings) -> Verdict:
    """Return what a script's end means."""
    warning = "" if end.log_is_whole else "the end of this script's log was lost in the container"
    kills = end.after.memory_kills - end.before.memory_kills
    if end.exit_code == 0:
        if kills > 0:
            warning = f"{_kills(kills)} killed for memory in this script ({_limit_text(end, attempt)}), yet it ended with 0"
        return Verdict(booking=Booking.SUCCESS, warning=warning)
    if kills <= 0:
        error = _OWN_KILL if end.signal == signal.SIGKILL else ""
        return Verdict(booking=Booking.BUILD_FAILURE, exit_code=end.exit_code, error=error, warning=warning)
    if container == "helper":
        error = (
            f"command terminated with exit code {KILLED}: {stage} was killed for memory in the helper container; "
            "raise kubernetes.helper_memory_limit or KUBERNETES_HELPER_MEMORY_LIMIT"
        )
        return Verdict(booking=Booking.SYSTEM_FAILURE, error=error)
    limit = end.after.limit_bytes or attempt.size.memory_limit_bytes
    happened = (
        f"command terminated with exit code {KILLED}: {_kills(kills)} killed for memory ({_limit_text(end, attempt)}); "
        f"the script itself ended with {end.exit_code}"
    )
    is_far_below = bool(limit and end.after.peak_bytes) and end.after.peak_bytes < (limit or 0) / 2
    return _memory_verdict(happened, limit, attempt, settings, is_far_below=is_far_below)


def judge_loss(pod: Pod | None, *, stage: str, container: str, attempt: Attempt, settings: Settings) -> Verdict:
    """Return what it means that the container ended before the script's exit code was known; `pod` is what is left."""
    if pod is None:
        lost = f'pods "{attempt.pod}" not found: it was deleted, or its node no longer exists'
        return Verdict(booking=Booking.SYSTEM_FAILURE, error=f"{lost}; the job can be repeated", lost=lost)
    ended = pod.container(container).terminated
    if ended is not None and _is_memory_kill(ended) and container == "build":
        limit = attempt.size.memory_limit_bytes
        happened = (
            f"command terminated with exit code {KILLED}: the build container was killed for memory "
            f"(limit {in_gib(limit) if limit else 'of the node'}); everything in it has ended"
        )
        return _memory_verdict(happened, limit, attempt, settings, build_dead=happened)
    if pod.status.reason == "Evicted" and _is_own_disk(pod):
        lost = f"pod {attempt.pod} exceeded its disk limit: {pod.status.message[:_LONGEST_TEXT]}"
        error = f"command terminated with exit code {KILLED}: {lost}; raise KUBERNETES_EPHEMERAL_STORAGE_LIMIT"
        limit = attempt.size.disk_limit_bytes
        return Verdict(
            booking=Booking.BUILD_FAILURE, exit_code=KILLED, error=error, disk_killed_at_bytes=limit, lost=lost
        )  # fmt: skip
    if pod.is_finished or pod.is_terminating:
        lost = f'pod "{attempt.pod}" status is "{pod.status.phase}": {_why_gone(pod)}'
        return Verdict(booking=Booking.SYSTEM_FAILURE, error=f"{lost}; the job can be repeated", lost=lost)
    reason = f"{ended.reason}, exit code {ended.exit_code}" if ended else "unknown reason"
    dead = f"container {container} of pod {attempt.pod} ended during {stage}: {reason}"
    if container == "build" and ended is not None and attempt.first_process != 1:
        # The kernel protects process 1 alone from the container's own signals; here that is the entrypoint, which has ended
        # when the driver's process, its child, was killed.
        return Verdict(booking=Booking.BUILD_FAILURE, exit_code=KILLED, error=_OWN_KILL, build_dead=_OWN_KILL)
    if container == "helper":
        hint = "; raise kubernetes.helper_memory_limit" if ended and _is_memory_kill(ended) else ""
        return Verdict(booking=Booking.SYSTEM_FAILURE, error=dead + hint, lost=dead)
    return Verdict(booking=Booking.SYSTEM_FAILURE, error=dead, build_dead=dead)


def judge_earlier_loss(attempt: Attempt, *, stage: str, container: str) -> Verdict | None:
    """Return the verdict on a stage whose container has ended in an earlier stage; None if it may run."""
    if attempt.fate.lost:
        return Verdict(booking=Booking.SYSTEM_FAILURE, error=f"{stage} cannot run: {attempt.fate.lost}")
    if attempt.fate.build_dead and container == "build":
        booking = Booking.SYSTEM_FAILURE if is_user_script(stage) else Booking.BUILD_FAILURE
        return Verdict(booking=booking, exit_code=KILLED, error=f"{stage} cannot run: {attempt.fate.build_dead}")
    return None


def _memory_verdict(  # noqa: PLR0913 (what happened, at which limit, and by whose policy)
    happened: str,
    limit: int | None,
    attempt: Attempt,
    settings: Settings,
    *,
    build_dead: str = "",
    is_far_below: bool = False,
) -> Verdict:
    """Return the verdict on a build that was killed for memory, by the operator's policy, with advice.

    If it `is_far_below` its limit, the kernel killed since the node ran out of memory.
    """
    bigger = next_memory_limit(settings, limit, attempt.ladder_memory_bytes) if limit else None
    if settings.memory.kill == "retry" and bigger is not None:
        error = f"{happened}. The next attempt gets {in_gib(bigger)}"
        return Verdict(
            booking=Booking.SYSTEM_FAILURE, error=error, memory_killed_at_bytes=limit, build_dead=build_dead
        )  # fmt: skip
    return Verdict(
        booking=Booking.BUILD_FAILURE,
        exit_code=KILLED,
        error=f"{happened}. {_node_advice(limit, settings) if is_far_below else _memory_advice(limit, bigger, settings)}",
        memory_killed_at_bytes=limit,
        build_dead=build_dead,
    )


def _memory_advice(limit: int | None, bigger: int | None, settings: Settings) -> str:
    """Return what to do after a kill at `limit`. A job's variable is named only where it may change something."""
    kubernetes = settings.kubernetes
    if limit is None:
        return _node_advice(limit, settings)
    if bigger is not None:
        other = "; or raise KUBERNETES_MEMORY_LIMIT" if kubernetes.memory_limit_overwrite_max_allowed else ""
        return f"A retry of this job gets {in_gib(bigger)} (retry: exit_codes: [{KILLED}]){other}"
    if kubernetes.memory_limit_overwrite_max_allowed:
        return "A job cannot have more: ask the operator to raise kubernetes.memory_limit_overwrite_max_allowed"
    return "Ask the operator for a larger kubernetes.memory_limit"


def _node_advice(limit: int | None, settings: Settings) -> str:
    """Return what to do after a kill that no limit has caused: a larger request keeps other pods off the node."""
    reason = "No limit is set" if limit is None else "The script stayed far below its limit"
    if settings.kubernetes.memory_request_overwrite_max_allowed:
        return f"{reason}, so the node itself ran out of memory: raise KUBERNETES_MEMORY_REQUEST"
    return f"{reason}, so the node itself ran out of memory: ask the operator for a larger kubernetes.memory_request"


def _limit_text(end: ScriptEnd, attempt: Attempt) -> str:
    limit = end.after.limit_bytes or attempt.size.memory_limit_bytes
    parts = [f"limit {in_gib(limit)}" if limit else "no limit"]
    if end.after.peak_bytes:
        parts.append(f"peak {in_gib(min(end.after.peak_bytes, limit or end.after.peak_bytes))}")
    if attempt.size.memory_request_bytes:
        parts.append(f"request {in_gib(attempt.size.memory_request_bytes)}")
    return ", ".join(parts)


def _kills(count: int) -> str:
    return "a process was" if count == 1 else f"{count} processes were"


def _is_memory_kill(ended: Ended) -> bool:
    return ended.reason == "OOMKilled"


def _is_own_disk(pod: Pod) -> bool:
    """Return whether the pod was evicted for its own disk use, not for the node's."""
    message = pod.status.message.lower()  # kubelet gives both the reason `Evicted`: only its message differs
    return "exceed" in message and ("ephemeral" in message or "emptydir" in message)


def _why_gone(pod: Pod) -> str:
    disruption = pod.condition("DisruptionTarget")
    parts = [pod.status.reason, pod.status.message, disruption.message if disruption else ""]
    reason = " ".join(" ".join(parts).split())[:_LONGEST_TEXT]
    if pod.status.reason in {"Terminated", "NodeShutdown", "Shutdown"} and "node shutdown" not in reason:
        reason += " Pod was terminated in response to imminent node shutdown"  # Spack's error taxonomy greps for it
    return reason or "it was deleted"
