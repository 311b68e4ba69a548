"""The jobs of docs/ci-job.md and docs/first-job.md: valid, without a file of this checkout, and their scripts run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.labs.checkout import ROOT
from tests.labs.farm.page import blocks
from tests.labs.farm.pipeline import JOBS
from tests.labs.spack.keys import Key
from tests.labs.spack.lab import SpackLab

_KEYWORDS = {"extends", "image", "tags", "stage", "script", "after_script", "artifacts", "retry", "needs"}
PAGES = {name: (ROOT / f"docs/{name}.md").read_text() for name in ("ci-job", "first-job")}


def _written(page: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for block in blocks(PAGES[page]):
        if block.language == "yaml":
            found |= yaml.safe_load(block.text)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_the_jobs_have_a_script_an_image_and_tags_and_need_jobs_of_earlier_stages(page: str) -> None:
    written = _written(page)
    stages = written.pop("stages", [])
    for name, job in written.items():
        whole = written.get(job.get("extends", ""), {}) | job
        assert set(job) <= _KEYWORDS, name
        assert whole["tags"], f"{name}: a runner that takes only tagged jobs would leave it pending"
        assert whole["image"], name
        if not name.startswith("."):
            assert all(isinstance(line, str) for line in whole["script"]), name
        for need in job.get("needs", []):
            assert stages.index(written[need["job"]]["stage"]) < stages.index(job["stage"]), name
        assert "examples/" not in str(job), f"{name} needs a file that only this checkout has"


@pytest.mark.spack
def test_the_scripts_build_publish_and_take_from_the_build_cache(lab: SpackLab, key: Key, tmp_path: Path) -> None:
    lab.forget("libhello")
    (tmp_path / "spack-farm").write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/spack_farm/__main__.py "$@"\n')
    (tmp_path / "spack-farm").chmod(0o755)
    variables = lab.environment | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SIGNING_KEY": str(key.secret),
        "SPACK_FARM_BUILD_CONFIG_SCOPE": str(lab.scope),
    }

    def run(job: str) -> str:
        script = "set -e\n" + "\n".join(JOBS[job]["script"]).replace("s3://binaries/farm", f"{tmp_path}/mirror")
        done = subprocess.run(
            ["/bin/sh", "-c", script], capture_output=True, text=True, env=variables, cwd=tmp_path, timeout=200, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "libhello@1.0" in run("libhello")
    lab.forget("libhello")
    printed = run("hello-app")
    assert "from the build cache" in printed
    assert [path.name for path in tmp_path.glob("mirror/v3/manifests/spec/hello-app")] == ["hello-app"]
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    assert "libhello@1.0: Built" in run("measured")
