"""Events of `spack-farm build --json`, each checked against the published schema."""

import json
from typing import Any

import jsonschema

from tests.labs.checkout import ROOT

SCHEMA: dict[str, Any] = json.loads((ROOT / "docs/reference/build-events.schema.json").read_text())


def checked(printed: str) -> list[dict[str, Any]]:
    """Return the events of an output that holds nothing else; the first begins the run, the last one ends it."""
    seen = [json.loads(line) for line in printed.splitlines()]
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for event in seen:
        validator.validate(event)
    kinds = [event["event"] for event in seen]
    assert [number for number, kind in enumerate(kinds) if kind in {"run_begun", "run_finished"}] == [0, len(kinds) - 1]
    assert [event["at"] for event in seen] == sorted(event["at"] for event in seen)
    return seen
