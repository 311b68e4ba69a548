"""The local backend under a Runner: the same jobs, refused alike, run as plain processes. Clause: backend = "local"."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.runner import Runner, payload

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def runner(tmp_path: Path) -> Callable[..., Runner]:
    """Return a function that makes a Runner whose driver runs jobs here; its argument is TOML of the whole file."""

    def make(toml: str = "", backend: str = "local") -> Runner:
        settings = tmp_path / "settings.toml"
        folders = f'builds_dir = "{tmp_path}/builds"\ncache_dir = "{tmp_path}/cache"\nallow_missing_helper = true\n'
        settings.write_text(f'backend = "{backend}"\n{folders}{toml}')
        environment = {"PYTHONPATH": str(CHECKOUT), "RUNNER_SECRET": "of-the-runner"}
        return Runner([sys.executable, "-m", "executor"], ["--config", str(settings)], environment=environment)

    return make


def test_a_job_runs_with_a_pods_environment_and_leaves_a_document(runner: Callable[..., Runner], tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    job = runner(f'[telemetry]\nfolder = "{tmp_path}/documents"\n')
    outcome = job.run(payload(["seq 1 3", "env | sort", "pwd"], after=["echo after $CI_JOB_STATUS"]))
    assert outcome.state == "success", outcome.text
    assert "\n1\n2\n3\n" in outcome.text
    assert "of-the-runner" not in outcome.text
    assert "CUSTOM_ENV" not in outcome.text
    assert "after success" in outcome.text
    assert outcome.text.count("WARNING: this job runs as plain processes") == 1
    (path,) = (tmp_path / "documents").iterdir()
    assert json.loads(path.read_text())["outcome"] == "script_succeeded"


def test_a_failing_script_gives_its_code(runner: Callable[..., Runner]) -> None:
    outcome = runner().run(payload(["(exit 42)"]))
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 42), outcome.text


def test_what_a_script_leaves_running_ends_in_cleanup(runner: Callable[..., Runner], tmp_path: Path) -> None:
    outcome = runner().run(payload([f"setsid sleep 300 & echo $! >{tmp_path}/process", "sleep 300 &", "echo done"]))
    assert outcome.state == "success", outcome.text
    left = int((tmp_path / "process").read_text())
    deadline = time.monotonic() + 30
    while Path(f"/proc/{left}/cmdline").exists() and Path(f"/proc/{left}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "it still runs"
        time.sleep(0.05)


def test_a_request_is_refused_as_for_a_pod(runner: Callable[..., Runner]) -> None:
    caps = 'oversize = "strict"\n[kubernetes]\nmemory_request_overwrite_max_allowed = "1Gi"\n'
    outcome = runner(caps).run(payload(["true"], variables={"KUBERNETES_MEMORY_REQUEST": "2Gi"}))
    assert outcome.reason == "script_failure", outcome.text
    assert outcome.stages == ["config", "prepare", "cleanup"]
    assert "requested 2Gi is higher than limit allowed 1Gi" in outcome.text


def test_a_canceled_script_is_ended_with_its_children(runner: Callable[..., Runner]) -> None:
    job = runner("cancel_seconds = 1\n")
    job.when("begun", job.cancel)
    outcome = job.run(payload(["trap '' TERM; echo begun; while :; do sleep 1; done"], after=["echo after $CI_JOB_STATUS"]))
    assert outcome.reason == "job_canceled", outcome.text
    assert "after canceled" in outcome.text


def test_without_a_cluster_there_is_no_falling_back(runner: Callable[..., Runner], tmp_path: Path) -> None:
    missing = tmp_path / "kubeconfig"
    outcome = runner(f'[kubernetes]\nkubeconfig = "{missing}"\n', backend="kubernetes").run(payload(["echo ran"]))
    assert outcome.reason == "runner_system_failure"
    assert f"tried the kubeconfig {missing}" in outcome.text
    assert "\nran\n" not in outcome.text
