"""Sizes of jobs: keys as all readers derive them, the table, quantities, match lists."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.inside import matching, sizes
from pipelines.inside.specs import BadRequest
from tests.labs.made_up_specs import spec

DATA = Path(__file__).resolve().parents[2] / "data/sizes"
CASES: list[dict[str, Any]] = json.loads((DATA / "keys.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["is"] for case in CASES])
def test_the_keys_are_those_that_all_readers_derive(case: dict[str, Any]) -> None:
    given = case["spec"]
    compiler, _, version = given.get("compiler", "").partition("@")
    variants = given.get("variants", {})
    found = spec(
        given["name"],
        key=given.get("hash", ""),
        version=given["version"],
        compiler_name=compiler,
        compiler_version=version,
        architecture=given.get("architecture", ""),
        build_system=variants.get("build_system", ""),
        expensive="".join(f"+{name}" for name in sizes.EXPENSIVE if variants.get(name) is True),
    )
    assert sizes.keys(found, given.get("build_jobs", 0)) == case["keys"]


@pytest.mark.parametrize("name", ["sample.json", "version-1.json"])
def test_the_samples_of_the_table_are_read(name: str) -> None:
    table, warning = sizes.read_table((DATA / name).read_bytes())
    assert (bool(table.rows), len(table.digest), warning) == (True, 16, "")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "can't be read"),
        (b"[]", "can't be read"),
        (b"\xff", "can't be read"),
        (b"[" * 100_000, "can't be read"),
        (b'{"version": 3, "sizes": {}}', "has version 3"),
        (b'{"version": 2, "sizes": []}', "can't be read"),
        (b" " * (sizes.LARGEST_BYTES + 1), "more than 64 MiB"),
    ],
)
def test_a_table_that_cannot_be_read_is_a_warning_and_no_sizes(content: bytes, reason: str) -> None:
    table, warning = sizes.read_table(content)
    assert table == sizes.NO_TABLE
    assert reason in warning


def test_values_of_a_row_that_are_none_are_unknown() -> None:
    row = {
        "cpu_millicores": "4",
        "memory_bytes": -1,
        "disk_bytes": True,
        "build_jobs": 0,
        "expected_seconds": -2,
        "source": 3,
    }
    table, _ = sizes.read_table(json.dumps({"version": 2, "sizes": {"*": row, "zlib": None}}).encode())
    assert set(table.rows.values()) == {sizes.Row()}


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("500m", 1000, 500), ("2", 1000, 2000), ("1.5", 1000, 1500), ("0.0001", 1000, 1), (2, 1000, 2000),
        ("16G", 1, 16 * 10**9),
        ("1Gi", 1, 1 << 30), ("1.5Ki", 1, 1536), ("", 1, None), ("x", 1, None), ("-1", 1, None), ("0", 1, None),
        ("1e3", 1, None),
    ],
)  # fmt: skip
def test_a_quantity_is_read_in_base_units(text: object, unit: int, expected: int | None) -> None:
    assert sizes.quantity(text, unit) == expected


def table(**row: Any) -> sizes.Table:
    return sizes.Table({"zlib": sizes.Row(**row)}, "digest")


def sized(job: dict[str, Any], found: sizes.Table = sizes.NO_TABLE, *lists: dict[str, Any]) -> sizes.Row:
    jobs = {"h" * 32: job}
    return matching.sized({"h" * 32: spec()}, jobs, matching.Sources(found, lists), lambda _, text: text == "zlib")["h" * 32]


def test_a_measured_size_beats_the_section_and_is_marked_as_a_hint() -> None:
    job: dict[str, Any] = {"variables": {"KUBERNETES_CPU_REQUEST": "4", "KUBERNETES_MEMORY_REQUEST": "16G"}}
    row = sized(job, table(cpu_millicores=500, memory_limit_bytes=3 << 20, expected_seconds=7.0, source="3 builds"))
    assert job["variables"] == {
        "KUBERNETES_CPU_REQUEST": "500m",
        "KUBERNETES_MEMORY_REQUEST": "16G",
        "KUBERNETES_MEMORY_LIMIT": "3Mi",
        "SPACK_FARM_SIZE_SOURCE": "digest",
    }
    assert (row.cpu_millicores, row.memory_bytes, row.expected_seconds, row.source) == (500, 16 * 10**9, 7.0, "3 builds")


def test_a_match_list_beats_the_table_and_is_no_hint() -> None:
    job: dict[str, Any] = {"variables": {}, "tags": ["old"]}
    listed = {"match": ["other", "zlib"], "cpu": "2", "memory": "1Gi", "p90_seconds": 9, "tags": ["large"], "image": "i:1"}
    row = sized(job, table(cpu_millicores=500, expected_seconds=7.0), listed)
    assert job["variables"] == {"KUBERNETES_CPU_REQUEST": "2000m", "KUBERNETES_MEMORY_REQUEST": "1024Mi"}
    assert (job["tags"], job["image"]) == (["large"], "i:1")
    assert (row.cpu_millicores, row.expected_seconds, row.p90_seconds, row.source) == (2000, 7.0, 9, "match list: other")


def test_the_first_row_of_a_match_list_counts() -> None:
    job: dict[str, Any] = {"variables": {}}
    sized(job, sizes.NO_TABLE, {"match": ["zlib"], "cpu": "1"}, {"match": ["zlib"], "cpu": "2"})
    assert job["variables"]["KUBERNETES_CPU_REQUEST"] == "1000m"


def test_the_number_of_parallel_jobs_is_part_of_the_key_where_a_job_says_it() -> None:
    key = "zlib@1.3.1%gcc@13.2.0 target=x86_64 jobs=8"
    job: dict[str, Any] = {"variables": {"SPACK_BUILD_JOBS": "8"}}
    assert sized(job, sizes.Table({key: sizes.Row(cpu_millicores=7)}, "d")).source == key


@pytest.mark.parametrize(
    "row",
    [
        {"cpu": "many"}, {"memory": ""}, {"disk": "-1"}, {"build_jobs": 0}, {"build_jobs": "2"}, {"expected_seconds": "x"},
        {"p90_seconds": True}, {"memory_limit": None},
    ],
)  # fmt: skip
def test_a_match_list_with_no_quantity_is_rejected(row: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="the match list for 'zlib' has no usable"):
        sized({"variables": {}}, sizes.NO_TABLE, {"match": ["zlib"], **row})
