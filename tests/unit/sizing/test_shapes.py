"""A table and a fit as others read them: specs, Spack's CI configuration, gantry's answer, a report, a page."""

import dataclasses
import html.parser
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizing.documents import read_build
from sizing.errors import BadRequest
from sizing.exports import allocation, submapping, variables
from sizing.fit import fit
from sizing.observations import PolicySettings
from sizing.page import page
from sizing.report import as_text
from sizing.size_table import Row
from sizing.specs import keys_of
from tests.labs.sizing import DAY, GIB, NOW, document, killed

KEYS: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "data/sizes/keys.json").read_text())


def as_spec(case: dict[str, str]) -> str:
    """Return the spec that `spack ci generate` makes of a job's variables."""
    get = {name.removeprefix("SPACK_JOB_SPEC_"): value for name, value in case.items()}.get
    text = f"{get('PKG_NAME')}@{get('PKG_VERSION')}" if get("PKG_VERSION") else str(get("PKG_NAME"))
    text += f" {get('VARIANTS', '')}"
    text += f" arch={get('ARCH')}" if get("ARCH") else ""
    text += f"%{get('COMPILER_NAME')}@{get('COMPILER_VERSION')}" if get("COMPILER_VERSION") else ""
    text += f" jobs={get('SPACK_BUILD_JOBS')}" if get("SPACK_BUILD_JOBS") else ""
    return text + (f" /{get('DAG_HASH')}" if get("DAG_HASH") else "")


@pytest.mark.parametrize("case", [case for case in KEYS if case["keys"]], ids=lambda case: case["is"])
def test_a_spec_as_spack_writes_it_has_the_keys_of_its_job(case: dict[str, Any]) -> None:
    assert list(keys_of(as_spec(case["variables"]))) == case["keys"]


@pytest.mark.parametrize(
    ("text", "first"),
    [("hdf5", "hdf5"), ("hdf5@=1.14", "hdf5@1.14"), (" py-six @ ", None), ("/abc", "/abc"), ("hdf5+mpi", "hdf5+mpi"),
     ("hdf5 ^zlib", None), ("", None), ("%gcc", None), ("hdf5@1.14 %gcc", "hdf5@1.14"), ("x" * 20_000 + " +a", None)],
)  # fmt: skip
def test_what_people_write(text: str, first: str | None) -> None:
    if first is None:
        with pytest.raises(BadRequest):
            keys_of(text)
        return
    assert keys_of(text)[0] == first


@given(st.text(max_size=60))
def test_no_text_is_more_than_a_bad_request(text: str) -> None:
    try:
        assert all(keys_of(text))
    except BadRequest:
        return


ROW = Row(cpu_millicores=3400, memory_bytes=12 * GIB, build_jobs=4)


def test_the_variables_of_a_row_are_marked_with_its_table() -> None:
    assert variables(ROW, digest="d1") == {
        "KUBERNETES_CPU_REQUEST": "3400m", "KUBERNETES_MEMORY_REQUEST": "12885M", "SPACK_BUILD_JOBS": "4",
        "SPACK_FARM_SIZE_SOURCE": "d1",
    }  # fmt: skip
    assert allocation({"hdf5": ROW}, ["hdf5@1", "hdf5"], digest="d1") == {"variables": variables(ROW, digest="d1")}
    assert allocation({}, ["hdf5"], digest="d1") == {"variables": {}}


def test_spack_gets_rows_from_most_to_least_exact_then_the_default() -> None:
    keys = [
        "*", "build_system=cmake", "hdf5", "hdf5+mpi", "hdf5@1.14", "hdf5@1.14%gcc@13", "hdf5@1.14+mpi%gcc@13",
        "hdf5@1.14+mpi%gcc@13 target=x86_64 jobs=4", "/abc",
    ]  # fmt: skip
    text = submapping(dict.fromkeys(keys, ROW), digest="d")
    assert [line.partition("match: ")[2] for line in text.splitlines() if "match: " in line] == [
        '["hdf5@=1.14+mpi %gcc@=13"]', '["hdf5@=1.14 %gcc@=13"]', '["hdf5@=1.14"]', '["hdf5+mpi"]', '["hdf5"]',
        '["build_system=cmake"]',
    ]  # fmt: skip
    assert text.startswith("ci:\n  pipeline-gen:\n  - build-job:\n      variables:\n        KUBERNETES_CPU_REQUEST:")


def test_the_report_and_the_page_say_what_a_spec_gets_and_which_builds_say_so() -> None:
    made = [document(ended=NOW - day * DAY) for day in range(2, 8)] + [killed(at_bytes=4 * GIB)]
    builds = [read_build(json.dumps(one).encode(), trusted=True, now=NOW) for one in made]
    builds = sorted([*builds, dataclasses.replace(builds[0], trusted=False, version="<b>&")], key=lambda one: one.ended)
    trained = [one.observation() for one in builds if one.trains]
    fitted = fit(trained, {}, policy="max_margin", now=NOW, settings=PolicySettings())
    keys = keys_of("hdf5@1.14.5+mpi")
    text = as_text(fitted, keys, builds)
    lines = text.splitlines()
    assert lines[0].startswith("hdf5@1.14.5+mpi: memory 11.")
    assert any(line.startswith("-> hdf5@1.14.5 ") for line in lines)
    assert sum("no: untrusted" in line for line in lines) == 1
    assert sum("memory_killed" in line and ">= 4.0 GiB" in line for line in lines) == 1
    written = page("hdf5", text, builds, fitted.rows["hdf5"])
    html.parser.HTMLParser().feed(written)
    assert written.count("<circle") == 8
    assert written.count('class="killed"') == 1
    assert "<b>" not in written
    assert "http" not in written
    assert as_text(fitted, ("nothing",), []).startswith("nothing: nothing is known")
    assert "No build has measured" in page("x", "", [], None)
