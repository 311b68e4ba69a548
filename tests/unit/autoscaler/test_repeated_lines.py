"""Promise: what each plan says again (a note, a line that fails or is only tried out) is logged now and then."""

import io
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest

from autoscaler.cluster.api import Api
from autoscaler.errors import CloudError, ClusterUnavailable
from autoscaler.hands.hand import Hand
from autoscaler.policy import Policy
from autoscaler.scale_plan import CordonNode, LaunchNodes, Line, Note, ScalePlan
from autoscaler.service.apply import Applier
from autoscaler.service.events import Events
from autoscaler.service.log import start_log
from autoscaler.service.metrics import Metrics
from autoscaler.service.scale_in import Scaler
from tests.labs.autoscaler import policy

LAUNCH = LaunchNodes(pool="linux", type="m", zone="", count=1, desired=1, reason="pending", message="1 m for 1 that wait")
TICK_SECONDS = 10.0


class BrokenHand:
    """A hand of a cloud that protects nothing, and denies orders while `fault` is set."""

    fault = "AccessDenied"

    def protect(self, **_: object) -> int:
        raise CloudError("protection denied")

    def launch(self, *_: object, **__: object) -> None:
        if self.fault:
            raise CloudError(self.fault)


class Farm:
    """An applier whose clock goes on with each plan."""

    def __init__(self, settled: Policy) -> None:
        self.now, self.hand, self.written = 0.0, BrokenHand(), io.StringIO()
        self.log = start_log(stream=self.written)
        self.events: list[str] = []
        self.metrics = Metrics({})
        self.applier = Applier(
            cast("Api", None), cast("Scaler", None), hands={"linux": cast("Hand", self.hand)}, policy=settled,
            metrics=self.metrics, tell=lambda _line, result, _detail: self.events.append(result), clock=lambda: self.now,
        )  # fmt: skip

    def ticks(self, count: int, *lines: Line) -> None:
        for _ in range(count):
            self.applier.apply(ScalePlan(version=1, decided_at=self.now, policy="pack", lines=lines), fence=lambda: None)
            self.now += TICK_SECONDS

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.written.getvalue().splitlines()]


@pytest.fixture
def farm(request: pytest.FixtureRequest) -> Iterator[Farm]:
    made = Farm(policy(dry_run=getattr(request, "param", False)))
    yield made
    made.log.handlers[:] = []


def test_an_order_that_fails_for_hours_is_a_few_lines_and_no_event(farm: Farm) -> None:
    farm.ticks(360, LAUNCH)
    found = [line for line in farm.lines() if line.get("action") == "launch"]
    assert [line.get("repeated", 1) for line in found] == [1, 7, 19, 43, 91, 187]
    assert {line["detail"] for line in found} == {"AccessDenied"}
    assert sum(line["message"].startswith("machines are not protected") for line in farm.lines()) == 6
    assert farm.events == []
    assert b'result="failed"} 360.0' in farm.metrics.text(), "each attempt counts"
    farm.hand.fault = ""
    farm.ticks(1, LAUNCH)
    farm.ticks(3)
    assert [line["message"] for line in farm.lines()[-2:]] == [LAUNCH.message, f"it has not failed again: {LAUNCH.message}"]
    assert farm.events == ["done"]


@pytest.mark.parametrize("farm", [True], indirect=True)
def test_a_dry_run_repeats_an_order_now_and_then_and_each_other_one_at_once(farm: Farm) -> None:
    farm.ticks(30, LAUNCH)
    farm.ticks(1, LaunchNodes(pool="linux", type="m", zone="", count=2, desired=2, reason="pending", message="2 m"))
    assert [(line["message"], line.get("seconds", 0)) for line in farm.lines()] == [
        (LAUNCH.message, 0), (LAUNCH.message, 60), (LAUNCH.message, 180), ("2 m", 0),
    ]  # fmt: skip


def test_a_note_has_its_begin_its_end_and_its_next_begin(farm: Farm) -> None:
    def note(cause: str) -> Note:
        return Note(subject="linux", reason="pool_rejected", message=f"linux: its machines cannot be read: {cause}")

    for number in range(12):
        farm.ticks(1, note(f"request {number}"))
    farm.ticks(1)
    farm.ticks(1, note("in between"))
    farm.ticks(5)
    farm.ticks(1, note("again"))
    notes = [line["message"].rpartition(" cannot be read: ")[2] for line in farm.lines() if "linux" in line["message"]]
    assert notes == ["request 0", "request 6", "in between", "again"]
    assert [line["repeated"] for line in farm.lines() if line["message"].startswith("no longer: ")] == [13]


def test_of_many_notes_a_bounded_number_is_kept(farm: Farm) -> None:
    farm.ticks(1, *(Note(subject=f"p{number}", reason="fits_no_type", message="no") for number in range(3000)))
    assert len(farm.applier._repeated) <= 1000  # noqa: SLF001  what it keeps is nowhere else to be seen


def test_as_many_notes_as_are_kept_are_logged_once_each_in_any_order(farm: Farm) -> None:
    notes = [Note(subject=f"p{number}", reason="fits_no_type", message="no") for number in range(1000)]
    farm.ticks(1, *notes)
    farm.ticks(1, *reversed(notes))
    assert sum(line.get("action") == "note" for line in farm.lines()) == len(notes)


class EventApi:
    """What Events are written to."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []
        self.is_away = False

    def create_event(self, _namespace: str, body: dict[str, Any]) -> None:
        if self.is_away:
            raise ClusterUnavailable("no answer")
        self.written.append(body)


def test_a_node_to_which_the_same_happens_again_and_again_gets_few_events() -> None:
    api, now = EventApi(), [0.0]
    events = Events(cast("Api", api), identity="me", now=lambda: now[0], clock=lambda: now[0])
    for _ in range(80):  # an hour of cordons that are taken back
        for name in ("a", "b"):
            events.tell(CordonNode(node=name, pool="linux", reason="idle", message="idle"), "done", "")
        now[0] += 45.0
    counts = [one["count"] for one in api.written if one["involvedObject"]["name"] == "a"]
    assert (counts[:3], len(counts)) == ([1, 3, 6], 6)
    now[0] += 3600.0
    events.tell(CordonNode(node="a", pool="linux", reason="idle", message="idle"), "done", "")
    assert api.written[-1]["count"] == 1, "after a while it is news"


def test_events_that_cannot_be_written_are_one_line(farm: Farm) -> None:
    api, now = EventApi(), [0.0]
    api.is_away = True
    events = Events(cast("Api", api), identity="me", clock=lambda: now[0])
    for number in range(50):
        events.tell(CordonNode(node=f"n{number}", pool="linux", reason="idle", message="idle"), "done", "")
    assert [line["message"] for line in farm.lines()] == ["an Event cannot be written"]
