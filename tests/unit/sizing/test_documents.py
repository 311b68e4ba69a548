"""A telemetry document is a build, or is refused with the reason; what it says of itself never makes it trusted."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizing.documents import Refused, read_build
from sizing.keys import spec_keys
from tests.labs.sizing import DAY, GIB, NOW, document, killed, rfc3339

SAMPLE = Path(__file__).parents[2] / "data/telemetry/sample.json"
KEYS: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "data/sizes/keys.json").read_text())


def read(made: dict[str, Any], *, trusted: bool = True) -> Any:
    return read_build(json.dumps(made).encode(), trusted=trusted, now=NOW)


def test_the_sample_of_the_agent_is_a_build() -> None:
    build = read_build(SAMPLE.read_bytes(), trusted=True, now=NOW)
    assert (build.name, build.version, build.compiler, build.jobs) == ("ncurses", "6.5", "gcc@12.2.0", 4)
    assert build.trains
    assert build.working_set_peak_bytes


@pytest.mark.parametrize("case", KEYS, ids=[case["is"] for case in KEYS])
def test_the_writer_derives_the_keys_that_are_defined(case: dict[str, Any]) -> None:
    if not case["spec"]["name"]:
        assert spec_keys(
            name="", version="", dag_hash="abc", compiler="", architecture="", expensive="", build_system="", jobs=8
        ) == tuple(case["keys"])
        return
    made = document()
    made["spec"] = case["spec"]
    assert list(read(made).keys()) == case["keys"]


@pytest.mark.parametrize(
    ("place_is_trusted", "job", "trusted"),
    [
        (True, {}, True),
        (True, {"ref_protected": False}, False),
        (False, {}, False),
        (False, {"ref_protected": True}, False),
    ],
)
def test_trust_is_the_place_s_word(place_is_trusted: bool, job: dict[str, Any], trusted: bool) -> None:  # noqa: FBT001
    build = read(document(job=job), trusted=place_is_trusted)
    assert (build.trusted, build.trains) == (trusted, trusted)


def test_a_build_outside_ci_is_as_trusted_as_its_place() -> None:
    made = document()
    del made["job"]
    assert read(made).trusted


@pytest.mark.parametrize(
    ("changes", "trains"),
    [
        ({}, True),
        ({"outcome": "publish_failed"}, True),
        ({"outcome": "script_succeeded"}, True),
        ({"outcome": "build_failed"}, False),
        ({"outcome": "timed_out"}, False),
        ({"outcome": "already_there"}, False),
        ({"outcome": "memory_killed"}, False),
        ({"outcome": "script_failed"}, False),
        ({"outcome": "evaporated"}, False),
    ],
)
def test_only_whole_builds_train(changes: dict[str, Any], trains: bool) -> None:  # noqa: FBT001
    assert read(document(**changes)).trains == trains


@pytest.mark.parametrize("outcome", ["memory_killed", "script_failed"])
def test_a_build_killed_at_a_limit_needed_at_least_that(outcome: str) -> None:
    build = read(killed(at_bytes=4 * GIB) | {"outcome": outcome})
    seen = build.observation()
    assert build.trains
    assert (seen.censored, seen.memory_needed_bytes, seen.wall_seconds) == (True, 4 * GIB, None)


def test_the_page_cache_mark_counts_for_nothing() -> None:
    assert read(document()).observation().memory_needed_bytes == 10 * GIB


@pytest.mark.parametrize("text", ["\x1b[2J\x1b]0;x\x07", "a\x00b", "two\nlines", "\u202eright to left", "\x9b31m"])
def test_no_text_of_a_document_changes_a_terminal_or_is_none_for_a_database(text: str) -> None:
    build = read(document(outcome=text, job={"project": text, "id": text, "stack": text}))
    assert all(one.isprintable() for one in (build.outcome, build.project, build.job_id, build.stack))


def test_a_kill_at_a_limit_that_the_machine_does_not_have_says_nothing_of_the_build() -> None:
    made = killed(at_bytes=4 * GIB)
    made["memory_kills"].append({"limit_bytes": 300 * GIB})
    assert read(made).killed_at_bytes == 4 * GIB
    del made["memory_kills"][0]
    assert not read(made).trains
    assert read(made | {"machine": {"memory_bytes": 0}}).killed_at_bytes == 300 * GIB


def test_a_build_uses_no_more_cores_than_its_machine_has() -> None:
    short = {"wall_seconds": 0.01, "cpu_seconds": 1.0}
    assert read(document(totals=short, machine={"cpus": 4})).observation().mean_cores == 4
    assert read(document(totals=short, machine={"cpus": 0})).observation().mean_cores == 100


@pytest.mark.parametrize(
    ("changes", "is_final"),
    [({"version": 2}, False), ({"ended": NOW + 3 * DAY}, False), ({"complete": False}, True), ({"totals": 7}, True)],
)
def test_what_a_later_clock_or_a_newer_reader_may_take_is_refused_for_now(changes: dict[str, Any], is_final: bool) -> None:  # noqa: FBT001
    with pytest.raises(Refused) as raised:
        read(document(**changes))
    assert raised.value.is_final == is_final


REFUSED: list[tuple[Any, str]] = [
    (b"", "not a telemetry document"),
    (b"{", "not a telemetry document"),
    (b"[" * 100_000, "not a telemetry document"),
    (b"null", "not a telemetry document"),
    (b'{"version": 2}', "version 2 of telemetry"),
    (b'{"version": "2027"}', "version 2027 of telemetry"),
    (document(version=7), "version 7 of telemetry"),
    (document(complete=False), "incomplete"),
    (document(started_at="yesterday"), "not a telemetry document: started_at"),
    (document(started_at="0001-01-01T00:00:00+14:00"), "not a telemetry document: started_at|absurd"),
    (document(ended=NOW + 3 * DAY), "absurd: its times"),
    (document(ended_at=rfc3339(NOW - 9 * DAY)), "absurd: its times"),
    (document(started_at="1999-01-01T00:00:00Z"), "absurd: its times"),
    (document(totals={"memory_working_set_peak_bytes": -1}), "absurd: memory_working_set_peak_bytes is -1"),
    (document(totals={"memory_working_set_peak_bytes": 10**30}), "absurd|not a telemetry document"),
    (document(totals={"memory_anonymous_peak_bytes": 257 * GIB}), "absurd: more memory was used than the machine has"),
    (document(totals={"wall_seconds": -5}), "absurd"),
    (document(totals={"wall_seconds": 1e300}), "absurd"),
    (document(totals={"cpu_seconds": 1e12}), "absurd"),
    (document(totals={"cpu_seconds": 600 * 80.0}), "absurd"),
    (document(totals={"wall_seconds": "1"}), "not a telemetry document"),
    (document(spec={"build_jobs": -1}), "absurd"),
    (document(spec={"name": "../../etc"}), "absurd: the spec has"),
    (document(spec={"name": ""}), "absurd: the spec has"),
    (document(spec={"name": "n" * 129}), "absurd: the spec has"),
    (document(spec={"version": "1 target=x jobs=9"}), "absurd: the spec has"),
    (document(spec={"compiler": "gcc@13\n"}), "absurd: the spec has"),
    (document(spec={"hash": "\x1b[31m"}), "absurd: the spec has"),
    (document(outcome="script_succeeded", spec={"hash": ""}), "of a job that builds no package of Spack"),
    (killed(at_bytes=1 << 60), "absurd"),
]


@pytest.mark.parametrize(("made", "reason"), REFUSED, ids=[f"{i}-{reason[:20]}" for i, (_, reason) in enumerate(REFUSED)])
def test_what_cannot_have_been_measured_is_refused_with_the_reason(made: Any, reason: str) -> None:
    with pytest.raises(Refused, match=f"^({reason})"):
        read_build(made if isinstance(made, bytes) else json.dumps(made).encode(), trusted=True, now=NOW)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)), st.sampled_from(["spec", "totals", "job", "asked", "machine", "started_at", "memory_kills", "outcome", "version"]))  # fmt: skip  # noqa: E501
def test_no_value_at_any_key_is_more_than_a_refusal(value: Any, key: str) -> None:
    made = document() | {key: value}
    try:
        build = read(made)
    except Refused:
        return
    assert all(isinstance(text, str) for text in build.keys())  # noqa: SIM118 (a method)
    assert dataclasses.asdict(build)
