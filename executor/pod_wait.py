"""Waits until a new pod's containers run, within the operator's budgets.

What a status means is decided in `pod_status`, which budget a pod uses up in `pod_startup`.
"""

import re
import time
from collections.abc import Callable, Generator

from executor import errors
from executor.admission import sizes_of_job
from executor.kube import Api, events_path, pods_path, with_retries
from executor.log import Log
from executor.plan import PodPlan, next_pull_policy
from executor.pod_startup import Event, failed_pull, missing_pull_secrets, read_events, step_budget
from executor.pod_status import Pod, Progress, StartupStep, progress, pull_failure, pull_retried, read_pod
from executor.pods import find, printed
from executor.pull_errors import PullFault
from executor.units import in_cores, in_gib

_VOLATILE = re.compile(r"(?<=:)\d{4,5}(?=->|: )|\b[0-9a-f]{8,}\b|[0-9]{6,}")  # ports, ids of requests, numbers of folders
_EVENTS_SHOWN = 5
_MOST_EVENTS = 500
_LONGEST_SILENCE_SECONDS = 60.0
LASTING_SECONDS = 20.0  # kubelet has tried two or three times
NEVER_FITS_SECONDS = 15.0  # the autoscaler has decided again, with what it has learned meanwhile
_SAME_REASON_SECONDS = 60.0
"""A reason that is there again so soon after it was logged is not logged again: two may alternate for hours."""
_LEAST_SECONDS = 2  # a later attempt looks once, and no longer


def wait_ready(  # noqa: PLR0913 (an API, a pod, a log, and the clocks)
    api: Api,
    plan: PodPlan,
    pod: Pod,
    job_log: Log,
    *,
    waited_seconds: int = 0,
    check: Callable[[], None] = lambda: None,
    now: Callable[[], float] = time.monotonic,
) -> Pod:
    """Wait until both containers run, logging each change once; return the pod.

    `waited_seconds` of the budget for a node were used up by an earlier attempt of the same job. `check` is called after
    each change and once a minute; what it raises ends the wait.
    Raises RequestError for an image that can never be pulled, PodFailed when a budget is used up or the pod has failed.
    """
    size_text, job_named_image, sizes = _size_text(plan), "image" in plan.chosen, sizes_of_job(plan)
    budgets = _Budgets(api, plan, job_log, waited_seconds=waited_seconds, now=now)
    # The Runner prepares a job three times; what an earlier attempt has made sure of needs no long look.
    logged, lasting = Logged(job_log.note, now), Lasting(now, never_fits_seconds=_LEAST_SECONDS if waited_seconds else None)
    began = now()
    changes = _changes(api, plan, pod)
    next(changes)
    while True:
        state = progress(
            pod, size_text=size_text, job_named_image=job_named_image, has_entrypoint=plan.build.has_entrypoint,
            sizes_of_job=sizes, now=time.time(),
        )  # fmt: skip
        if state.pull_of:
            state = _with_events(state, pod, api, plan)
        if state.step is StartupStep.READY:
            return pod
        state, lasts_in_seconds = lasting.look(state)
        has_other_policy = next_pull_policy(plan, state.pull_of) is not None
        if state.step in {StartupStep.REFUSED, StartupStep.FAILED} or has_other_policy:
            kind = errors.RequestError if state.step is StartupStep.REFUSED else errors.PodFailed
            output = printed(api, plan, "build") if pod.container("build").terminated else ""
            failure = kind(f"pod {plan.name}: {state.message}{output}{_last_warnings(api, plan)}")
            failure.pull_of = state.pull_of
            if isinstance(failure, errors.PodFailed) and state.waiting:
                failure.waited_seconds = waited_seconds + max(int(now() - began), 1)
            raise failure
        logged.note(state)
        check()
        pod = changes.send(min(budgets.seconds_left(state, pod), lasts_in_seconds, _LONGEST_SILENCE_SECONDS))


class Lasting:
    """How long a state has lasted that comes to something else if nothing changes. Counted from when it was first seen.

    A build container that does not start beside the helper alternates between states: that counts on. The autoscaler's
    reason is a decision: if it gives another one, or takes it back, a later one counts anew.
    """

    def __init__(self, now: Callable[[], float], *, never_fits_seconds: float | None = None) -> None:
        self._now = now
        self._never_fits = NEVER_FITS_SECONDS if never_fits_seconds is None else never_fits_seconds
        self._since: dict[str, float] = {}

    def look(self, state: Progress) -> tuple[Progress, float]:
        """Return what the state has come to, and after how many seconds it comes to something else."""
        self._since = {reason: since for reason, since in self._since.items() if reason in {"", state.waiting}}
        if state.lasting is None:
            return state, _LONGEST_SILENCE_SECONDS
        longest = self._never_fits if state.waiting else LASTING_SECONDS
        left = self._since.setdefault(state.waiting, self._now()) + longest - self._now()
        return (state, left) if left > 0 else (state.lasting, _LONGEST_SILENCE_SECONDS)


class Logged:
    """What was logged of the pod's steps: each message once, also where the kubelet alternates between two.

    Of the autoscaler's reasons each change is logged, and nothing while the reason stays the same.
    """

    def __init__(self, log: Callable[[str], None], now: Callable[[], float]) -> None:
        self._log, self._now = log, now
        self._seen: set[str] = set()
        self._pulls: set[str] = set()
        self._reason = ""
        self._reasons: dict[str, float] = {}

    def note(self, state: Progress) -> None:
        """Log a message unless it was, apart from numbers that differ each time."""
        if state.waiting:
            self._note_reason(state)
            return
        if state.pull_of and not state.cause and state.pull_of in self._pulls:
            return  # a back-off whose cause was logged
        key = _VOLATILE.sub("", state.message)
        if key not in self._seen:
            self._seen.add(key)
            self._log(state.message)
        self._pulls.add(state.pull_of)

    def _note_reason(self, state: Progress) -> None:
        reason, now = state.waiting, self._now()
        logged_at = self._reasons.get(reason)
        if reason == self._reason or (logged_at is not None and now - logged_at < _SAME_REASON_SECONDS):
            return
        self._reason = reason
        self._reasons[reason] = now
        self._log(state.message)


def _with_events(state: Progress, pod: Pod, api: Api, plan: PodPlan) -> Progress:
    """Return a failed pull's state with what only the pod's events say: its cause, and pull secrets that are not there."""
    if state.pull is PullFault.DENIED:
        missing = missing_pull_secrets(_events(api, plan) or [])
        # Without its secret a pull is denied whatever the job may see: the kubelet tries again once the secret is there.
        note = f"; pull secrets that are not there: {missing}"
        return pull_retried(state.pull_of, state.cause, note=note) if missing else state
    if state.cause or state.step is not StartupStep.PULLING:
        return state
    message = failed_pull(_events(api, plan) or [], state.pull_of)
    is_jobs = state.pull_of == "build" and "image" in plan.chosen
    by_image = StartupStep.REFUSED if is_jobs else StartupStep.FAILED
    image = pod.image(state.pull_of)
    return pull_failure(state.pull_of, "ErrImagePull", message, by_image, image=image) or pull_retried(
        state.pull_of, message
    )


class _Budgets:
    """How long the pod may still take to start. Invariant: the time on the node counts from when it was first seen there.

    It calls the API only when a budget may be used up: a pod's events say what its status does not.
    """

    def __init__(self, api: Api, plan: PodPlan, job_log: Log, *, waited_seconds: int, now: Callable[[], float]) -> None:
        self._api, self._plan, self._job_log, self._now = api, plan, job_log, now
        self._budgets = plan.settings.budgets
        self._waited = waited_seconds
        self._scheduling = self._budgets.schedule_seconds
        if waited_seconds:
            self._scheduling = max(self._scheduling - waited_seconds, _LEAST_SECONDS)
            job_log.note(
                f"an earlier attempt of this job has waited {waited_seconds} s for a node: "
                f"this one waits {self._scheduling} s"
            )
        self._began = now()
        self._on_node_since: float | None = None
        self._next_look = float(min(self._budgets.pull_seconds, self._budgets.start_seconds))
        self._logged: set[str] = set()

    def seconds_left(self, state: Progress, pod: Pod) -> float:
        """Return the seconds until the next look at the pod. Raises PodFailed if a budget is used up."""
        if state.step is StartupStep.SCHEDULING:
            return self._left_for_a_node(state)
        if self._on_node_since is None:
            self._on_node_since = self._now()
        elapsed = self._now() - self._on_node_since
        if elapsed >= self._next_look:
            self._next_look = elapsed + self._left_on_node(state, pod, elapsed)
        return self._next_look - elapsed

    def _left_for_a_node(self, state: Progress) -> float:
        left = self._scheduling - (self._now() - self._began)
        if left > 0:
            return left
        message = _timed_out(state.step, self._scheduling, "budgets.schedule_seconds", self._plan, state.message)
        waited_seconds = self._scheduling + self._waited
        raise errors.PodFailed(message + _last_warnings(self._api, self._plan), waited_seconds=waited_seconds)

    def _left_on_node(self, state: Progress, pod: Pod, elapsed: float) -> float:
        events = _events(self._api, self._plan)
        budget = step_budget(state, pod, events, on_node_seconds=elapsed, budgets=self._budgets)
        if budget.left_seconds <= 0:
            message = _timed_out(budget.step, budget.limit_seconds, budget.settings, self._plan, budget.message)
            raise errors.PodFailed(message + _last_warnings(self._api, self._plan))
        if budget.message not in {state.message, *self._logged}:
            self._logged.add(budget.message)
            self._job_log.note(budget.message)
        return budget.left_seconds


def _changes(api: Api, plan: PodPlan, pod: Pod) -> Generator[Pod, float, None]:
    """Yield the pod after each change, or after the seconds that are sent. Raises NotFound when it is deleted."""
    path = pods_path(plan.namespace)
    version = pod.metadata.resource_version
    wait = yield pod
    while True:
        began = time.monotonic()
        query = {"fieldSelector": f"metadata.name={plan.name}", "resourceVersion": version}
        try:
            silence = wait
            for event in api.watch(path, query, timeout_seconds=silence):
                if event.get("type") == "DELETED":
                    raise errors.NotFound(f'pods "{plan.name}" not found: it was deleted while it started')
                pod = read_pod(event.get("object"))
                version = pod.metadata.resource_version
                wait = yield pod
                if wait < silence - 1:  # this watch's time-out is fixed, and longer than the caller now wants to wait
                    break
        except errors.Unavailable:
            if time.monotonic() - began < 1:  # a watch that breaks at once would otherwise be opened in a tight loop
                time.sleep(1)
        # What happened while no watch was open has no event in the next one: read the pod itself.
        pod = with_retries(lambda: find(api, plan.namespace, plan.name), seconds=plan.settings.budgets.api_seconds)
        version = pod.metadata.resource_version
        wait = yield pod


def _size_text(plan: PodPlan) -> str:
    """Return ` (12.0 GiB, 4 cores asked)`: what the pod requests; "" if it requests nothing."""
    sizes = (plan.build.size, plan.helper.size)
    memory = sum(size.memory_request_bytes or 0 for size in sizes)
    cpu = sum(size.cpu_request_millicores or 0 for size in sizes)
    parts = [f"{in_gib(memory)}"] if memory else []
    parts += [f"{in_cores(cpu)} cores"] if cpu else []
    return f" ({', '.join(parts)} asked)" if parts else ""


def _timed_out(step: StartupStep, limit_seconds: int, settings: str, plan: PodPlan, reason: str) -> str:
    """Return the message about a pod whose budget is used up."""
    return (
        f"timed out waiting for pod to start (last phase: {step.value}, {limit_seconds} s, see {settings}): "
        f"pod {plan.name}: {reason}"
    )


def _events(api: Api, plan: PodPlan) -> list[Event] | None:
    """Return the pod's events; None if they cannot be read."""
    query = {"fieldSelector": f"involvedObject.name={plan.name}", "limit": str(_MOST_EVENTS)}
    try:
        return read_events(api.call("GET", events_path(plan.namespace), query=query))
    except errors.ClusterError:
        return None


def _last_warnings(api: Api, plan: PodPlan) -> str:
    """Return the pod's last warnings, one a line; "" if there are none or they cannot be read."""
    found = [event.text for event in _events(api, plan) or [] if event.is_warning]
    return "".join(f"\n  {one}" for one in found[-_EVENTS_SHOWN:])
