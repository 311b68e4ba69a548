"""How a pod's time on its node is told apart, and which budget bounds it: kubelet's events in, a judgement out."""

from typing import Any

import msgspec
import pytest

from executor.pod_startup import (
    Event,
    StepBudget,
    failed_pull,
    missing_pull_secrets,
    read_events,
    seconds_of,
    step_budget,
    time_used,
)
from executor.pod_status import Progress, StartupStep, read_pod
from executor.settings import load_settings

BEGAN = 1_750_000_000
POD = read_pod({"status": {"startTime": "2025-06-15T15:06:40Z"}})
ON_NODE = Progress(StartupStep.ON_NODE, "pulling images and starting containers")
BUDGETS = msgspec.structs.replace(load_settings(None).budgets, pull_seconds=600, start_seconds=120)


def event(reason: str, after: int, container: str = "build", *, first: int | None = None, kind: str = "Normal") -> Any:
    """Return an event as kubelet sends it, so many seconds after it took the pod on."""
    path = f"spec.containers{{{container}}}" if container else None
    return {
        "type": kind,
        "reason": reason,
        "message": f"{reason} it",
        "firstTimestamp": rfc3339(after if first is None else first),
        "lastTimestamp": rfc3339(after),
        "eventTime": None,
        "involvedObject": {"kind": "Pod"} | ({"fieldPath": path} if path else {}),
    }


def rfc3339(after: int) -> str:
    minutes, seconds = divmod(6 * 60 + 40 + after, 60)
    return f"2025-06-15T15:{minutes:02d}:{seconds:02d}Z"


def events(*items: Any) -> list[Event]:
    return read_events({"items": list(items)})


def budget_at(*items: Any, at: float, state: Progress = ON_NODE) -> StepBudget:
    return step_budget(state, POD, events(*items), on_node_seconds=at, budgets=BUDGETS)


def test_times_are_read_in_each_form_that_the_api_has() -> None:
    assert seconds_of("2025-06-15T15:06:40Z") == BEGAN
    assert seconds_of("2025-06-15T15:06:40.500000Z") == BEGAN + 0.5
    assert [seconds_of(text) for text in (None, "", "soon", "9999-99-99T00:00:00Z")] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("items", "at", "pulling"),
    [
        ([], 50, 0),
        ([event("Pulled", 3)], 50, 0),
        ([event("Pulling", 3)], 50, 47),
        ([event("Pulling", 3), event("Pulled", 33)], 50, 30),
        ([event("Pulling", 3), event("Pulled", 33), event("Pulling", 40, "helper")], 50, 40),
        ([event("Pulling", 3), event("Pulled", 33), event("Pulling", 40, "helper"), event("Pulled", 45, "helper")], 50, 35),
        ([event("Pulling", 40, first=3), event("Pulled", 45)], 50, 42),
        ([event("Pulling", 3), event("Started", 10)], 50, 7),
        ([event("Pulled", 33), event("Pulling", 3)], 50, 30),
        ([event("Pulling", 60)], 50, 0),
    ],
    ids=[
        "nothing is told", "the image is there", "it pulls", "it has pulled", "it pulls the second", "both are there",
        "tries count from the first", "an end that was lost", "the order of a list says nothing", "clocks that differ",
    ],
)  # fmt: skip
def test_the_time_of_pulls_is_told_from_the_rest(items: list[Any], at: float, pulling: float) -> None:
    use = time_used(POD, events(*items), on_node_seconds=at)
    assert (use.pulling_seconds, use.starting_seconds) == (pulling, at - pulling)


def test_a_pull_outlasts_the_budget_for_starting() -> None:
    told = budget_at(event("Pulling", 2), at=120)
    assert (told.step, told.limit_seconds, told.settings) == (StartupStep.PULLING, 600, "budgets.pull_seconds")
    assert told.left_seconds == 118, "it may end at once, and what comes after it is bounded too"
    assert told.message == "waiting: Pulling it (container build)"


def test_a_pull_that_is_done_does_not_count_as_starting() -> None:
    told = budget_at(event("Pulling", 2), event("Pulled", 502), at=550)
    assert (told.step, told.left_seconds) == (StartupStep.STARTING, 70)


@pytest.mark.parametrize(
    ("items", "at", "phase"),
    [
        ([event("Pulling", 2)], 602, StartupStep.PULLING),
        ([event("Pulling", 0), event("Pulled", 400), event("Pulling", 410, "helper")], 610, StartupStep.PULLING),
        ([], 120, StartupStep.STARTING),
        ([event("FailedMount", 7, "", kind="Warning")], 120, StartupStep.STARTING),
        ([event("Pulling", 2), event("Pulled", 502)], 620, StartupStep.STARTING),
    ],
)
def test_a_budget_that_is_used_up_leaves_nothing(items: list[Any], at: float, phase: StartupStep) -> None:
    told = budget_at(*items, at=at)
    assert (told.step, told.left_seconds) == (phase, 0)


def test_what_the_status_tells_needs_no_event() -> None:
    back_off = Progress(StartupStep.PULLING, "waiting: image pull failed, trying again: i/o timeout")
    assert budget_at(at=300, state=back_off).step is StartupStep.PULLING
    assert budget_at(at=600, state=back_off).left_seconds == 0
    failing = Progress(StartupStep.STARTING, "waiting: container build does not start")
    assert budget_at(event("Pulling", 0), event("Pulled", 50), at=60, state=failing).left_seconds == 110
    assert budget_at(event("Pulling", 0), at=60, state=failing).step is StartupStep.STARTING


def test_what_goes_wrong_is_told_where_the_status_says_nothing() -> None:
    trouble = [event("FailedMount", 7, "", kind="Warning"), event("FailedCreatePodSandBox", 9, "", kind="Warning")]
    assert budget_at(*trouble, at=60).message == "waiting: FailedCreatePodSandBox: FailedCreatePodSandBox it"
    assert budget_at(at=60).message == "waiting: containers do not start yet"


def test_without_events_both_budgets_together_are_the_bound() -> None:
    told = step_budget(ON_NODE, POD, None, on_node_seconds=719, budgets=BUDGETS)
    assert (told.step, told.limit_seconds, told.left_seconds) == (StartupStep.ON_NODE, 720, 1)
    assert step_budget(ON_NODE, POD, None, on_node_seconds=720, budgets=BUDGETS).left_seconds <= 0
    assert step_budget(ON_NODE, POD, None, on_node_seconds=120, budgets=BUDGETS).left_seconds == 5, (
        "they are asked for again"
    )


@pytest.mark.parametrize("answer", [{}, {"items": None}, {"items": "x"}, {"items": [1]}, {"items": [{"message": 3}]}])
def test_what_is_no_list_of_events_holds_none(answer: dict[str, Any]) -> None:
    assert read_events(answer) == []


def test_words_of_an_event_are_bounded() -> None:
    (one,) = read_events({"items": [event("Failed", 0) | {"message": "x\n" * 10_000}]})
    assert len(one.text) == 400
    assert "\n" not in one.text


def test_the_cause_of_a_back_off_that_says_none_is_in_the_containers_last_failed_pull() -> None:
    def event(container: str, reason: str, message: str) -> Event:
        involved = {"fieldPath": f"spec.containers{{{container}}}"}
        return msgspec.convert({"reason": reason, "message": message, "involvedObject": involved}, Event)

    events = [
        event("build", "Failed", 'Failed to pull image "a": first'),
        event("build", "Failed", 'Failed to pull image "a": last'),
        event("build", "Failed", "Error: ImagePullBackOff"),
        event("helper", "Failed", 'Failed to pull image "b": another'),
    ]
    assert failed_pull(events, "build") == 'Failed to pull image "a": last'
    assert failed_pull(events, "other") == ""


def test_pull_secrets_that_are_not_there_are_known_by_name() -> None:
    message = "Unable to retrieve some image pull secrets (one, two); attempting to pull the image may not succeed."
    events = [Event(reason="FailedToRetrieveImagePullSecret", message=message), Event(reason="Failed", message="(three)")]
    assert missing_pull_secrets(events) == "one, two"
    assert missing_pull_secrets([]) == ""
