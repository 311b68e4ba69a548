"""Spack's `ci:` section, without Spack: which rows count, what is rejected, how values are merged."""

from typing import Any

import pytest

from pipelines.inside import ci_section
from pipelines.inside.specs import BadRequest

WAYS = ci_section.Specs(
    matches=lambda key, text: text in {key, "@:"},
    covers=lambda wide, narrow: wide == "@:" or narrow.startswith(wide + "+"),
    dynamic=lambda mapping, key: {"variables": {"FROM": f"{mapping['endpoint']} {key}"}},
    order="first",
)


def jobs(*sections: dict[str, Any], order: str = "first", **others: Any) -> ci_section.Jobs:
    given = {"pipeline-gen": list(sections), **others}
    return ci_section.jobs(given, {"a": {"HASH": "a"}, "b": {"HASH": "b"}}, WAYS._replace(order=order))


def row(match: str, value: str) -> dict[str, Any]:
    return {"match": [match], "build-job": {"variables": {"SIZE": value}}}


def test_an_empty_section_gives_builds_our_script_and_their_variables() -> None:
    found = jobs()
    assert found.specs["a"] == {"script": ["spack-farm build --ci"], "variables": {"HASH": "a"}}
    assert found.named["reindex"]["script"] == ["spack-farm publish index {index_target_mirror}"]
    assert found.warnings == []


@pytest.mark.parametrize(("order", "size"), [("first", "huge"), ("last", "small")])
def test_the_first_row_that_matches_counts_and_the_last_if_that_is_asked_for(order: str, size: str) -> None:
    rows = [{"match": ["a", "c"], "build-job": {"variables": {"SIZE": "huge"}}}, row("a", "small")]
    rows[1]["match"].append("b")
    found = jobs({"submapping": rows}, order=order)
    assert found.specs["a"]["variables"]["SIZE"] == size
    assert any("1 spec match more than one row" in warning for warning in found.warnings)


def test_all_rows_of_a_merging_submapping_count_the_first_with_the_last_word() -> None:
    first, second = row("a", "1"), row("@:", "2")
    second["build-job"]["timeout"] = "1h"
    found = jobs({"submapping": [first, second], "match_behavior": "merge"})
    assert (found.specs["a"]["variables"]["SIZE"], found.specs["a"]["timeout"]) == ("1", "1h")
    assert found.specs["b"]["variables"]["SIZE"] == "2"


@pytest.mark.parametrize(
    "rows",
    [
        [row("a", "1"), row("a", "2")],
        [row("@:", "1"), row("a", "2")],
        [row("a", "1"), row("a+x", "2")],
        [row("a", "1"), row("b", "2"), {"match": ["a+x", "b"]}],
    ],
)
def test_a_row_that_can_never_count_is_rejected(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(BadRequest, match=r"ci:pipeline-gen\[0\]:submapping\[\d\] can never count"):
        jobs({"submapping": rows})


def test_one_spec_of_a_row_that_can_never_count_is_a_warning() -> None:
    found = jobs({"submapping": [row("a", "1"), {"match": ["a", "b"]}]})
    assert "ci:pipeline-gen[0]:submapping[1]: 'a' has no effect here, row 0 has it already" in found.warnings


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({}, "must be a mapping"),
        ({"biuld-job": {}}, "'biuld-job' is none of the sections"),
        ({"build-job": {}, "any-job": {}}, "is none of the sections"),
        ({"submapping": [{"build-job": {}}]}, "must have 'match'"),
        ({"submapping": [], "match_behavior": "all"}, "match_behavior must be"),
        ({"submapping": [], "extra": 1}, "match_behavior must be"),
    ],
)
def test_what_spack_would_reject_is_rejected_with_its_place(section: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRequest, match=r"ci:pipeline-gen\[0\]") as caught:
        jobs(section)
    assert reason in str(caught.value)


def test_other_targets_and_lists_that_are_none_are_rejected() -> None:
    with pytest.raises(BadRequest, match="ci:target is 'jenkins'"):
        jobs(target="jenkins")
    with pytest.raises(BadRequest, match="pipeline-gen must be a list"):
        ci_section.jobs({"pipeline-gen": {"any-job": {}}}, {}, WAYS)


def test_keys_that_nothing_is_done_for_are_named() -> None:
    found = jobs({"cleanup-job": {"tags": ["x"]}}, colour="blue")
    assert "ci:colour: this key is unknown" in found.warnings[0]
    assert "cleanup-job: no job is made of it" in found.warnings[1]


def test_a_dynamic_mapping_gives_each_job_its_own() -> None:
    found = jobs({"dynamic-mapping": {"endpoint": "e"}})
    assert [each["variables"]["FROM"] for each in found.specs.values()] == ["e a", "e b"]


def test_reserved_tags_are_taken_from_all_jobs_and_given_to_signing() -> None:
    found = jobs({"any-job": {"tags": ["public", "spack"]}}, {"signing-job": {"script": ["x"]}})
    assert found.specs["a"]["tags"] == ["spack"]
    assert found.named["signing"]["tags"][:3] == ["aws", "protected", "notary"]


def test_jobs_share_no_value_with_each_other() -> None:
    found = jobs({"build-job": {"tags": ["x"], "image": {"name": "i"}}})
    found.specs["a"]["tags"].append("y")
    found.specs["a"]["image"]["name"] = "j"
    assert (found.specs["b"]["tags"], found.specs["b"]["image"]) == (["x"], {"name": "i"})


@pytest.mark.parametrize(
    ("dest", "source", "expected"),
    [
        ({"a": [1, 2]}, {"a": [2, 3]}, {"a": [2, 3, 1]}),
        ({"a": [1, 2]}, {"a-": [2, 3]}, {"a": [1, 2, 3]}),
        ({"a": [1, 2]}, {"a:": [3]}, {"a": [3]}),
        ({"a": "x"}, {"a+": "y"}, {"a": "yx"}),
        ({"a": "x"}, {"a-": "y"}, {"a": "xy"}),
        ({"a": "x"}, {"a": "y"}, {"a": "y"}),
        ({"a": "x"}, {"a": None}, {"a": None}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}),
        ({"a": {"b": 1}}, {"a:": {"c": 3}}, {"a": {"c": 3}}),
        ({"a": [1]}, {"a": "text"}, {"a": "text"}),
        ({}, {"a": {"b:": 1}}, {"a": {"b": 1}}),
    ],
)
def test_values_are_merged_as_spack_does(dest: Any, source: Any, expected: Any) -> None:
    assert ci_section.plain(ci_section.merged(dest, ci_section.marked(source))) == expected


@pytest.mark.parametrize(
    ("dest", "source", "expected"),
    [
        ({"a": [1, 2]}, {"a": [2]}, {"a": [1]}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}),
        ({"a": {"b": [1], "c": 2}}, {"a:": {}}, {}),
        ({"a": 1}, {"b": 1}, {"a": 1}),
        ({"a": 1}, None, {"a": 1}),
        ({"a": 1}, {"a": 2}, {"a": 1}),
    ],
)
def test_values_are_removed_as_spack_does(dest: Any, source: Any, expected: Any) -> None:
    assert ci_section.plain(ci_section.removed(dest, ci_section.marked(source))) == expected


def test_a_match_list_of_ours_takes_the_first_row_and_no_row_that_can_never_count() -> None:
    rows = [{"match": ["x"]}, {"match": ["a"]}, {"match": ["@:"]}]
    assert [ci_section.first_match(rows, key, WAYS.matches) for key in "ab"] == [1, 2]
    assert ci_section.first_match(rows[:1], "a", WAYS.matches) is None
    ci_section.require_chances("matches", rows, WAYS.covers)
    with pytest.raises(BadRequest, match="can never count"):
        ci_section.require_chances("matches", [*rows, {"match": ["a"]}], WAYS.covers)
    with pytest.raises(BadRequest, match="has no effect"):
        ci_section.require_chances("matches", [*rows[:2], {"match": ["a", "c"]}], WAYS.covers)


def test_a_script_of_lists_is_one_list() -> None:
    assert ci_section.script(["a", ["b", "c"], 1]) == ["a", "b", "c", "1"]
