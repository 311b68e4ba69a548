"""Clause: the example pipeline is what GitLab's schema allows, and one line of its environment is ours."""

import subprocess
import sys
from pathlib import Path

import yaml

from tests.labs.checkout import ROOT

_EXAMPLE = ROOT / "examples" / "pipeline"


def check_gitlab_schema(path: Path) -> None:
    """Assert that a file is a pipeline by GitLab's own schema."""
    program = str(Path(sys.executable).parent / "check-jsonschema")
    argv = [program, "--builtin-schema", "vendor.gitlab-ci", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_gitlab_takes_the_example() -> None:
    check_gitlab_schema(_EXAMPLE / ".gitlab-ci.yml")


def test_a_wrong_pipeline_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yml"
    path.write_text((_EXAMPLE / ".gitlab-ci.yml").read_text().replace("strategy: depend", "strategy: hope"))
    argv = [str(Path(sys.executable).parent / "check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci", str(path)]
    assert subprocess.run(argv, capture_output=True, check=False).returncode == 1


def test_one_line_of_the_job_template_is_ours() -> None:
    environment = (_EXAMPLE / "environment" / "spack.yaml").read_text()
    lines = [line.strip() for line in environment.splitlines() if "spack-farm build" in line and "#" not in line]
    assert lines == ["- spack-farm build --ci --tests"]
    template = yaml.safe_load(environment.replace("script::", '"script:":'))["spack"]["ci"]["pipeline-gen"]
    (job,) = (entry["build-job"] for entry in template if "build-job" in entry)
    assert job["script:"] == ["spack-farm build --ci --tests"]
    assert job["variables"].keys() >= {"KUBERNETES_CPU_REQUEST", "KUBERNETES_MEMORY_REQUEST"}
