"""What a pod on its node spends its time with, pulling images or starting containers, and which budget bounds that. Pure.

A pod's status says `ContainerCreating` for both; that it pulls, kubelet tells by events only. Their times are kubelet's own,
in whole seconds: they are compared with each other, never with this machine's clock.
Source: kubelet, pkg/kubelet/images/image_manager.go, pkg/kubelet/events/event.go; Kubernetes API v1 Event.
"""

import datetime as dt
from typing import Any

import msgspec

from executor.pod_status import Pod, Progress, Stand
from executor.settings import Budgets

_RETRY_SECONDS = 5.0  # where the events could not be had
_LEAST_SECONDS = 1.0  # from one look at the events to the next
_LONGEST_WORDS = 400
_AFTER_PULL = frozenset({"Pulled", "Created", "Started"})


class _Involved(msgspec.Struct, frozen=True, rename="camel"):
    field_path: str = ""


class Event(msgspec.Struct, frozen=True, rename="camel"):
    """What a component of the cluster says of a pod."""

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
        """Whether something has gone wrong."""
        return self.type == "Warning"

    @property
    def words(self) -> str:
        """Reason and message, bounded in length."""
        return f"{self.reason}: {' '.join(self.message.split())}"[:_LONGEST_WORDS]

    @property
    def container(self) -> str:
        """The container that it is about; "" for the whole pod."""
        return self.involved_object.field_path.partition("{")[2].rstrip("}")

    @property
    def first_seconds(self) -> float:
        """When it came first, in Unix time; 0 if that is not told."""
        return seconds_of(self.first_timestamp or self.event_time)

    @property
    def last_seconds(self) -> float:
        """When it came last."""
        return seconds_of(self.last_timestamp or self.event_time)


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What the time on the node was used for."""

    pulling_seconds: float
    starting_seconds: float
    pulls: str
    """The container whose image is pulled now, in words; "" if none is."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """Which budget a pod is in, and how it stands with it."""

    phase: Stand
    words: str
    limit_seconds: int
    settings: str
    """The keys that set the limit."""
    left_seconds: float
    """Until the pod has to be judged again; none left, and it has failed."""


def read_events(answer: dict[str, Any]) -> list[Event]:
    """Return the events of a list, oldest first; none if it holds something else."""
    try:
        events = msgspec.convert(answer.get("items") or [], list[Event])
    except (msgspec.ValidationError, RecursionError):
        return []
    return sorted(events, key=lambda event: event.last_seconds)


def judge(state: Progress, pod: Pod, events: list[Event] | None, *, on_node_seconds: float, budgets: Budgets) -> Judgement:
    """Return how a pod that has its node but is not ready stands; `events` are None where they could not be had.

    A pod that pulls is bounded by `pull_seconds`, any other by `start_seconds`, each counted over all containers.
    """
    if events is None:
        both = budgets.pull_seconds + budgets.start_seconds
        left = both - on_node_seconds
        return Judgement(
            phase=state.stand, words=state.words, limit_seconds=both,
            settings="budgets.pull_seconds and budgets.start_seconds", left_seconds=min(left, _RETRY_SECONDS),
        )  # fmt: skip
    use = time_used(pod, events, on_node_seconds=on_node_seconds)
    if state.stand is Stand.PULLING and not use.pulls:  # the status says so
        use = Use(pulling_seconds=on_node_seconds, starting_seconds=0, pulls="trying again")
    pulls = state.stand is Stand.PULLING or (state.stand is Stand.COMING and bool(use.pulls))
    lefts = {
        Stand.PULLING: budgets.pull_seconds - use.pulling_seconds,
        Stand.STARTING: budgets.start_seconds - use.starting_seconds,
    }
    phase = Stand.PULLING if pulls else Stand.STARTING
    due = [left for stand, left in lefts.items() if left > 0 or stand is phase]
    words = state.words
    if state.stand is Stand.COMING:
        trouble = next((event.words for event in reversed(events) if event.is_warning), "containers do not start yet")
        words = f"waiting: {use.pulls or trouble}"
    return Judgement(
        phase=phase,
        words=words,
        limit_seconds=budgets.pull_seconds if pulls else budgets.start_seconds,
        settings="budgets.pull_seconds" if pulls else "budgets.start_seconds",
        left_seconds=0 if lefts[phase] <= 0 else max(min(due), _LEAST_SECONDS),
    )


def time_used(pod: Pod, events: list[Event], *, on_node_seconds: float) -> Use:
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
    if current is not None:
        began = seconds_of(pod.status.start_time) or current.first_seconds
        pulling = on_node_seconds - max(current.first_seconds - began - done, 0)
    pulling = min(max(pulling, 0), on_node_seconds)
    pulls = f"{current.message[:_LONGEST_WORDS]} (container {current.container})" if current else ""
    return Use(pulling_seconds=pulling, starting_seconds=on_node_seconds - pulling, pulls=pulls)


def seconds_of(timestamp: str | None) -> float:
    """Return an RFC 3339 time as Unix time; 0 if it is none."""
    try:
        return dt.datetime.fromisoformat(timestamp or "").timestamp()
    except (ValueError, OverflowError):
        return 0.0
