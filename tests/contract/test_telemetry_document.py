"""Clause: architecture.md §4, §5: `telemetry.json` has a schema and a sample, and readers ignore unknown keys."""

import json
from pathlib import Path
from typing import Any, cast

import jsonschema
import msgspec
import pytest

from buildjob import telemetry
from buildjob.outcome import Outcome
from scripts import telemetry_reference
from tests.labs.telemetry_samples import SAMPLE, sample

_ROOT = Path(__file__).parents[2]
_UNITS = ("_bytes", "_seconds", "_millicores", "_cores")
_COUNTS = {"version", "exit_code", "build_jobs", "attempt", "cpus", "process_peak", "processes", "holes", "line", "bytes"}


def _schema() -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads((_ROOT / "docs/reference/telemetry.schema.json").read_text()))


def _sample() -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(SAMPLE.read_text()))


@pytest.mark.parametrize("path", [path.as_posix() for path in telemetry_reference.files()])
def test_the_published_reference_is_what_the_types_say(path: str) -> None:
    expected = telemetry_reference.files()[Path(path)]
    assert (_ROOT / path).read_text() == expected, f"{path} is out of date: run scripts/docs"


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(_schema())


def test_the_sample_obeys_the_schema() -> None:
    jsonschema.validate(_sample(), _schema(), cls=jsonschema.Draft202012Validator)


def test_the_sample_reads_and_writes_to_the_same_document(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.json"
    telemetry.write(sample(), path)
    assert json.loads(path.read_text()) == _sample()
    assert telemetry.read(path) == sample()


def test_what_the_agent_writes_at_least_obeys_the_schema() -> None:
    least = telemetry.Telemetry(
        complete=False,
        started_at="",
        ended_at="",
        outcome=Outcome.INTERRUPTED,
        exit_code=143,
        spec=telemetry.PackageSpec(name="x", version="1"),
        machine=telemetry.Machine(cpus=1, memory_bytes=1),
        totals=telemetry.Totals(),
        versions=telemetry.Versions(spack_farm="0", python="3"),
    )
    jsonschema.validate(json.loads(msgspec.json.encode(least)), _schema(), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("totals", "wall_seconds"), "1"),
        (("outcome",), None),
        (("phases",), {}),
        (("spec", "variants"), {"x": 1}),
        (("version",), 2),
    ],
)
def test_the_schema_refuses_what_is_wrong(path: tuple[str, ...], value: object) -> None:
    document = _sample()
    part = document
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError) as refusal:
        jsonschema.validate(document, _schema(), cls=jsonschema.Draft202012Validator)
    assert tuple(refusal.value.absolute_path)[: len(path)] == path


def test_unknown_keys_are_ignored_by_schema_and_reader_alike(tmp_path: Path) -> None:
    document = _sample()
    document["later"] = {"key": [1]}
    for part in ("spec", "job", "totals", "machine", "samples"):
        document[part]["later"] = "x"
    document["phases"][0]["later"] = 1
    jsonschema.validate(document, _schema(), cls=jsonschema.Draft202012Validator)
    path = tmp_path / "telemetry.json"
    path.write_text(json.dumps(document))
    assert telemetry.read(path) == sample()


def test_an_unknown_outcome_survives_reading_and_writing(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.json"
    telemetry.write(sample(outcome="evaporated"), path)
    assert telemetry.read(path).outcome == "evaporated"
    jsonschema.validate(json.loads(path.read_text()), _schema(), cls=jsonschema.Draft202012Validator)


def test_numbers_carry_their_unit_in_their_name_or_are_counts() -> None:
    for struct, definition in _schema()["$defs"].items():
        for name, field in definition["properties"].items():
            kinds = {kind.get("type") for kind in [field, field.get("items", {}), *field.get("anyOf", [])]}
            if kinds & {"integer", "number"}:
                assert name.endswith(_UNITS) or name in _COUNTS, f"{struct}.{name}"


def test_the_schema_describes_fields_with_their_docstrings() -> None:
    definitions = _schema()["$defs"]
    assert definitions["Totals"]["properties"]["memory_peak_bytes"]["description"] == (
        "The kernel's high-water mark; it counts page cache."
    )
    assert definitions["Machine"]["properties"]["memory_limit_bytes"]["description"] == (
        "The lowest limit that holds for the build; null if there is none."
    )
    for struct, fields in telemetry_reference.field_docstrings().items():
        for name in fields:
            assert definitions[struct]["properties"][name]["description"]


# The list of architecture.md §5, by hand: a renamed key breaks readers that we can't see.
_PROMISED = {
    "Telemetry": "version complete started_at ended_at outcome spec job asked machine totals phases samples top_processes "
    "memory_kills first_error publish reproduce versions",
    "PackageSpec": "name version hash architecture compiler variants dependencies build_jobs",
    "Job": "id name url project ref ref_protected pipeline_id stack image attempt runner pod node",
    "Asked": "cpu_millicores memory_bytes memory_limit_bytes disk_bytes",
    "Machine": "cpus memory_bytes cgroup memory_limit_bytes cpu_limit_cores",
    "Totals": "wall_seconds cpu_seconds memory_working_set_peak_bytes memory_anonymous_peak_bytes memory_peak_bytes "
    "read_bytes written_bytes disk_peak_bytes",
    "Phase": "name start_seconds wall_seconds cpu_seconds memory_working_set_peak_bytes",
    "Samples": "interval_seconds time_seconds memory_bytes cpu_cores processes late_seconds",
    "TopProcess": "command memory_peak_bytes cpu_seconds",
    "MemoryKill": "process inferred limit_bytes at_seconds",
    "FirstError": "line text file phase",
    "Publish": "state url bytes wall_seconds",
    "Reproduce": "spack_commit packages_commit concrete_spec image_digest variables",
    "Versions": "spack_farm spack python",
}


@pytest.mark.parametrize(("struct", "names"), _PROMISED.items())
def test_the_keys_that_others_rely_on_are_there(struct: str, names: str) -> None:
    assert set(names.split()) <= set(_schema()["$defs"][struct]["properties"])


def test_another_version_is_refused_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.json"
    path.write_bytes(SAMPLE.read_bytes().replace(b'"version": 1', b'"version": 2', 1))
    with pytest.raises(msgspec.ValidationError, match=r"\$\.version"):
        telemetry.read(path)
