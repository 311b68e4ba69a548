"""The size table: what a row says, which keys have one, and what no history can make it say."""

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sizing.errors import BadRequest
from sizing.fit import Fit, fit, objections
from sizing.observations import Observation, PolicySettings, Prior
from sizing.prior import read_priors
from sizing.quantities import in_gib, parse_quantity
from sizing.size_table import Row, decode, encode, pack
from tests.labs.sizing import DAY, GIB, NOW

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/reference/sizes.schema.json").read_text())
KEYS = ("/abc", "hdf5@1.14%gcc@13 target=x86_64 jobs=4", "hdf5@1.14%gcc@13", "hdf5@1.14", "hdf5", "build_system=cmake", "*")
MAX = PolicySettings(tiers_per_doubling=4)


def seen(
    need: int = 4 * GIB, *, days_ago: float = 1, keys: tuple[str, ...] = KEYS, jobs: int = 4, at: int | None = None,
    cores: float = 2.0, seconds: float = 100.0,
) -> Observation:  # fmt: skip
    ended = NOW - days_ago * DAY
    return Observation(
        keys=keys, submitted=ended - seconds, ended=ended, outcome="built", working_set_peak_bytes=need, jobs=jobs,
        censored=at is not None, asked_memory_bytes=at, cpu_seconds=cores * seconds, wall_seconds=seconds,
        disk_peak_bytes=GIB,
    )  # fmt: skip


def fitted(
    observations: list[Observation],
    priors: dict[str, Prior] | None = None,
    *,
    given: PolicySettings = MAX,
    policy: str = "max_margin",
) -> Fit:
    ordered = sorted(observations, key=lambda one: one.ended)
    return fit(ordered, priors or {}, policy=policy, now=NOW, settings=given)


def test_a_row_says_what_builds_used_and_why() -> None:
    builds = [seen(cores=1 + number / 10, seconds=100 + number) for number in range(23)]
    row = fitted(builds).rows["hdf5"]
    assert row.memory_bytes == row.memory_limit_bytes == round(2**32.25)
    assert row.memory_bytes >= 4 * GIB * 1.15
    assert row.ladder_memory_bytes[0] >= 2 * 4 * GIB
    assert (row.cpu_millicores, row.build_jobs, row.samples) == (2700, 4, 23)
    assert (row.expected_seconds, row.p90_seconds) == (111, 120)
    assert row.source == "23 builds of hdf5, largest 4.0 GiB"
    assert GIB <= (row.disk_bytes or 0) <= 1.5 * GIB


@pytest.mark.parametrize(
    ("cores", "jobs", "millicores"), [(0.01, 4, 500), (3.91, 4, 4000), (7.5, 4, 4000), (1.01, 1, 1000), (2.0, 8, 2000)]
)
def test_cpu_is_between_half_a_core_and_a_core_for_each_job(cores: float, jobs: int, millicores: int) -> None:
    assert fitted([seen(cores=cores, jobs=jobs)] * 5).rows["hdf5"].cpu_millicores == millicores


def test_a_level_with_too_few_builds_has_no_row_but_the_package_never_gets_less_than_it_needed() -> None:
    others = [seen(GIB, keys=(f"p{number}", "build_system=cmake", "*")) for number in range(9)]
    found = fitted([seen(9 * GIB)] * 2 + others)
    assert "hdf5@1.14" not in found.rows
    for key in ("hdf5", "hdf5@1.14", "/abc"):
        row = found.found(key)
        assert row is not None
        assert (row.memory_bytes or 0) >= 9 * GIB


def test_a_row_of_an_exact_hash_that_equals_the_next_one_is_left_out() -> None:
    assert "/abc" not in fitted([seen()] * 6).rows
    larger = [seen(16 * GIB, keys=("/def", *KEYS[1:]))] * 6
    assert "/abc" in fitted([seen()] * 6 + larger).rows


def test_a_build_killed_at_its_limit_pushes_up() -> None:
    row = fitted([seen()] * 5 + [seen(4 * GIB, at=8 * GIB)]).rows["hdf5"]
    assert (row.memory_bytes or 0) >= 8 * GIB * 1.15


def test_memory_follows_the_number_of_jobs_where_several_were_measured() -> None:
    few = [seen(2 * GIB, jobs=2, days_ago=day + 1) for day in range(5)]
    many = [seen(6 * GIB, jobs=8, days_ago=day + 2) for day in range(7)]
    row = fitted(few + many).rows["hdf5"]
    assert (row.build_jobs, row.memory_bytes) == (8, round(2 ** (33 - 1 / 4 + 1 / 4)))
    lone = fitted([seen(7 * GIB, jobs=4), *few, *many]).rows["hdf5"]
    assert (lone.memory_bytes or 0) > 9 * GIB, "7 GiB with 4 jobs are more with 8"


def test_the_operator_s_table_is_the_size_of_what_was_not_built() -> None:
    priors = {"warpx": Prior(memory_bytes=48 * 10**9, cpu_millicores=12_000, build_jobs=12), "*": Prior(memory_bytes=GIB)}
    rows = fitted([seen()] * 5, priors).rows
    assert (rows["warpx"].memory_bytes or 0) >= 48 * 10**9
    assert (rows["warpx"].cpu_millicores, rows["warpx"].build_jobs) == (12_000, 12)
    assert rows["warpx"].source == "the operator's table"
    assert (rows["hdf5"].memory_bytes or 0) < 6 * GIB


PEAKS = st.lists(
    st.tuples(st.integers(1 << 20, 1 << 38), st.floats(0.1, 80), st.sampled_from([1, 2, 4, 8]), st.booleans()),
    min_size=1,
    max_size=40,
)


@settings(deadline=None)
@given(
    peaks=PEAKS,
    cap=st.none() | st.integers(600 << 20, 1 << 40),
    margins=st.tuples(st.integers(100, 300), st.integers(100, 300)),
    policy=st.sampled_from(["max_margin", "min_waste", "percentile"]),
)
def test_whatever_was_built_no_size_breaks_a_promise(
    peaks: list[tuple[int, float, int, bool]], cap: int | None, margins: tuple[int, int], policy: str
) -> None:
    builds = [seen(need, days_ago=days, jobs=jobs, at=need if kill else None) for need, days, jobs, kill in peaks]
    low, high = (
        PolicySettings(cap_bytes=cap, margin_percent=margin, most_margin_percent=margin) for margin in sorted(margins)
    )
    one, same, more = (fitted(builds, given=given, policy=policy) for given in (low, low, high))
    content = encode(one.rows, policy=policy, now=NOW)
    assert content == encode(same.rows, policy=policy, now=NOW)
    jsonschema.validate(json.loads(content), SCHEMA, cls=jsonschema.Draft202012Validator)
    for row in one.rows.values():
        limits = [row.memory_bytes or 0, *row.ladder_memory_bytes]
        assert limits == sorted(set(limits))
        assert cap is None or limits[-1] <= cap
    largest = max(need for need, *_ in peaks)
    found, wider = one.found("/abc"), more.found("/abc")
    assert found is not None
    assert wider is not None
    if policy != "percentile":
        assert (found.memory_bytes or 0) >= min(largest, cap or largest)
    assert (wider.memory_bytes or 0) >= (found.memory_bytes or 0)


def test_the_rows_of_some_keys_are_those_of_the_whole_table() -> None:
    other = ("/other", "zlib@1.3", "zlib", "build_system=makefile", "*")
    builds = [
        seen(40 * GIB),
        *(seen(9 * GIB, keys=("/new", *KEYS[1:])) for _ in range(9)),
        *(seen(keys=other) for _ in range(9)),
    ]
    whole = fit(builds, {}, policy="min_waste", now=NOW, settings=MAX)
    part = fit(builds, {}, policy="min_waste", now=NOW, settings=MAX, only=["/new"])
    assert part.rows == {key: row for key, row in whole.rows.items() if key in {"/new", *KEYS}}
    assert "/new" in part.rows, "it needs less than its package"
    assert whole.rows.keys() - part.rows.keys() == {"zlib@1.3", "zlib", "build_system=makefile"}


def test_an_untrusted_build_is_none_of_the_history_that_is_fitted() -> None:
    assert fitted([]).rows == {}


OLD = {
    "a": Row(memory_bytes=4 * GIB),
    "b": Row(memory_bytes=4 * GIB),
    "/h": Row(memory_bytes=GIB),
    "c": Row(cpu_millicores=1),
}


@pytest.mark.parametrize(
    ("rows", "chains", "said"),
    [
        (OLD, {}, []),
        (OLD | {"a": Row(memory_bytes=GIB), "b": Row(memory_bytes=16 * GIB)}, {}, []),
        (OLD | {"a": Row(memory_bytes=GIB - 1)}, {}, ["a would go from 4.0 GiB to 1.0 GiB"]),
        (OLD | {"b": Row(memory_bytes=16 * GIB + 1)}, {}, ["b would go from 4.0 GiB to 16.0 GiB"]),
        ({key: row for key, row in OLD.items() if key != "c"}, {}, ["c would be dropped"]),
        ({key: row for key, row in OLD.items() if key != "/h"}, {"/h": ("a",)}, []),
        ({key: row for key, row in OLD.items() if key != "/h"}, {"/h": ("x",)}, ["/h would be dropped"]),
    ],
)
def test_a_key_that_is_dropped_or_changes_much_is_named(
    rows: dict[str, Row], chains: dict[str, tuple[str, ...]], said: list[str]
) -> None:
    assert objections(OLD, Fit(rows=rows, chains=chains)) == said


def test_version_1_has_what_older_drivers_know() -> None:
    rows = fitted([seen()] * 5).rows
    table = json.loads(encode(rows, policy="max_margin", now=NOW, version=1))
    assert (table["version"], set(table)) == (1, {"version", "sizes"})
    assert set(table["sizes"]) == {"hdf5@1.14%gcc@13", "hdf5@1.14", "hdf5"}
    assert not {"ladder_memory_bytes", "build_jobs", "p90_seconds"} & set(table["sizes"]["hdf5"])


def test_a_packed_table_is_the_same_table_and_the_same_bytes() -> None:
    rows = fitted([seen()] * 5).rows
    content = encode(rows, policy="x", now=NOW)
    assert decode(pack(content)) == decode(content) == rows
    assert pack(content) == pack(content)


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 3}', b'{"version": 2, "sizes": {"a": 1}}', b"\x1f\x8b\x00"])
def test_what_is_no_table_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(content)


CSV = """platform,match,effective,build_jobs,cpu_request,memory_request,cpu_cores,memory_bytes
linux,warpx,1,12,12000m,48G,,
linux,warpx,1,1,1,1G,,
linux,warpx +python,1,2,500m,1.5Gi,,
linux,llvm +clang,1,2,1,1G,,
linux,zlib,0,1,1,1G,,
darwin,cmake,1,1,1,1G,,
linux,hdf5,1,,,,4.0,16000000000
linux,*default(build-job),1,4,4000m,16G,,
linux,*noop-job,1,,100m,5M,,
"""


def test_the_operator_s_table_is_read_as_spack_s_pipelines_mean_it() -> None:
    priors = read_priors(CSV, name="x.csv")
    found = {key: (prior.memory_bytes, prior.cpu_millicores, prior.build_jobs) for key, prior in priors.items()}
    assert found == {
        "warpx": (48 * 10**9, 12_000, 12),
        "warpx+python": (3 << 29, 500, 2),
        "hdf5": (16 * 10**9, 4000, None),
        "*": (16 * 10**9, 4000, 4),
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column 'match'"),
        ("package,memory_request\nx,1G\n", "no column 'match'"),
        ("match,memory_request\nx,much\n", "x.csv, line 2: 'much' is not a quantity"),
        ("match,build_jobs\nx,1\ny,two\n", "x.csv, line 3"),
        ("match,build_jobs\nx,0\n", "x.csv, line 2: '0' is too small"),
        ("match,build_jobs\nx,-4\n", "x.csv, line 2: '-4' is not a whole number"),
        ("match,build_jobs\nx,4_0\n", "x.csv, line 2: '4_0' is not a whole number"),
        ("match,build_jobs\nx,99999\n", "x.csv, line 2: '99999' is larger than any machine"),
        ("match,memory_request\nx,9P\n", "x.csv, line 2: '9P' is larger than any machine"),
        ("match,cpu_request\nx,10001\n", "x.csv, line 2: '10001' is larger than any machine"),
        (
            'match,memory_request\nx,"1G\ny,2G\nz,3G\n',
            "x.csv, in the row of line 2: unexpected end of data; is a quote not closed",
        ),
        ("match,cpu_request,memory_request\nx,1,1,5G\n", "x.csv, line 2: it has more columns than the head"),
    ],
)
def test_a_table_that_cannot_be_read_is_named_with_its_line(text: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        read_priors(text, name="x.csv")


@pytest.mark.parametrize(
    ("text", "per_unit", "value"),
    [("2G", 1, 2 * 10**9), ("1.5Gi", 1, 3 << 29), ("500m", 1000, 500), ("4", 1000, 4000), ("100m", 1, 1)],
)
def test_a_quantity_is_read_exactly(text: str, per_unit: int, value: int) -> None:
    assert parse_quantity(text, per_unit=per_unit) == value


@pytest.mark.parametrize(("value", "text"), [(10 * GIB + (1 << 27), "10.1 GiB"), (64 << 20, "64 MiB"), (GIB - 1, "1.0 GiB")])
def test_bytes_are_written_for_people(value: int, text: str) -> None:
    assert in_gib(value) == text


def test_observations_are_not_changed() -> None:
    builds = [seen(2 * GIB, jobs=2), seen(6 * GIB, jobs=8), seen(6 * GIB, jobs=8)]
    before = [dataclasses.asdict(one) for one in builds]
    fitted(builds)
    assert [dataclasses.asdict(one) for one in builds] == before
