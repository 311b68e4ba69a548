"""Names of jobs, and the YAML that is written."""

import random
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipelines.inside.gitlab import limits, names, yaml_text

HASH = "abcdefghijklmnopqrstuvwxyz234567"


@pytest.mark.parametrize(
    ("name", "version", "group", "most", "expected"),
    [
        ("zlib", "1.3.1", "", 128, f"zlib@1.3.1 /{HASH}"),
        ("zlib", "1.3.1", "Nightly", 128, f"zlib@1.3.1 /{HASH} Nightly"),
        ("zlib", "git." + "0" * 200 + "=1.0", "", 128, f"zlib@git.{'0' * 83}.. /{HASH}"),
        ("zlib", "1.3.1", "g" * 200, 128, f"zlib@1.3.1 /{HASH} {'g' * 75}.."),
        ("zlib", "1\n2\u0000", "", 128, f"zlib@1 2? /{HASH}"),
        ("größe", "1", "", 128, f"größe@1 /{HASH}"),
        (".x", "1", "", 128, f"_.x@1 /{HASH}"),
        ("zlib", "1.3.1", "", 48, f"zlib@1.3.1 /{HASH}"),
    ],
)
def test_a_job_has_a_name_that_gitlab_takes(name: str, version: str, group: str, most: int, expected: str) -> None:
    assert names.job_name(name, version, HASH, group, most) == expected


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=300), st.integers(48, 255))
def test_any_name_is_one_line_within_its_limit_and_has_the_key(name: str, version: str, group: str, most: int) -> None:
    found = names.job_name(name, version, HASH, group, most)
    assert found.isprintable()
    assert f"/{HASH}" in found
    assert len(found) <= most + 1  # one more where a dot in front would hide the job
    assert not found.startswith(".")


@pytest.mark.parametrize("name", ["image", "stages", "default", "pages", "workflow", ""])
def test_a_reserved_name_is_changed(name: str) -> None:
    assert names.allowed(name) == "_" + name


@pytest.mark.parametrize(
    ("text", "expected"),
    [("E4S / x86 64", "E4S-x86-64"), ("../../etc", "etc"), ("", "stack"), ("\n", "stack"), ("ok_1.2-3", "ok_1.2-3")],
)
def test_a_stack_has_a_name_for_files(text: str, expected: str) -> None:
    assert names.file_name(text) == expected


TEXTS = st.one_of(
    st.text(),
    st.sampled_from(
        """yes no on off y n true NULL ~ null 1 1.0 1e3 0x1f 07 1_000 12:30:45 2024-01-01 .inf .nan - ? : , [] {} & * ! | >
        % @ `""".split(),  # noqa: SIM905 (a list of as many is a page)
    ),
    st.sampled_from(
        ["a: b", "a #b", " a", "a ", "a\nb", "a:", "- a", "<<", "=", "a, b", "\u2028", "\ud800", "\x7f", "😀", "é"]
    ),
)
VALUES = st.recursive(
    st.one_of(TEXTS, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def readable(value: Any) -> Any:
    """Half pairs can't be written in any encoding."""
    if isinstance(value, str):
        return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in value)
    if isinstance(value, list):
        return [readable(item) for item in value]
    if isinstance(value, dict):
        return {readable(key): readable(item) for key, item in value.items()}
    return value


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_what_is_written_is_read_as_the_same_values(value: dict[str, Any]) -> None:
    text = yaml_text.document(value)
    assert text.isascii()
    assert yaml.safe_load(text) == (readable(value) or None if not value else readable(value))


def test_a_long_text_is_written_in_one_pass() -> None:
    """A pattern with alternatives took seconds for 60 letters and a colon."""
    for text in ("spack-farm " * 20_000 + ":", "a" * 10**6 + "\n", "a, " * 10**5):
        assert yaml.safe_load(yaml_text.document({"a": text})) == {"a": text}


def test_keys_keep_their_order_and_plain_texts_have_no_quotes() -> None:
    made = {"stages": ["build"], "b": {"script": ["spack-farm build --ci"], "count": 1, "e": [], "m": {}}, "a": "1.0"}
    assert yaml_text.document(made) == (
        'stages:\n- build\nb:\n  script:\n  - spack-farm build --ci\n  count: 1\n  e: []\n  m: {}\na: "1.0"\n'
    )


def test_lists_of_lists_and_of_mappings_are_read_as_such() -> None:
    made = {"a": [["x", "y"], {"k": [1, {"z": "w"}], "l": 2}, [], {}, [["deep"]]]}
    assert yaml.safe_load(yaml_text.document(made)) == made


def test_the_parsed_size_is_not_less_than_that_of_ruby() -> None:
    """An estimate that is meant to lie above what Ruby counts: ObjectSpace.memsize_of each object, keys included."""
    assert yaml_text.parsed_bytes("x" * 23) == 40
    assert yaml_text.parsed_bytes("x" * 24) >= 65
    assert yaml_text.parsed_bytes({}) >= 40
    assert yaml_text.parsed_bytes([1, 2, 3]) >= 40 + 3 * 40


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({"a": {"needs": [{"job": "b"}]}}, "a: needs b, which is no job of this pipeline"),
        ({"a": {"needs": [{"job": "b"}]}, "b": {"needs": [{"job": "a"}]}}, "cycle: a -> b -> a"),
        ({"a" * 129: {}}, "129 characters; at most 128"),
        ({"a": {"needs": [{"job": "b", "pipeline": "1"}] * 51}}, "a: 51 needs; at most 50"),
        ({f"j{number}": {} for number in range(501)}, "501 jobs; at most 500"),
        ({"a": {"script": ["x" * (3 << 20)]}}, "parsed bytes; at most 2097152"),
        ({"a": {"script": ["x" * (5 << 20)]}}, "at most 4000000"),
    ],
)
def test_what_gitlab_would_reject_is_found(document: dict[str, Any], fault: str) -> None:
    assert any(fault in found for found in limits.faults({"pipeline.yml": document}, limits.Limits()))


def test_the_yaml_of_all_children_together_fits_an_archive() -> None:
    chance = random.Random(1)
    noise = {f"{number}.yml": {"a": {"script": [chance.randbytes(750_000).hex()]}} for number in range(6)}
    (fault,) = limits.faults(noise, limits.Limits())
    assert "packed; at most 4000000 in an archive" in fault


def test_hidden_jobs_and_keywords_are_no_jobs() -> None:
    document = {
        "stages": ["x"],
        "workflow": {},
        ".hidden": {},
        "a": {"needs": [{"job": "a2"}, {"job": "g", "pipeline": "1"}]},
        "a2": {},
    }
    assert limits.faults({"pipeline.yml": document}, limits.Limits()) == []
    assert limits.graph_of(document) == {"a": ["a2"], "a2": []}
