"""Reports as text and as pages."""

from pathlib import Path

import pytest

from pipelines.job_graph import Job, JobGraph, read
from pipelines.reports import page, text
from pipelines.reports.coverage import Build, Known, coverage
from pipelines.reports.differences import differences
from pipelines.reports.timing import Price, timing

GRAPH = read((Path(__file__).resolve().parents[2] / "data/job_graph/sample.json").read_bytes())
HOSTILE = JobGraph(
    version=1,
    stack="<script>alert(1)</script>",
    jobs=(
        Job(key="a" * 32, name="x\n\x1b[31m<img src=x onerror=alert(1)>", spec='"><b>', image="i", tags=("</td>",)),
        Job(key="b" * 32, name="y", spec="y", dependencies=("a" * 32,), state="pruned", why="<i>\x00\u202e</i>"),
    ),
)


def test_a_graph_as_text_says_what_is_built_and_what_is_not() -> None:
    shown = text.of_graph(GRAPH, timing(GRAPH), Price(core_hour=1))
    assert shown.splitlines()[0] == "examples: 2 of 4 specs are built, 1 pruned, 1 external"
    for part in ("level 1", "level 2", "external: external: /usr", "critical path:", "cost: "):
        assert part in shown


def test_a_graph_that_builds_nothing_says_so() -> None:
    empty = JobGraph(version=1, stack="s")
    assert "nothing is built" in text.of_graph(empty, timing(empty), None)
    assert "None." in page.of_graph(empty, timing(empty), None, [])
    assert text.of_differences([]) == "no difference\n"


def test_long_lists_are_bounded_in_text_and_whole_on_the_page() -> None:
    many = JobGraph(
        version=1, jobs=tuple(Job(key=f"{n:032}", name=f"p{n}", spec="p", state="pruned", why="w") for n in range(99))
    )
    assert "and 59 more; --json has all" in text.of_graph(many, timing(many), None)
    assert "p98" in page.of_graph(many, timing(many), None)


def test_foreign_texts_are_inert() -> None:
    known = Known(there={"b" * 32}, builds={"a" * 32: Build(outcome="build_failed", url="javascript:alert(1)")})
    covered = coverage(HOSTILE, "s3://<m>", known)
    pages = (
        page.of_graph(HOSTILE, timing(HOSTILE), None, differences(JobGraph(version=1), HOSTILE)),
        page.of_coverage(covered, ["<note>"]),
    )
    for shown in pages:
        assert not any(
            part in shown for part in ("<script", "<img", "<b>", "<i>", "javascript:", "\x1b", "\x00", "\u202e", "<note>")
        )
    texts = (
        text.of_graph(HOSTILE, timing(HOSTILE), None),
        text.of_coverage(covered, ["a\nb"]),
        text.of_differences(differences(JobGraph(version=1), HOSTILE)),
    )
    for shown in texts:
        assert "\x1b" not in shown
        assert "\u202e" not in shown


def test_a_coverage_as_text_has_counts_reasons_and_fixes() -> None:
    known = Known(there=set(), builds={"z" * 32: Build(outcome="build_failed", url="https://gitlab/job/1")})
    found = coverage(GRAPH, "s3://m", known)
    shown = text.of_coverage(found, ["a note"])
    assert shown.startswith("examples on s3://m: 0 of 3 specs are there (0 %)\n")
    assert "zlib/zzzzzzz  build_failed" in shown
    assert "zlib/zzzzzzz  unlocks 2" in shown
    assert shown.endswith("note: a note\n")
    assert '<a href="https://gitlab/job/1"' in page.of_coverage(found, [])


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3661, "1:01:01")])
def test_durations_as_people_write_them(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [(0, 0, "100 %"), (0, 5, "0 %"), (5, 5, "100 %"), (1, 3, "33.3 %"), (9999, 10_000, "99.9 %"), (1, 100_000, "0.1 %")],
)
def test_all_and_nothing_are_said_only_where_they_are_true(part: int, whole: int, shown: str) -> None:
    assert text.percent(part, whole) == shown
