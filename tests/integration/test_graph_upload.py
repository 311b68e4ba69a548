"""The job graph on a mirror: written whole, the old ones removed; a mirror that takes none delays no pipeline."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.errors import BadRequest, FetchFailed
from pipelines.mirrors import GRAPH_SECONDS, GRAPHS, Mirror
from tests.labs.checkout import ROOT
from tests.labs.s3.server import Server

GRAPH = (ROOT / "tests/data/job_graph/sample.json").read_bytes()
DIGEST = json.loads(GRAPH)["digest"]


def generate(folder: Path, mirror: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Write the files of an answer, as after a generator elsewhere."""
    graph = json.loads(GRAPH) | {"mirror": mirror}
    files = {"jobs/job-graph.json": json.dumps(graph), "pipeline/pipeline.yml": "{}"}
    (folder / "answer.json").write_text(json.dumps({"version": 1, "files": files, "code": 0}))
    return subprocess.run(
        [sys.executable, "-m", "spack_farm", "pipelines", "generate", "--answer", "answer.json", *options],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(ROOT), **variables},
    )  # fmt: skip


def test_a_graph_is_left_on_a_folder_and_old_ones_go(tmp_path: Path) -> None:
    mirror = Mirror(str(tmp_path))
    old, fresh = tmp_path / GRAPHS / "old.json", tmp_path / GRAPHS / "fresh.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    fresh.write_text("{}")
    os.utime(old, times=(time.time() - GRAPH_SECONDS - 60,) * 2)
    assert mirror.leave_graph(DIGEST, GRAPH) == 1
    assert {path.name for path in (tmp_path / GRAPHS).iterdir()} == {f"{DIGEST}.json", "fresh.json"}
    assert mirror.read(f"{GRAPHS}{DIGEST}.json") == GRAPH


def test_a_graph_is_left_in_s3_and_old_ones_go(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    mirror = Mirror(f"s3://{s3.bucket()}/a/b", endpoint_url=s3.url)
    assert mirror.leave_graph(DIGEST, GRAPH) == 0
    assert mirror.requests == 2
    assert mirror.read(f"{GRAPHS}{DIGEST}.json") == GRAPH
    later = time.time() + GRAPH_SECONDS + 60
    assert mirror.leave_graph("other", GRAPH, wall=lambda: later) == 2
    assert mirror.read(f"{GRAPHS}{DIGEST}.json") is None


def test_no_graph_is_left_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="folder or in S3 only"):
        Mirror("https://mirror.invalid/x").leave_graph(DIGEST, GRAPH)
    (tmp_path / "graphs").write_text("a file")
    with pytest.raises(FetchFailed, match="can't be written"):
        Mirror(str(tmp_path)).leave_graph(DIGEST, GRAPH)


def test_generate_leaves_the_graph_in_ci_or_if_asked(tmp_path: Path) -> None:
    mirror = tmp_path / "m"
    mirror.mkdir()
    assert generate(tmp_path, str(mirror)).returncode == 0
    assert not list(mirror.iterdir())
    assert generate(tmp_path, str(mirror), "--no-upload-graph", CI="true").returncode == 0
    assert not list(mirror.iterdir())
    assert generate(tmp_path, str(mirror), CI="true").returncode == 0
    assert (mirror / GRAPHS / f"{DIGEST}.json").exists()


def test_a_mirror_that_takes_no_graph_is_a_warning(tmp_path: Path) -> None:
    done = generate(tmp_path, str(tmp_path / "nowhere"), "--upload-graph")
    assert done.returncode == 0
    assert "warning: the job graph is not on the mirror, so nodes are not started ahead" in done.stderr
    assert (tmp_path / "pipeline/pipeline.yml").exists()
