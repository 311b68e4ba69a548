"""GitLab's own schema of pipelines, by the program that carries it."""

import subprocess
import sys
from pathlib import Path


def gitlab_schema_faults(path: Path) -> str:
    """Return what GitLab's schema has against a pipeline; empty if it takes it."""
    program = str(Path(sys.executable).parent / "check-jsonschema")
    argv = [program, "--builtin-schema", "vendor.gitlab-ci", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""
