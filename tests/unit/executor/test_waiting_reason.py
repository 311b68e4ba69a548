"""Why a pod waits, as the autoscaler has written it: what is read, in which words it is logged, how often, whose fault."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.pod_status import Pod, Progress, StartupStep, progress, read_pod
from executor.pod_wait import NEVER_FITS_SECONDS, Lasting, Logged
from executor.waiting_reason import expected_text, read_waiting_reason, waiting_message

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = ROOT / "tests/data/autoscaler/waiting.json"
NOW = 1_790_000_000.0  # 2026-09-21T14:13:20Z
SCHEDULER = "waiting: 0/3 nodes: 3 Insufficient cpu"
ON_NODE = "pulling images and starting containers on node n"


def pod(annotation: str, *, node: str = "") -> Pod:
    message = "0/3 nodes are available: 3 Insufficient cpu."
    unbound = {"type": "PodScheduled", "status": "False", "message": message}
    bound = {"type": "PodScheduled", "status": "True"}
    document = {
        "metadata": {"name": "p", "annotations": {"spack-farm.io/waiting": annotation}},
        "spec": {"nodeName": node},
        "status": {"phase": "Pending", "conditions": [bound if node else unbound]},
    }
    return read_pod(document)


def note(reason: str, **more: Any) -> str:
    return json.dumps({"version": 1, "reason": reason, **more})


def state(annotation: str, *, node: str = "", sizes: tuple[str, ...] = ()) -> Progress:
    return progress(pod(annotation, node=node), sizes_of_job=frozenset(sizes), now=NOW)


def test_the_sample_that_the_autoscaler_would_write_obeys_its_schema_and_is_read() -> None:
    schema = json.loads((ROOT / "docs/reference/waiting.schema.json").read_text("utf-8"))
    jsonschema.validate(json.loads(SAMPLE.read_text()), schema, cls=jsonschema.Draft202012Validator)
    found = read_waiting_reason(SAMPLE.read_text())
    assert found is not None
    assert (found.reason, found.exceeds) == ("fits_no_type", ("cpu",))


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", '{"version": 2, "reason": "taint"}', '{"version": 1, "detail": 3}', "[" * 100_000, "null", "[]", '"x"'],
)
def test_without_a_reason_that_can_be_read_the_schedulers_words_stay(text: str) -> None:
    assert read_waiting_reason(text) is None
    assert (state(text).message, state(text).waiting) == (SCHEDULER, "")
    assert state(text, node="n").message == ON_NODE


@given(
    st.text()
    | st.dictionaries(st.sampled_from(["version", "reason", "detail", "x"]), st.text() | st.just(1)).map(json.dumps)
)
def test_no_annotation_breaks_the_wait(text: str) -> None:
    assert state(text).step is StartupStep.SCHEDULING


BOOTING = "waiting (node_booting): a node boots for this job"
AT_LIMIT = "waiting (pool_at_limit): no more nodes can be ordered now"
TAINTED = "waiting (taint): this pod does not tolerate the taints of the nodes that could take it"
TOO_LARGE = "waiting (fits_no_type): this pod is larger than any node that can be ordered"
IN_2_MIN = "; expected to start in 2 min, at 14:15:20 UTC"


@pytest.mark.parametrize(
    ("reason", "detail", "expected_start", "message"),
    [
        ("pool_at_limit", "the pool a has its 6 nodes", None, f"{AT_LIMIT}: the pool a has its 6 nodes"),
        ("node_booting", "m5 boots", "2026-09-21T14:15:20Z", f"{BOOTING}: m5 boots{IN_2_MIN}"),
        ("node_booting", "", "2026-09-21T16:15:20+02:00", f"{BOOTING}{IN_2_MIN}"),
        ("node_booting", "", "2026-09-21T14:13:00Z", f"{BOOTING}; expected to start any moment"),
        ("taint", "it does not\ntolerate x", None, f"{TAINTED}: it does not tolerate x"),
        ("fits_no_type", "asks", None, f"{TOO_LARGE}: asks"),
        ("unknown", "", None, SCHEDULER),
        ("unknown", "it fits on n", None, f"{SCHEDULER}; the autoscaler: it fits on n"),
        ("unknown", "soon", "2026-09-21T14:15:20Z", f"{SCHEDULER}; the autoscaler: soon{IN_2_MIN}"),
        ("a_later_word", "x", None, f"{SCHEDULER}; the autoscaler: x"),
    ],
)
def test_each_reason_is_logged_in_plain_words_with_what_is_expected(
    reason: str, detail: str, expected_start: str | None, message: str
) -> None:
    assert state(note(reason, detail=detail, expected_start=expected_start)).message == message


@pytest.mark.parametrize("text", ["", "soon", "2026-13-45", "9999999-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_is_none_is_left_out(text: str) -> None:
    found = read_waiting_reason(note("node_booting", expected_start=text))
    assert found is not None
    assert expected_text(found, now=NOW) in {"", "; expected to start any moment"}


def test_a_long_detail_is_cut() -> None:
    found = read_waiting_reason(note("taint", detail="x" * 100_000))
    assert found is not None
    assert len(waiting_message(found, now=NOW)) < 1000


@pytest.mark.parametrize(
    ("reason", "is_logged"),
    [
        ("image", True),
        ("secret", True),
        ("volume", True),
        ("node_booting", False),
        ("pool_at_limit", False),
        ("unknown", False),
    ],
)
def test_on_a_node_only_what_can_hold_a_pod_up_there_counts(reason: str, is_logged: bool) -> None:  # noqa: FBT001 (a column)
    found = state(note(reason, detail="x"), node="n")
    assert (found.message.startswith(f"waiting ({reason}): "), found.waiting) == (is_logged, reason if is_logged else "")
    assert is_logged or found.message == ON_NODE


@pytest.mark.parametrize(
    ("sizes", "exceeds", "step"),
    [
        (("cpu",), ["cpu"], StartupStep.REFUSED),
        (("memory",), ["cpu"], StartupStep.FAILED),
        ((), ["cpu"], StartupStep.FAILED),
        (("memory",), ["cpu", "memory"], StartupStep.REFUSED),
        (("memory",), [], StartupStep.REFUSED),
        ((), [], StartupStep.FAILED),
        ((), ["nvidia.com/gpu"], StartupStep.FAILED),
    ],
)
def test_a_pod_that_fits_no_node_ends_by_whose_size_it_is(
    sizes: tuple[str, ...], exceeds: list[str], step: StartupStep
) -> None:
    found = state(note("fits_no_type", detail="it asks for 64 cores; m5 has 16", exceeds=exceeds), sizes=sizes)
    assert found.step is StartupStep.SCHEDULING, "not at once: the autoscaler may have just begun"
    assert found.lasting is not None
    assert found.lasting.step is step
    assert "it asks for 64 cores; m5 has 16; lower the " in found.lasting.message
    assert ("job's KUBERNETES_*" in found.lasting.message) is (step is StartupStep.REFUSED)


def test_it_ends_only_if_the_autoscaler_says_so_all_the_time() -> None:
    clock = [100.0]
    lasting = Lasting(lambda: clock[0])
    never, boots = state(note("fits_no_type"), sizes=("cpu",)), state(note("node_booting"))
    assert lasting.look(never) == (never, NEVER_FITS_SECONDS)
    clock[0] += NEVER_FITS_SECONDS - 1
    assert lasting.look(never)[0] is never
    assert lasting.look(boots)[0] is boots
    clock[0] += 2
    assert lasting.look(never) == (never, NEVER_FITS_SECONDS), "counted anew"
    clock[0] += NEVER_FITS_SECONDS
    assert lasting.look(never)[0] is never.lasting
    again = Lasting(lambda: clock[0], never_fits_seconds=2)
    assert again.look(never) == (never, 2), "a further attempt of the Runner at the same job"


def logged(*steps: tuple[float, Progress]) -> list[str]:
    clock, lines = [0.0], list[str]()
    one = Logged(lines.append, lambda: clock[0])
    for at, found in steps:
        clock[0] = at
        one.note(found)
    return [line.partition(":")[0] for line in lines]


BOOTS, FULL, NONE = state(note("node_booting", detail="a")), state(note("pool_at_limit")), state("")
OTHER_BOOTS = state(note("node_booting", detail="b", expected_start="2026-09-21T14:15:20Z"))


@pytest.mark.parametrize(
    ("steps", "lines"),
    [
        ([(0, NONE), (5, BOOTS), (9, BOOTS)], ["waiting", "waiting (node_booting)"]),
        ([(0, BOOTS), (10, OTHER_BOOTS)], ["waiting (node_booting)"]),
        ([(0, FULL), (10, BOOTS)], ["waiting (pool_at_limit)", "waiting (node_booting)"]),
        ([(0, FULL), (10, BOOTS), (20, FULL), (30, BOOTS)], ["waiting (pool_at_limit)", "waiting (node_booting)"]),
        (
            [(0, FULL), (10, BOOTS), (70, FULL)],
            ["waiting (pool_at_limit)", "waiting (node_booting)", "waiting (pool_at_limit)"],
        ),
        ([(0, BOOTS), (5, NONE), (9, BOOTS)], ["waiting (node_booting)", "waiting"]),
    ],
)
def test_a_reason_is_logged_once_and_again_when_it_changes(steps: list[tuple[float, Progress]], lines: list[str]) -> None:
    assert logged(*steps) == lines
