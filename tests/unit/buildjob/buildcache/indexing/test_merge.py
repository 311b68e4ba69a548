"""The index as bytes: whatever is merged in whatever order, it is what Spack's own rebuild would give."""

import io
import itertools
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildjob.buildcache import specs
from buildjob.buildcache.indexing import merge, reader
from buildjob.errors import PublishError
from tests.labs.build_cache import dag_hash, expected, nodes_of

NAMES = [f"p{number}" for number in range(12)]
PYTHON_LIKE = {name: sorted(NAMES[:at])[::3] for at, name in enumerate(NAMES)}


def nodes(names: Iterable[str]) -> dict[str, specs.SpecNode]:
    found: dict[str, specs.SpecNode] = {}
    for name in names:
        text = json.dumps({"spec": {"_meta": {"version": 5}, "nodes": whole(name)}}).encode()
        found |= specs.parse_spec(text, where="test")
    return found


def whole(name: str) -> list[dict[str, Any]]:
    """A spec with all that it depends on, each with its own dependencies."""
    needed: dict[str, dict[str, Any]] = {}
    waiting = [name]
    while waiting:
        each = waiting.pop()
        needed.setdefault(each, nodes_of(each, PYTHON_LIKE.get(each, ()))[0] if each != "glibc" else nodes_of(name)[1])
        waiting += [edge for edge in PYTHON_LIKE.get(each, ()) if edge not in needed]
    needed["glibc"] = nodes_of(name)[1]
    return list(needed.values())


def rebuilt(names: Iterable[str]) -> dict[str, Any]:
    """What Spack's rebuild gives: every node that is reached, counted by the edges that lead to it."""
    cached = {dag_hash(name) for name in names}
    every = {node["hash"]: node for name in names for node in whole(name)}
    counts = dict.fromkeys(every, 0)
    for node in every.values():
        for edge in node.get("dependencies", ()):
            counts[edge["hash"]] += 1
    return {key: {"spec": node, "ref_count": counts[key], "in_buildcache": key in cached} for key, node in every.items()}


def merged(old: bytes | None, *, add: Iterable[str] = (), removed: Iterable[str] = ()) -> bytes:
    changes = merge.Changes(
        with_binary=frozenset(dag_hash(name) for name in add),
        nodes=nodes(add),
        removed=frozenset(dag_hash(name) for name in removed),
    )
    file = None if old is None else io.BytesIO(old)
    edits = merge.plan(file, changes)
    new = io.BytesIO()
    merge.merge(file, new, edits, changes.nodes, name="n")
    assert not merge.plan(new, changes), "a second merge of the same changes has nothing to do"
    return new.getvalue()


def installs(text: bytes) -> Any:
    return json.loads(text)["database"]["installs"]


def test_the_made_up_rebuild_is_the_other_tests_one() -> None:
    text = merged(None, add=["p0"])
    assert installs(text) == rebuilt(["p0"]) == expected({"p0": []})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), max_size=14))
def test_any_sequence_of_pushes_and_removals_gives_the_rebuild(steps: list[tuple[str, bool]]) -> None:
    index = merged(None)
    there: set[str] = set()
    for name, comes in steps:
        index = merged(index, add=[name]) if comes else merged(index, removed=[name])
        there = there | {name} if comes else there - {name}
        assert installs(index) == rebuilt(there)
        assert json.loads(index)["spack-farm"] == {"name": "n"}


@given(st.integers(min_value=1, max_value=3000))
def test_the_size_of_the_windows_changes_nothing(window_bytes: int) -> None:
    index = merged(None, add=NAMES)
    rows = itertools.chain.from_iterable(
        part.items() for part, _ in reader.windows(io.BytesIO(index), window_bytes=window_bytes)
    )
    assert {key: json.loads(bytes(raw)) for key, raw in rows} == rebuilt(NAMES)


@pytest.mark.parametrize("layout", [{"separators": (",", ":")}, {"indent": 1}, {}])
def test_an_index_that_others_wrote_is_read(layout: dict[str, Any]) -> None:
    theirs = json.dumps({"database": {"version": "8", "installs": rebuilt(["p9"])}}, **layout).encode()
    assert installs(merged(theirs, add=["p11"])) == rebuilt(["p9", "p11"])
    empty = json.dumps({"database": {"version": "8", "installs": {}}}, **layout).encode()
    assert installs(merged(empty, add=["p11"])) == rebuilt(["p11"])


def test_what_an_entry_has_beside_ours_stays() -> None:
    entry = rebuilt(["p0"])
    entry[dag_hash("glibc")]["origin"] = "elsewhere"
    theirs = json.dumps({"database": {"version": "8", "installs": entry}}).encode()
    now = installs(merged(theirs, add=["p1"]))
    assert now[dag_hash("glibc")]["origin"] == "elsewhere"
    assert now[dag_hash("glibc")]["ref_count"] == 2


def test_an_entry_that_is_not_in_spacks_form_is_an_error() -> None:
    broken = {"database": {"version": "8", "installs": {dag_hash("p0"): {"ref_count": "two"}}}}
    with pytest.raises(PublishError, match=f"entry {dag_hash('p0')} is not in Spack's form"):
        merged(json.dumps(broken).encode(), add=["p0"])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "not in Spack's form"),
        (b"<html>busy</html>", "not in Spack's form"),
        (b'{"database":{"version":"9","installs":{}}}', "version 9"),
        (merged(None, add=["p9"])[:-60], "ends too early"),
        (merged(None, add=["p9"]).replace(b'"ref_count":', b'"ref_count":,', 1), "ends too early"),
    ],
)
def test_a_broken_index_is_refused(text: bytes, complaint: str) -> None:
    with pytest.raises(PublishError, match=complaint):
        merged(text, add=["p1"])


def test_a_spec_that_is_not_whole_is_refused() -> None:
    spec = {"spec": {"_meta": {"version": 5}, "nodes": whole("p9")[:1]}}
    with pytest.raises(PublishError, match="is incomplete"):
        specs.parse_spec(json.dumps(spec).encode(), where="test")
    with pytest.raises(PublishError, match="has no nodes"):
        specs.parse_spec(b'{"spec":{"_meta":{"version":5},"nodes":[]}}', where="test")
    old = {"spec": {"_meta": {"version": 4}, "nodes": whole("p9")}}
    with pytest.raises(PublishError, match="spec format 4"):
        specs.parse_spec(json.dumps(old).encode(), where="test")
