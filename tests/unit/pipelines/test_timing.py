"""The time and the cost of a job graph."""

import pytest

from pipelines.job_graph import Job, JobGraph, Size
from pipelines.reports.timing import Price, Timing, by_level, cost, timing


def job(key: str, needs: str = "", seconds: float | None = None, **given: object) -> Job:
    return Job(key=key, name=key, spec=key, needs=tuple(needs.split()), expected_seconds=seconds, **given)  # type: ignore[arg-type]


def timed(*jobs: Job) -> Timing:
    return timing(JobGraph(version=1, jobs=jobs))


def test_the_critical_path_is_the_longest_way() -> None:
    found = timed(job("a", seconds=10), job("b", seconds=100), job("c", "a", 100), job("d", "b c", 5), job("e", "a", 1))
    assert (found.path, found.path_seconds, found.total_seconds) == (["a", "c", "d"], 115, 216)
    assert found.levels == {"a": 0, "b": 0, "c": 1, "d": 2, "e": 1}


def test_of_equal_ways_the_same_one_is_always_shown() -> None:
    jobs = [job("a", seconds=5), job("b", seconds=5), job("c", "b a", 1)]
    assert timed(*jobs).path == timed(jobs[1], jobs[0], jobs[2]).path == ["a", "c"]


def test_what_is_not_built_takes_no_time() -> None:
    found = timed(job("a", state="pruned", seconds=500), job("b", seconds=3, size=Size(cpu_millicores=1)))
    assert (found.path, found.path_seconds, found.unmeasured, found.unsized) == (["b"], 3, 0, 0)


def test_an_empty_graph_has_no_path() -> None:
    assert (timed().path, timed().path_seconds, timed().levels) == ([], 0.0, {})


def test_an_unmeasured_job_counts_a_minute() -> None:
    found = timed(job("a"), job("b", "a"))
    assert (found.path_seconds, found.unmeasured, found.unsized) == (120, 2, 2)


def test_cost_is_of_what_is_asked_for() -> None:
    found = timed(job("a", seconds=3600, size=Size(cpu_millicores=4000, memory_bytes=8 << 30)), job("b", seconds=1800))
    assert (found.core_hours, found.gib_hours, found.unsized) == (4, 8, 1)
    assert cost(found, Price(core_hour=0.5, gib_hour=0.25)) == pytest.approx(4)


def test_levels_are_sorted_by_name() -> None:
    jobs = (job("b"), job("a"), job("c", "a b"), job("x", state="external"))
    assert [[each.key for each in level] for level in by_level(jobs, timed(*jobs))] == [["a", "b"], ["c"]]
