"""How long a pod on its node has pulled images and started containers, and which budget that uses up. Pure.

A pod's status says `ContainerCreating` for both; only kubelet's events say that it pulls. Their times are kubelet's own, in
whole seconds: they are compared with each other, never with this machine's clock.
Source: kubelet, pkg/kubelet/images/image_manager.go, pkg/kubelet/events/event.go; Kubernetes API v1 Event.
"""

import datetime as dt
import re
from typing import Any

import msgspec

from executor.pod_status import Pod, Progress, StartupStep
from executor.settings import Budgets

_RETRY_SECONDS = 5.0  # after events that could not be read
_LEAST_SECONDS = 1.0  # from one look at the events to the next
_LONGEST_TEXT = 400
_MISSING_SECRETS = re.compile(r"image pull secrets \(([^)]*)\)")
_AFTER_PULL = frozenset({"Pulled", "Created", "Started"})


class _Involved(msgspec.Struct, frozen=True, rename="camel"):
    field_path: str = ""


class Event(msgspec.Struct, frozen=True, rename="camel"):
    """What a component of the cluster reports about a pod."""

    type: str = ""
    """`Normal` or `Warning`."""
    reason: str = ""
    message: str = ""
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    event_time: str | None = None
    involved_object: _Involved = _Involved()

    @property
    def is_warning(self) -> bool:
        """Whether something has failed."""
        return self.type == "Warning"

    @property
    def text(self) -> str:
        """Reason and message, bounded in length."""
        return f"{self.reason}: {' '.join(self.message.split())}"[:_LONGEST_TEXT]

    @property
    def container(self) -> str:
        """The container that it is about; "" means the whole pod."""
        return self.involved_object.field_path.partition("{")[2].rstrip("}")

    @property
    def first_seconds(self) -> float:
        """When it occurred first, in Unix time; 0 if it does not say."""
        return seconds_of(self.first_timestamp or self.event_time)

    @property
    def last_seconds(self) -> float:
        """When it occurred last."""
        return seconds_of(self.last_timestamp or self.event_time)


class TimeUsed(msgspec.Struct, frozen=True, kw_only=True):
    """What the time on the node was used for."""

    pulling_seconds: float
    starting_seconds: float
    current_pull: str
    """The image that is being pulled now, as a message; "" if none is."""


class StepBudget(msgspec.Struct, frozen=True, kw_only=True):
    """The budget that bounds what a pod does now."""

    step: StartupStep
    message: str
    limit_seconds: int
    settings: str
    """The keys that set the limit."""
    left_seconds: float
    """Until the next look at the pod; 0 if the budget is used up."""


def read_events(answer: dict[str, Any]) -> list[Event]:
    """Return the events of a list, oldest first; none if the answer is something else."""
    try:
        events = msgspec.convert(answer.get("items") or [], list[Event])
    except (msgspec.ValidationError, RecursionError):
        return []
    return sorted(events, key=lambda event: event.last_seconds)


def missing_pull_secrets(events: list[Event]) -> str:
    """Return the names of the pull secrets that the kubelet could not find, as it lists them; "" if it has found all."""
    for event in reversed(events):
        found = _MISSING_SECRETS.search(event.message) if event.reason == "FailedToRetrieveImagePullSecret" else None
        if found is not None:
            return found[1]
    return ""


def failed_pull(events: list[Event], container: str) -> str:
    """Return the message of a container's last failed pull; "" if there is none."""
    messages = (
        event.message
        for event in reversed(events)
        if event.reason == "Failed" and event.container == container and event.message.startswith("Failed to pull image ")
    )
    return next(messages, "")


def step_budget(
    state: Progress, pod: Pod, events: list[Event] | None, *, on_node_seconds: float, budgets: Budgets
) -> StepBudget:
    """Return the budget of a pod that has its node but is not ready; `events` are None if they could not be read.

    A pod that pulls is bounded by `pull_seconds`, any other by `start_seconds`, each counted over all containers.
    """
    if events is None:
        return _both_budgets(state, on_node_seconds, budgets)
    used = time_used(pod, events, on_node_seconds=on_node_seconds)
    if state.step is StartupStep.PULLING and not used.current_pull:  # it failed, and is tried again
        used = TimeUsed(pulling_seconds=on_node_seconds, starting_seconds=0, current_pull="trying again")
    pulls = state.step is StartupStep.PULLING or (state.step is StartupStep.ON_NODE and bool(used.current_pull))
    left = {
        StartupStep.PULLING: budgets.pull_seconds - used.pulling_seconds,
        StartupStep.STARTING: budgets.start_seconds - used.starting_seconds,
    }
    step = StartupStep.PULLING if pulls else StartupStep.STARTING
    # The other budget counts as well if something is left of it: the pod may change its step before the next look.
    due = [seconds for other, seconds in left.items() if seconds > 0 or other is step]
    return StepBudget(
        step=step,
        message=f"waiting: {used.current_pull or _last_warning(events)}"
        if state.step is StartupStep.ON_NODE
        else state.message,
        limit_seconds=budgets.pull_seconds if pulls else budgets.start_seconds,
        settings="budgets.pull_seconds" if pulls else "budgets.start_seconds",
        left_seconds=0 if left[step] <= 0 else max(min(due), _LEAST_SECONDS),
    )


def _both_budgets(state: Progress, on_node_seconds: float, budgets: Budgets) -> StepBudget:
    """Return the budget of a pod of which only the status is known: it may have pulled, then started."""
    limit = budgets.pull_seconds + budgets.start_seconds
    return StepBudget(
        step=state.step,
        message=state.message,
        limit_seconds=limit,
        settings="budgets.pull_seconds and budgets.start_seconds",
        left_seconds=min(limit - on_node_seconds, _RETRY_SECONDS),
    )


def _last_warning(events: list[Event]) -> str:
    return next((event.text for event in reversed(events) if event.is_warning), "containers do not start yet")


def time_used(pod: Pod, events: list[Event], *, on_node_seconds: float) -> TimeUsed:
    """Return what the time on the node was used for. Containers are started one after the other, so pulls do not overlap.

    A pull lasts from its first try to its success, failed tries and pauses included.
    """
    begins: dict[str, Event] = {}
    ends: dict[str, float] = {}
    for event in events:
        if event.reason == "Pulling":
            begins.setdefault(event.container, event)
        elif event.reason in _AFTER_PULL:
            ends.setdefault(event.container, event.last_seconds)
    done = sum(max(ends[name] - begin.first_seconds, 0) for name, begin in begins.items() if name in ends)
    current = next((event for name, event in begins.items() if name not in ends), None)
    pulling = done
    if current is not None:  # all the time on the node but what was spent before this pull on something else than pulling
        began = seconds_of(pod.status.start_time) or current.first_seconds
        pulling = on_node_seconds - max(current.first_seconds - began - done, 0)
    pulling = min(max(pulling, 0), on_node_seconds)
    current_pull = f"{current.message[:_LONGEST_TEXT]} (container {current.container})" if current else ""
    return TimeUsed(
        pulling_seconds=pulling, starting_seconds=on_node_seconds - pulling, current_pull=current_pull
    )  # fmt: skip


def seconds_of(timestamp: str | None) -> float:
    """Return an RFC 3339 time as Unix time; 0 if it is not one."""
    try:
        return dt.datetime.fromisoformat(timestamp or "").timestamp()
    except (ValueError, OverflowError):
        return 0.0
