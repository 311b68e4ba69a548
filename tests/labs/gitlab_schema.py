"""GitLab's own schema of pipelines, by the program that carries it."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def gitlab_schema_faults(path: Path) -> str:
    """Return what GitLab's schema has against a pipeline; empty if it takes it."""
    program = str(Path(sys.executable).parent / "check-jsonschema")
    argv = [program, "--builtin-schema", "vendor.gitlab-ci", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def gitlab_schema() -> dict[str, Any]:
    """Return the schema; the package is not imported, since an old one may warn of what it imports."""
    found = importlib.util.find_spec("check_jsonschema")
    assert found is not None
    assert found.origin is not None
    schema: dict[str, Any] = json.loads((Path(found.origin).parent / "builtin_schemas/vendor/gitlab-ci.json").read_bytes())
    return schema
