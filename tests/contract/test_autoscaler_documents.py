"""Clause: documents.md: a Snapshot and a ScalePlan have a version, a published schema, and a sample that obeys it."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from autoscaler.deciding.decide import decide
from autoscaler.policy import Policy
from autoscaler.scale_plan import to_json as plan_to_json
from autoscaler.service.expected import PRIORITY_CLASS
from autoscaler.snapshot import from_json, to_json
from scripts import autoscaler_reference
from tests.labs.checkout import ROOT

SAMPLE = ROOT / "tests/data/autoscaler/snapshot.json"


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "docs/reference" / name).read_text("utf-8"))
    return found


@pytest.mark.parametrize("path", [path.as_posix() for path in autoscaler_reference.files()])
def test_the_schemas_of_the_autoscaler_are_current(path: str) -> None:
    assert (ROOT / path).read_text("utf-8") == autoscaler_reference.files()[Path(path)]


def test_the_sample_of_a_snapshot_obeys_its_schema_and_survives_being_read_and_written() -> None:
    published = schema("snapshot.schema.json")
    jsonschema.Draft202012Validator.check_schema(published)
    read = from_json(SAMPLE.read_bytes())
    for document in (json.loads(SAMPLE.read_bytes()), json.loads(to_json(read))):
        jsonschema.validate(document, published, cls=jsonschema.Draft202012Validator)
    assert from_json(to_json(read)) == read
    assert [pod.waits_for_node for pod in read.pods] == [False, True, False]


@pytest.mark.parametrize("name", [path.name for path in autoscaler_reference.files()])
def test_every_key_of_a_document_of_the_autoscaler_is_explained(name: str) -> None:
    silent = [
        f"{struct}.{key}"
        for struct, definition in schema(name)["$defs"].items()
        for key, field in definition.get("properties", {}).items()
        if not field.get("description") and key != "action"
    ]
    assert silent == []


def test_documents_of_the_autoscaler_say_their_version() -> None:
    read = from_json(SAMPLE.read_bytes())
    plan = plan_to_json(decide(read, Policy(), read.taken_at))
    for document, name in ((to_json(read), "snapshot.schema.json"), (plan, "scale-plan.schema.json")):
        assert json.loads(document)["version"] == 1
        jsonschema.validate(json.loads(document), schema(name), cls=jsonschema.Draft202012Validator)


def test_a_placeholder_yields_to_any_job_and_other_autoscalers_still_see_it() -> None:
    """Cluster Autoscaler starts no node for pods below its --expendable-pods-priority-cutoff, -10."""
    objects = yaml.safe_load_all((ROOT / "deploy/autoscaler/disruption.yaml").read_text())
    (found,) = (one for one in objects if one["kind"] == "PriorityClass")
    assert found["metadata"]["name"] == PRIORITY_CLASS
    assert -10 <= found["value"] < 0
    assert found["preemptionPolicy"] == "Never"
