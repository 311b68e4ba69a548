"""Reading telemetry for pages of many builds: bounded, possible, and with a reason for what is refused."""

import json
from typing import Any

import msgspec
import pytest

from buildjob.outcome import Outcome
from buildjob.report.explain import Tone, explain, headline_of
from buildjob.report.many.entries import LARGEST_BYTES, Refused, read_entry
from tests.labs.made_up_builds import document, encoded, job
from tests.labs.telemetry_samples import GIB, SAMPLE, sample


def test_the_sample_gives_what_a_row_says() -> None:
    entry = read_entry(SAMPLE.read_bytes(), place="ncurses-6.5-h6t3q2l")
    assert (entry.name, entry.version, entry.hash[:7]) == ("ncurses", "6.5", "h6t3q2l")
    assert (entry.tone, entry.headline, entry.memory_bytes, entry.asked_bytes) == (Tone.GOOD, "Built", 451948544, GIB // 2)
    assert (entry.wall_seconds, round(entry.own_seconds, 2)) == (150.84, 146.03)
    assert [link.label for link in entry.links] == ["job", "commit", "binary"]
    assert entry.job
    assert (entry.job.pipeline, entry.job.agent_began) == ("1284410", 1763975600.512)


@pytest.mark.parametrize("outcome", [*Outcome, "script_failed", "script_succeeded", "something_new", ""])
def test_the_short_headline_is_that_of_the_explanation(outcome: str) -> None:
    told = explain(sample(outcome=outcome, totals=sample().totals, memory_kills=[]))
    tone, headline = headline_of(outcome, complete=True)
    if outcome == Outcome.PUBLISH_FAILED:  # which the page words by whether anything was built
        assert (tone, headline) == (Tone.BAD, "Not published")
    else:
        assert (tone, headline) == (told.tone, told.headline)


def test_an_unfinished_run_and_a_kill_in_a_good_one_show() -> None:
    assert headline_of("built", complete=False) == (Tone.OPEN, explain(sample(complete=False)).headline)
    assert headline_of("built", complete=True, has_kills=True) == (Tone.MIXED, "Built")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{", "not a telemetry document"),
        (SAMPLE.read_bytes()[:700], "not a telemetry document"),
        (b"\xff\xfe{}", "not a telemetry document"),
        (b"[" * 100_000, "not a telemetry document"),
        (b"[]", "not a telemetry document"),
        (b"null", "not a telemetry document"),
        (b'{"version": 1}', "missing required field"),
        (b'{"version": 2, "anything": []}', "version 2 of telemetry, newer"),
        (b'{"version": 0}', "version 0 of telemetry, older"),
        (b'{"version": "one"}', "not a telemetry document"),
        (encoded(document(outcome=1)), "$.outcome"),  # type: ignore[arg-type]
        (encoded(document() | {"started_at": "yesterday"}), "no time of RFC 3339"),
        (encoded(document() | {"ended_at": ""}), "no time of RFC 3339"),
        (encoded(document() | {"spec": {"name": 3, "version": ""}}), "$.spec.name"),
        (b" " * (LARGEST_BYTES + 1), "larger than 16 MiB"),
    ],
    ids=range(17),
)
def test_what_is_no_document_is_refused_with_a_reason(content: bytes, why: str) -> None:
    with pytest.raises(Refused) as refused:
        read_entry(content)
    assert why in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("number", ["-1", "1e400", "-1e400", "1" * 400, "0.0"])
def test_impossible_numbers_become_bounds(number: str) -> None:
    made = document(first_error={"line": 3, "text": "x"})
    text = json.dumps(made).replace('"wall_seconds": 120.0', f'"wall_seconds": {number}', 1)
    try:
        entry = read_entry(text.encode())
    except Refused:
        return
    assert 0 <= entry.wall_seconds <= 1e9
    assert 0 <= entry.own_seconds <= 1e9


@pytest.mark.parametrize("number", [-5, 0, 1 << 70, 10**30])
def test_impossible_sizes_become_bounds_or_nothing(number: int) -> None:
    made = document(memory_bytes=number, asked={"memory_bytes": number}, first_error={"line": number, "text": "x"})
    try:
        entry = read_entry(encoded(made))
    except Refused:
        return
    assert entry.memory_bytes is None or 0 < entry.memory_bytes <= 1 << 60
    assert entry.asked_bytes is None
    assert entry.error_line is None


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"first_error": {"line": 4, "text": "\x1b[31ma.c:1:\x1b[0m  bad\tthing"}}, "a.c:1: bad thing"),
        ({"fetch_faults": [{"url": "https://x/y.tar", "reason": "404", "may_pass": False}]}, "https://x/y.tar: 404"),
        ({"first_error": {"line": 4, "text": "x" * 10_000}}, "x" * 300),
        ({}, ""),
    ],
)
def test_the_error_is_one_bounded_line(changes: dict[str, Any], error: str) -> None:
    assert read_entry(encoded(document(outcome="build_failed", **changes))).error == error


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "//host/x",
        "s3://bucket/key",
        "https://user:secret@host/x",
        "https://token@host/x",
        "https://host/\nx",
        "https://host/\u202ex",
        "https://host/" + "x" * 300,
        "HTTPS://host",
        "",
    ],
    ids=range(12),
)
def test_only_plain_addresses_of_the_web_are_kept(url: str) -> None:
    facts = job(3) | {"url": url, "commit_url": url, "pipeline_url": url}
    entry = read_entry(encoded(document(job=facts, publish={"state": "published", "url": url})))
    assert entry.links == ()
    assert entry.job
    assert (entry.job.url, entry.job.pipeline_url) == ("", "")


def test_the_addresses_of_job_commit_and_binary_are_links() -> None:
    made = document(job=job(3), publish={"state": "published", "url": "https://mirror.example.org/v3/x"})
    assert [link.label for link in read_entry(encoded(made)).links] == ["job", "commit", "binary"]


@pytest.mark.parametrize(
    "changes",
    [
        {"started_at": "0001-01-01T00:00:00Z", "ended_at": "0001-01-01T00:00:00+14:00"},
        {"ended_at": "9999-12-31T23:59:59Z"},
        {"ended_at": "2026-03-02"},
        {"spec": {"name": "", "version": ""}},
        {"spec": {"name": "n" * 100_000, "version": "v" * 100_000, "hash": "h" * 100_000}},
        {"spec": {"name": "a\nb\u2028", "version": "\u202e", "dependencies": [{"hash": "x"}] * 5_000}},
        {"job": {"pipeline_id": "1"}},
        {"job": None},
        {"job": {"id": "1", "started_at": "soon", "agent_started_at": "2099-01-01T00:00:00Z"}},
        {"phases": [{"name": "x" * 100_000, "wall_seconds": 1e300}, {"name": "build", "wall_seconds": -5}]},
        {"failed_dependencies": [{"name": "d"}] * 1_000},
        {"publish": {"state": "<", "url": "<", "wall_seconds": 1e308}},
    ],
    ids=range(12),
)
def test_odd_documents_are_bounded_entries(changes: dict[str, Any]) -> None:
    entry = read_entry(encoded(document() | changes))
    assert entry.ended - entry.started >= 0 or entry.started < 0
    assert len(msgspec.json.encode(entry)) < 300_000
    assert all(0 <= each <= 1e9 for each in (entry.own_seconds, entry.publish_seconds, entry.wall_seconds))
