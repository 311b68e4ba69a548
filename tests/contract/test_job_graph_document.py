"""Clause: documents.md, "Job graph, version 1": the sample obeys the published schema, and the model has its keys."""

import json
from pathlib import Path

import jsonschema

from pipelines.job_graph import Job, JobGraph, Size

_ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((_ROOT / "docs/reference/job-graph.schema.json").read_text())


def test_the_sample_of_a_graph_obeys_its_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    sample = json.loads((_ROOT / "tests/data/job_graph/sample.json").read_text())
    jsonschema.validate(sample, SCHEMA, cls=jsonschema.Draft202012Validator)


def test_the_schema_of_a_graph_describes_every_key_of_its_model() -> None:
    assert set(SCHEMA["properties"]) == set(JobGraph.__struct_fields__)
    assert set(SCHEMA["$defs"]["Job"]["properties"]) == set(Job.__struct_fields__)
    assert set(SCHEMA["$defs"]["Size"]["properties"]) == set(Size.__struct_fields__)
