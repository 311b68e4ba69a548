"""What differs between two generations, and the change that caused it."""

from typing import Any

import pytest

from pipelines.job_graph import Job, JobGraph
from pipelines.reports.differences import differences


def job(key: str, name: str = "", needs: str = "", **given: Any) -> Job:
    return Job(key=key, name=name or key, spec=name or key, dependencies=tuple(needs.split()), version="1", **given)


def graph(*jobs: Job, **given: Any) -> JobGraph:
    return JobGraph(version=1, jobs=jobs, **given)


def said(old: JobGraph, new: JobGraph) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(each.kind, each.name, each.causes) for each in differences(old, new)]


def test_equal_graphs_have_no_difference() -> None:
    assert said(graph(job("a")), graph(job("a"), made_at="later")) == []


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"version": "2"}, "version 1 -> 2"),
        ({"variants": "+mpi"}, "variants none -> +mpi"),
        ({"compiler": "gcc@14"}, "compiler none -> gcc@14"),
        ({"architecture": "linux-debian13-zen4"}, "architecture none -> linux-debian13-zen4"),
        ({"recipe": "abc"}, "recipe"),
    ],
)
def test_a_change_of_its_own_is_the_cause(changes: dict[str, Any], cause: str) -> None:
    new = Job(**({"key": "a2", "name": "a", "spec": "a", "version": "1"} | changes))
    assert said(graph(job("a1", "a")), graph(new)) == [("rebuilt", "a", (cause,))]


def test_what_is_above_a_change_names_it() -> None:
    old = graph(job("z1", "zlib"), job("p1", "png", "z1"), job("q1", "qt", "p1"))
    new = graph(Job(key="z2", name="zlib", spec="zlib", version="2"), job("p2", "png", "z2"), job("q2", "qt", "p2"))
    cause = ("dependency zlib: version 1 -> 2",)
    assert said(old, new) == [("rebuilt", "png", cause), ("rebuilt", "qt", cause), ("rebuilt", "zlib", ("version 1 -> 2",))]


def test_a_change_in_the_middle_covers_those_below() -> None:
    old = graph(job("a1", "a"), job("b1", "b", "a1"), job("c1", "c", "b1"))
    new = graph(
        Job(key="a2", name="a", spec="a", version="2"),
        Job(key="b2", name="b", spec="b", version="1", recipe="r", dependencies=("a2",)),
        job("c2", "c", "b2"),
    )
    assert ("rebuilt", "c", ("dependency b: recipe",)) in said(old, new)


def test_dependencies_that_came_and_went() -> None:
    old, new = graph(job("m", "make"), job("a1", "a", "m")), graph(job("n", "ninja"), job("a2", "a", "n"))
    assert said(old, new) == [
        ("added", "ninja", ("needed by a",)),
        ("rebuilt", "a", ("dependency ninja is new", "dependency make is gone")),
        ("gone", "make", ("nothing asks for it any more",)),
    ]


def test_a_new_root_is_asked_for() -> None:
    assert said(graph(), graph(job("a", is_root=True))) == [("added", "a", ("the environment asks for it",))]


def test_a_package_that_is_there_twice_is_compared_with_its_own_predecessor() -> None:
    old = graph(job("a1", "a", compiler="gcc@13"), job("a2", "a", compiler="clang@18"))
    new = graph(job("b2", "a", compiler="clang@18", recipe="r"), job("b1", "a", compiler="gcc@13", recipe="r"))
    found = differences(old, new)
    assert {(each.key, each.old_key, each.causes) for each in found} == {
        ("b1", "a1", ("recipe",)),
        ("b2", "a2", ("recipe",)),
    }


@pytest.mark.parametrize(
    ("commits", "cause"),
    [
        ({"spack_commit": "b" * 40, "packages_commit": "b"}, "Spack aaaaaaaaaaaa -> bbbbbbbbbbbb"),
        ({"spack_commit": "a" * 40, "packages_commit": "b"}, "package repository a -> b"),
        ({"spack_commit": "a" * 40, "packages_commit": "a"}, "not known: the graph says the same of it in both"),
    ],
)
def test_a_hash_that_changed_by_itself_has_its_cause_elsewhere(commits: dict[str, str], cause: str) -> None:
    old = graph(job("a1", "a"), spack_commit="a" * 40, packages_commit="a")
    assert said(old, graph(job("a2", "a"), **commits)) == [("rebuilt", "a", (cause,))]


def test_many_causes_are_counted() -> None:
    old = graph(*(job(f"d{n}", f"d{n}") for n in range(5)), job("a1", "a", "d0 d1 d2 d3 d4"))
    changed = [Job(key=f"e{n}", name=f"d{n}", spec="d", version="2") for n in range(5)]
    new = graph(*changed, job("a2", "a", "e0 e1 e2 e3 e4"))
    causes = next(each.causes for each in differences(old, new) if each.name == "a")
    assert causes[-1] == "2 more dependencies"
    assert len(causes) == 4
