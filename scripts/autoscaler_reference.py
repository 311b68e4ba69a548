"""Generates the JSON Schemas of the autoscaler's documents from their types. Called by `scripts/docs`; a test compares.

Texts are the docstrings in `autoscaler/snapshot.py`, `autoscaler/scale_plan.py` and
`autoscaler/service/waiting.py`.
"""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from autoscaler import scale_plan, snapshot
from autoscaler.service import waiting
from scripts import reference_pages

_REFERENCE = Path("docs/reference")


def schema(root: type[msgspec.Struct], schema_id: str, title: str, *modules: ModuleType) -> dict[str, Any]:
    """Return the JSON Schema of a document. Unknown keys are allowed: a reader ignores them."""
    document = msgspec.json.schema(root)
    texts = {name: fields for module in modules for name, fields in reference_pages.field_texts(module).items()}
    for struct, definition in document["$defs"].items():
        definition["description"] = reference_pages.in_json(definition.get("description", ""))
        for name, field in definition.get("properties", {}).items():
            if text := texts.get(struct, {}).get(name):
                field["description"] = reference_pages.in_json(text)
    document["$defs"][root.__name__]["properties"]["version"]["const"] = 1
    return reference_pages.with_head(document, schema_id=schema_id, title=title)


def files() -> dict[Path, str]:
    """Return the generated files, by their path in the repository."""
    documents: dict[str, tuple[type[msgspec.Struct], str]] = {
        "snapshot.schema.json": (snapshot.Snapshot, "spack-farm autoscaler Snapshot, version 1"),
        "scale-plan.schema.json": (scale_plan.ScalePlan, "spack-farm autoscaler ScalePlan, version 1"),
        "waiting.schema.json": (waiting.WaitingDocument, "spack-farm annotation spack-farm.io/waiting, version 1"),
    }
    return {
        _REFERENCE / name: json.dumps(schema(root, name, title, snapshot, scale_plan, waiting), indent=2) + "\n"
        for name, (root, title) in documents.items()
    }


if __name__ == "__main__":
    sys.exit(reference_pages.main(files(), sys.argv[1:]))
