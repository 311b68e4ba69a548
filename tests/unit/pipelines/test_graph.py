"""Order, pruning, implied needs, critical path and parts of job graphs."""

import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.inside import graph
from pipelines.inside.gitlab import needs, parts
from pipelines.inside.specs import BadRequest


def reachable(edges: Mapping[str, Any]) -> dict[str, set[str]]:
    """All that each key waits for, by the plainest way."""
    found: dict[str, set[str]] = {}

    def visit(key: str) -> set[str]:
        if key not in found:
            found[key] = set()
            for need in edges[key]:
                found[key] |= {need} | visit(need)
        return found[key]

    for key in edges:
        visit(key)
    return found


@st.composite
def graphs(draw: st.DrawFn, most: int = 12) -> dict[str, list[str]]:
    """A graph without cycles, its keys in any order."""
    count = draw(st.integers(0, most))
    names = draw(st.permutations([f"k{number:02}" for number in range(count)]))
    edges = {name: draw(st.lists(st.sampled_from(names[:at]), max_size=6)) if at else [] for at, name in enumerate(names)}
    return {name: edges[name] for name in draw(st.permutations(list(names)))}


DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c", "a"]}


def test_the_order_of_a_graph_has_needs_first_and_is_the_same_for_the_same_graph() -> None:
    assert graph.in_order(DIAMOND) == ["a", "b", "c", "d"]
    assert graph.in_order(dict(reversed(DIAMOND.items()))) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ({"a": ["a"]}, "cycle: a -> a"),
        ({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}, "cycle: a -> b -> c -> a"),
        ({"z": ["b"], "b": ["c"], "c": ["b"], "a": ["z"]}, "cycle: b -> c -> b"),
        ({"a": ["x"]}, "a needs x, which is not in the graph"),
    ],
)
def test_a_cycle_is_rejected_with_its_keys(edges: dict[str, list[str]], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        graph.in_order(edges)


def test_what_needs_a_pruned_job_needs_what_that_one_needs() -> None:
    chain = {"a": [], "b": ["a"], "c": ["b"], "d": ["c", "b"]}
    assert graph.contracted(chain, {"a", "d"}) == {"a": set(), "d": {"a"}}
    assert graph.contracted(chain, set()) == {}


@given(graphs(), st.data())
def test_pruning_keeps_reachability_among_what_is_left(edges: dict[str, list[str]], data: st.DataObject) -> None:
    kept = {key for key in edges if data.draw(st.booleans())}
    found = graph.contracted(edges, kept)
    whole = reachable(edges)
    assert {key: whole[key] & kept for key in kept} == reachable(found)


@given(graphs())
def test_a_reduced_graph_has_the_same_reachability_and_no_need_too_many(edges: dict[str, list[str]]) -> None:
    found = graph.reduced(edges)
    whole = reachable(edges)
    assert reachable(found) == whole
    for key, least in found.items():
        for need in least:
            fewer = {**found, key: [other for other in least if other != need]}
            assert reachable(fewer)[key] != whole[key]


def test_an_implied_need_is_left_out() -> None:
    assert graph.reduced(DIAMOND)["d"] == ["b", "c"]


@given(graphs(), st.randoms(use_true_random=False))
def test_the_job_with_the_longest_way_to_the_end_comes_first(edges: dict[str, list[str]], chance: random.Random) -> None:
    seconds = {key: float(chance.choice([0, 1, 5, 60])) for key in edges}
    to_end = graph.seconds_to_end(edges, seconds)
    order = graph.critical_first(edges, seconds)
    place = {key: at for at, key in enumerate(order)}
    assert all(place[need] < place[key] for key in edges for need in edges[key])
    assert [to_end[key] for key in order] == sorted(to_end.values(), reverse=True)


def test_the_critical_path_counts_the_job_itself_and_the_slowest_way() -> None:
    found = graph.seconds_to_end(DIAMOND, {"a": 1, "b": 10, "c": 100, "d": 1000})
    assert found == {"a": 1101, "b": 1010, "c": 1100, "d": 1000}
    assert graph.levels(DIAMOND) == {"a": 0, "b": 1, "c": 1, "d": 2}


def test_components_are_what_needs_nothing_of_each_other() -> None:
    assert graph.components({"a": [], "b": ["a"], "c": [], "x": ["y"], "y": []}) == [["a", "b"], ["x", "y"], ["c"]]


def test_a_graph_of_20000_jobs_is_reduced_in_seconds() -> None:
    names = [f"k{number:05}" for number in range(20_000)]
    edges = {name: [names[each] for each in {at // 2, at - 1, at // 3} if 0 <= each < at] for at, name in enumerate(names)}
    assert sum(map(len, graph.reduced(edges).values())) == 19_999


@given(graphs(30), st.integers(2, 5), st.integers(2, 4))
def test_gathered_needs_have_the_same_reachability_within_the_limits(
    edges: dict[str, list[str]], most: int, most_of_gathers: int
) -> None:
    found = needs.gathered(edges, most, most_of_gathers)
    assert all(len(each) <= most for each in found.needs.values())
    assert all(len(each) <= most_of_gathers for each in found.gathers.values())
    whole = reachable({**found.needs, **found.gathers})
    expected = reachable(edges)
    assert {key: whole[key] - set(found.gathers) for key in edges} == expected
    # nothing waits for a gather job that waits for more than the job itself has to
    assert all(
        whole[gather] - set(found.gathers) <= expected[key] for key in edges for gather in whole[key] & set(found.gathers)
    )


@pytest.mark.parametrize(
    ("count", "gathers"), [(49, 0), (50, 1), (80, 1), (98, 1), (99, 2), (147, 2), (148, 3), (5000, 102)]
)
def test_as_few_gather_jobs_are_added_as_possible(count: int, gathers: int) -> None:
    found = needs.gathered({"top": [f"n{number:04}" for number in range(count)]}, 49)
    assert len(found.gathers) == gathers
    assert len(found.needs["top"]) <= 49


def test_jobs_with_the_same_needs_share_a_gather_job() -> None:
    many = [f"n{number}" for number in range(80)]
    assert len(needs.gathered({"a": many, "b": many[::-1]}, 49).gathers) == 1


def test_a_limit_of_one_need_is_no_limit_that_can_be_kept() -> None:
    with pytest.raises(ValueError, match="2 needs"):
        needs.gathered({}, 1)


@given(graphs(30), st.integers(1, 8))
def test_parts_keep_all_jobs_the_limits_and_the_order(edges: dict[str, list[str]], most: int) -> None:
    order = graph.critical_first(edges, dict.fromkeys(edges, 1.0))
    found = parts.divided(edges, order, dict.fromkeys(edges, 10), parts.Room(most, 10**6))
    assert sorted(key for part in found for key in part.keys) == sorted(edges)
    assert all(len(part.keys) <= most for part in found) or len(edges) <= most
    graph.in_order({part.name: part.after for part in found})
    of = {key: part.name for part in found for key in part.keys}
    after = reachable({part.name: part.after for part in found})
    for key, key_needs in edges.items():
        assert all(of[need] == of[key] or of[need] in after[of[key]] for need in key_needs)


def test_a_stack_that_fits_is_one_part_without_a_name() -> None:
    assert parts.divided(DIAMOND, list("abcd"), dict.fromkeys("abcd", 1), parts.Room(4, 4)) == [("", list("abcd"), [])]


def test_parts_that_need_nothing_of_each_other_run_side_by_side() -> None:
    edges = {"a": [], "b": ["a"], "c": ["b"], "x": [], "y": ["x"]}
    found = parts.divided(edges, sorted(edges), dict.fromkeys(edges, 1), parts.Room(2, 100))
    assert [(part.keys, part.after) for part in found] == [(["a", "b"], []), (["c"], ["part-1"]), (["x", "y"], [])]


def test_a_part_is_also_bounded_by_its_parsed_size() -> None:
    found = parts.divided({"a": [], "b": []}, ["a", "b"], {"a": 60, "b": 60}, parts.Room(9, 100))
    assert [part.keys for part in found] == [["a"], ["b"]]
    with pytest.raises(BadRequest, match="the job of a takes 101 parsed bytes"):
        parts.divided({"a": []}, ["a"], {"a": 101}, parts.Room(9, 100))
