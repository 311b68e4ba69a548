"""Reads what the images offer: each container's first process prints it, and writes it into the control volume."""

import contextlib
import time
from collections.abc import Callable, Iterable

from executor import errors
from executor.exec_stream import ExecStream, capture
from executor.kube import Api, pods_path, with_retries
from executor.plan import PodPlan
from executor.pod_agent import FACTS_BEGIN, agent_argv
from executor.pod_status import entrypoint_ended
from executor.pods import find, printed

Facts = dict[str, set[str]]
"""Of one container: `{"shell": {"/bin/bash"}, "tool": {"git", …}}`."""
_LOG_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)
_LARGEST_LOG_BYTES = 1 << 20
_EXEC_SECONDS = 2


def read_facts(
    api: Api,
    plan: PodPlan,
    *,
    check: Callable[[], None] = lambda: None,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> dict[str, Facts]:
    """Return the facts of both containers, by name.

    A container without facts has not started the driver's first process within `budgets.start_seconds`. `check` is called
    now and then; what it raises ends the wait. Raises RequestError if the build container's entrypoint has ended,
    PodFailed if the pod has, else ClusterError.
    """
    deadline = now() + plan.settings.budgets.start_seconds
    with contextlib.suppress(errors.ClusterError):  # such as a role without the right to read logs
        found: dict[str, Facts] = {}
        for pause in _LOG_PAUSES_SECONDS:
            found |= {name: _facts_in_log(api, plan, name) for name in ("build", "helper") if not found.get(name)}
            if all(found.values()):
                return found
            sleep(pause)
    while True:  # a container starts slowly, or its entrypoint redirects its output
        check()
        _check_pod(api, plan)
        found = _facts_by_exec(api, plan, seconds=_EXEC_SECONDS)
        if all(found.get(name) for name in ("build", "helper")) or now() > deadline:
            return found


def _check_pod(api: Api, plan: PodPlan) -> None:
    """Raise RequestError if the build container has ended, PodFailed if the pod or the helper has."""
    budget = plan.settings.budgets.api_seconds
    pod = with_retries(lambda: find(api, plan.namespace, plan.name), seconds=budget)
    ended = pod.container("build").terminated
    if ended is not None and plan.build.has_entrypoint and not pod.is_terminating:
        raise errors.RequestError(f"pod {plan.name}: {entrypoint_ended(ended)}{printed(api, plan, 'build')}")
    if ended is not None or pod.container("helper").terminated is not None or pod.is_finished:
        name = "build" if ended is not None else "helper"
        raise errors.PodFailed(f"pod {plan.name}: container {name} ended before the job began{printed(api, plan, name)}")


def _facts_in_log(api: Api, plan: PodPlan, container: str) -> Facts:
    """Return the facts that a first process has printed; none if they are not whole. Raises ClusterError.

    The log is cheap: a command in the pod costs two processes of the container runtime, which join a cgroup and compile a
    seccomp filter.
    """
    query = {"container": container, "limitBytes": str(_LARGEST_LOG_BYTES)}
    log = api.text(pods_path(plan.namespace, plan.name, "log"), query)
    return facts_in(log)


def facts_in(log: str) -> Facts:
    """Return the facts in a container's log; none if they are not whole."""
    facts, end, _ = log.rpartition(FACTS_BEGIN)[2].partition("\nend\n")
    return _facts(facts.splitlines()) if end else {}


def _facts(lines: Iterable[str]) -> Facts:
    facts: Facts = {}
    for key, _, value in (line.partition(" ") for line in lines):
        if value:
            facts.setdefault(key, set()).add(value)
    return facts


def _facts_by_exec(api: Api, plan: PodPlan, *, seconds: int) -> dict[str, Facts]:
    """Return what the helper's agent reads from the control volume, at the latest after so many seconds."""

    def ask() -> bytes:
        argv = agent_argv("helper", "wait_facts", seconds=seconds)
        with ExecStream(api, plan.namespace, plan.name, "helper", argv) as stream:
            output, complaint, code = capture(stream, timeout_seconds=2 * seconds + 30)
        if code:
            text = complaint.decode("utf-8", "replace").strip()
            raise errors.PodFailed(f"pod {plan.name}: the helper container could not begin (exit code {code}): {text[:500]}")
        return output

    budgets = plan.settings.budgets
    answer = with_retries(ask, seconds=min(budgets.start_seconds, budgets.api_seconds)).decode("utf-8", "replace")
    return facts_by_container(answer)


def facts_by_container(answer: str) -> dict[str, Facts]:
    """Return the facts in the answer to `wait_facts`."""
    found: dict[str, Facts] = {}
    for part in f"\n{answer}".split("\ncontainer ")[1:]:
        name, *lines = part.splitlines()
        found[name] = _facts(lines)
    return found
