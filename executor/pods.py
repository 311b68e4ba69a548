"""Pods as the driver uses them: launch one, wait until it is ready, look at it, delete it. Deciding is elsewhere."""

import contextlib
import time
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING

from executor import errors, names
from executor.kube import Api, events_path, patiently, pods_path, secrets_path
from executor.log import Log
from executor.manifest import pod_manifest, pull_secret_manifest
from executor.plan import PodPlan
from executor.pod_agent import FACTS_BEGIN, patient_agent
from executor.pod_status import Pod, Progress, Stand, progress, read_pod
from executor.units import in_cores, in_gib

if TYPE_CHECKING:
    from executor.pod_startup import Event

Facts = dict[str, dict[str, set[str]]]
_QUOTA_PAUSE_SECONDS = 5.0
_EVENTS_SHOWN = 5
_MOST_EVENTS = 500
_LOG_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)
_LARGEST_LOG_BYTES = 1 << 20
_LONGEST_SILENCE_SECONDS = 60.0
_LEAST_SECONDS = 2  # a later attempt looks once, and no longer


def launch(api: Api, plan: PodPlan, job_log: Log, *, sleep: Callable[[float], None] = time.sleep) -> Pod:
    """Make the pod, and its pull secret, and return it. A pod of this attempt that exists already is taken over.

    Raises RequestError if the API server will never take it, ClusterError otherwise.
    """
    budgets = plan.settings.budgets
    pod = _create(api, plan, job_log, sleep=sleep)
    if plan.registries:
        secret = pull_secret_manifest(plan, pod_uid=pod.metadata.uid)
        path = secrets_path(plan.namespace)
        with contextlib.suppress(errors.Conflict):  # this attempt's own, whose answer was lost
            patiently(lambda: api.call("POST", path, body=secret), seconds=budgets.api_seconds, sleep=sleep)
    return pod


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
    """Wait until both containers run, telling each change once; return the pod.

    `waited_seconds` of the budget for a node were used up by an earlier attempt of the same job. `check` is called now and
    then; what it raises ends the wait.
    Raises RequestError for an image that will never come, PodFailed when a budget is used up or the pod has failed.
    """
    asked = _asked(plan)
    patience = _Patience(api, plan, job_log, waited_seconds=waited_seconds, now=now)
    told = ""
    changes = _changes(api, plan, pod)
    next(changes)
    while True:
        state = progress(pod, asked=asked)
        if state.stand is Stand.READY:
            return pod
        if state.stand in {Stand.REFUSED, Stand.FAILED}:
            kind = errors.RequestError if state.stand is Stand.REFUSED else errors.PodFailed
            raise kind(f"pod {plan.name}: {state.words}{_last_events(api, plan)}")
        if state.words != told:
            told = state.words
            job_log.note(told)
        check()
        pod = changes.send(min(patience.left(state, pod), _LONGEST_SILENCE_SECONDS))


class _Patience:
    """How long a pod may still be waited for. Invariant: the time on the node counts from when it was first seen there.

    As long as no budget can be used up it makes no call: what the status does not tell is asked for only then.
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
        self._on_node: float | None = None
        self._due = float(min(self._budgets.pull_seconds, self._budgets.start_seconds))
        self._told = ""

    def left(self, state: Progress, pod: Pod) -> float:
        """Return the seconds until the next look at the pod. Raises PodFailed if a budget is used up."""
        if state.stand is Stand.SCHEDULING:
            return self._left_for_a_node(state)
        if self._on_node is None:
            self._on_node = self._now()
        elapsed = self._now() - self._on_node
        if elapsed >= self._due:
            self._due = elapsed + self._left_on_node(state, pod, elapsed)
        return self._due - elapsed

    def _left_for_a_node(self, state: Progress) -> float:
        left = self._scheduling - (self._now() - self._began)
        if left > 0:
            return left
        words = _timed_out(state.stand, self._scheduling, "budgets.schedule_seconds", self._plan, state.words)
        words += _last_events(self._api, self._plan)
        raise errors.PodFailed(words, waited_seconds=self._scheduling + self._waited)

    def _left_on_node(self, state: Progress, pod: Pod, elapsed: float) -> float:
        from executor.pod_startup import judge  # noqa: PLC0415 (most pods are ready before)

        events = _events(self._api, self._plan)
        judged = judge(state, pod, events, on_node_seconds=elapsed, budgets=self._budgets)
        if judged.left_seconds <= 0:
            words = _timed_out(judged.phase, judged.limit_seconds, judged.settings, self._plan, judged.words)
            raise errors.PodFailed(words + _last_events(self._api, self._plan))
        if judged.words not in {state.words, self._told}:
            self._told = judged.words
            self._job_log.note(judged.words)
        return judged.left_seconds


def facts_of(api: Api, plan: PodPlan, *, sleep: Callable[[float], None] = time.sleep) -> Facts:
    """Return what each container's image offers: `{"build": {"shell": {"bash"}, "tool": {"git", …}}, …}`.

    A container without facts never started the driver's first process. Raises ClusterError, or PodFailed.
    """
    with contextlib.suppress(errors.ClusterError):  # without the right to logs, say
        told: Facts = {}
        for pause in _LOG_PAUSES_SECONDS:
            told |= {name: _facts_in_log(api, plan, name) for name in ("build", "helper") if not told.get(name)}
            if all(told.values()):
                return told
            sleep(pause)
    return _asked_facts(api, plan)  # or a slow start, or an entrypoint that leads its output elsewhere


def _facts_in_log(api: Api, plan: PodPlan, container: str) -> dict[str, set[str]]:
    """Return the facts that a first process has printed; none if they are not whole. Raises ClusterError.

    A command in the pod would be two processes of the runtime, a control group joined and a filter compiled.
    """
    query = {"container": container, "limitBytes": str(_LARGEST_LOG_BYTES)}
    log = api.text(pods_path(plan.namespace, plan.name, "log"), query)
    facts, end, _ = log.rpartition(FACTS_BEGIN)[2].partition("\nend\n")
    return _facts(facts.splitlines()) if end else {}


def _facts(lines: Iterable[str]) -> dict[str, set[str]]:
    facts: dict[str, set[str]] = {}
    for key, _, value in (line.partition(" ") for line in lines):
        if value:
            facts.setdefault(key, set()).add(value)
    return facts


def _asked_facts(api: Api, plan: PodPlan) -> Facts:
    """Have the helper's agent wait for the facts of both containers."""
    from executor.exec_stream import Channel, capture  # noqa: PLC0415 (cleanup does without websocket)

    seconds = plan.settings.budgets.start_seconds

    def ask() -> bytes:
        words = patient_agent("helper", "wait_facts", str(seconds), seconds=seconds)
        with Channel(api, plan.namespace, plan.name, "helper", words) as channel:
            out, complaint, code = capture(channel, timeout_seconds=2 * seconds + 30)
        if code:
            told = complaint.decode("utf-8", "replace").strip()
            raise errors.PodFailed(
                f"pod {plan.name}: the helper container could not begin (exit code {code}); see kubernetes.helper_image: "
                f"{told[:500]}"
            )
        return out

    answer = patiently(ask, seconds=min(seconds, plan.settings.budgets.api_seconds)).decode("utf-8", "replace")
    facts: Facts = {}
    for part in f"\n{answer}".split("\ncontainer ")[1:]:
        name, *lines = part.splitlines()
        facts[name] = _facts(lines)
    return facts


def find(api: Api, namespace: str, name: str) -> Pod:
    """Return a pod. Raises NotFound, or Unavailable without repeating."""
    return read_pod(api.call("GET", pods_path(namespace, name)))


def delete(api: Api, namespace: str, name: str, *, grace_seconds: int, seconds: float) -> None:
    """Delete a pod without waiting for it; absence is success. Raises ClusterError once `seconds` are over."""
    query = {"gracePeriodSeconds": str(grace_seconds)}
    with contextlib.suppress(errors.NotFound):
        patiently(lambda: api.call("DELETE", pods_path(namespace, name), query=query), seconds=seconds)


def _create(api: Api, plan: PodPlan, job_log: Log, *, sleep: Callable[[float], None]) -> Pod:
    """Make the pod; wait for quota; take over what this attempt has made already."""
    manifest = pod_manifest(plan)
    budgets = plan.settings.budgets
    waited = 0.0
    while True:
        try:
            return read_pod(
                patiently(
                    lambda: api.call("POST", pods_path(plan.namespace), body=manifest),
                    seconds=budgets.api_seconds,
                    sleep=sleep,
                )
            )
        except errors.Conflict:
            return _adopt(api, plan)
        except errors.OverQuota as error:
            if waited == 0:
                job_log.note(f"waiting for quota: {error}")
            if waited >= budgets.quota_seconds:
                told = f"no quota within {budgets.quota_seconds} s, see budgets.quota_seconds: {error}"
                raise errors.PodFailed(told) from error
        except errors.Forbidden as error:
            if "cannot create resource" in str(error):  # the role's own refusal has the same status as an admission's
                raise errors.Forbidden(f"{error}; the rights that the driver needs: docs/reference/rbac.yaml") from error
            raise errors.RequestError(f"the cluster does not admit this job's pod: {error}") from error
        except errors.Rejected as error:
            raise errors.RequestError(f"the API server refuses this job's pod: {error}") from error
        pause = min(_QUOTA_PAUSE_SECONDS, budgets.quota_seconds)
        sleep(pause)
        waited += pause


def _adopt(api: Api, plan: PodPlan) -> Pod:
    """Return the pod that a lost answer had made. Raises Conflict if it is not this attempt's."""
    pod = patiently(lambda: find(api, plan.namespace, plan.name), seconds=plan.settings.budgets.api_seconds)
    if pod.metadata.labels.get(names.ATTEMPT) != plan.labels[names.ATTEMPT] or pod.is_over or pod.is_going:
        raise errors.Conflict(f"pod {plan.name} exists and is not this attempt's; it goes with its own cleanup")
    return pod


def _changes(api: Api, plan: PodPlan, pod: Pod) -> Generator[Pod, float, None]:
    """Yield the pod after each change, or after the seconds that are sent. Raises NotFound when it is gone."""
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
                if wait < silence - 1:  # this watch would be waited on for longer
                    break
        except errors.Unavailable:
            if time.monotonic() - began < 1:
                time.sleep(1)
        pod = patiently(lambda: find(api, plan.namespace, plan.name), seconds=plan.settings.budgets.api_seconds)
        version = pod.metadata.resource_version
        wait = yield pod


def _asked(plan: PodPlan) -> str:
    """Return words for what the pod asks for."""
    sizes = (plan.build.size, plan.helper.size)
    memory = sum(size.memory_request_bytes or 0 for size in sizes)
    cpu = sum(size.cpu_request_millicores or 0 for size in sizes)
    words = [f"{in_gib(memory)}"] if memory else []
    words += [f"{in_cores(cpu)} cores"] if cpu else []
    return f" ({', '.join(words)} asked)" if words else ""


def _timed_out(phase: Stand, limit_seconds: int, settings: str, plan: PodPlan, words: str) -> str:
    """Return what there is to say of a pod whose budget is used up."""
    return (
        f"timed out waiting for pod to start (last phase: {phase.value}, {limit_seconds} s, see {settings}): "
        f"pod {plan.name}: {words}"
    )


def _events(api: Api, plan: PodPlan) -> "list[Event] | None":
    """Return the pod's events; None if they cannot be had."""
    from executor.pod_startup import read_events  # noqa: PLC0415 (as above)

    query = {"fieldSelector": f"involvedObject.name={plan.name}", "limit": str(_MOST_EVENTS)}
    try:
        return read_events(api.call("GET", events_path(plan.namespace), query=query))
    except errors.ClusterError:
        return None


def _last_events(api: Api, plan: PodPlan) -> str:
    """Return the pod's last warnings, one a line; "" if there are none or they cannot be had."""
    words = [event.words for event in _events(api, plan) or [] if event.is_warning]
    return "".join(f"\n  {one}" for one in words[-_EVENTS_SHOWN:])
