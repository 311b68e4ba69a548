"""Clause: the example pipeline is what GitLab's schema allows, and one line of its environment is ours."""

from pathlib import Path

import pytest
import yaml

from tests.labs.checkout import ROOT
from tests.labs.gitlab_schema import gitlab_schema_faults

_EXAMPLE = ROOT / "examples" / "pipeline"


@pytest.mark.parametrize("name", [".gitlab-ci.yml", "spack-farm.gitlab-ci.yml"])
def test_gitlab_takes_the_example(name: str) -> None:
    assert not gitlab_schema_faults(_EXAMPLE / name)


def test_gitlab_does_not_take_a_wrong_pipeline(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yml"
    path.write_text((_EXAMPLE / ".gitlab-ci.yml").read_text().replace("strategy: depend", "strategy: hope"))
    assert gitlab_schema_faults(path)


def test_one_line_of_the_job_template_is_ours() -> None:
    environment = (_EXAMPLE / "environment" / "spack.yaml").read_text()
    lines = [line.strip() for line in environment.splitlines() if "spack-farm build" in line and "#" not in line]
    assert lines == ["- spack-farm build --ci --tests"]
    template = yaml.safe_load(environment.replace("script::", '"script:":'))["spack"]["ci"]["pipeline-gen"]
    (job,) = (entry["build-job"] for entry in template if "build-job" in entry)
    assert job["script:"] == ["spack-farm build --ci --tests"]
    assert job["variables"].keys() >= {"KUBERNETES_CPU_REQUEST", "KUBERNETES_MEMORY_REQUEST"}
