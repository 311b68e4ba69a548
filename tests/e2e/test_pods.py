"""What a pod is like inside, what its size does, and a job that changes drivers half-way."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema

from tests.e2e.conftest import CHECKOUT, Lab
from tests.e2e.test_memory import job_named
from tests.fakes.runner import Runner, payload


def test_a_hardened_job_is_neither_root_nor_has_it_any_capability(runner: Callable[..., Runner]) -> None:
    job = runner(top="hardened = true")
    artifacts = [{"name": "a", "paths": ["kept"], "when": "always"}]
    script = ["id -u", "grep CapEff /proc/self/status", "grep NoNewPrivs /proc/self/status", "echo x >kept"]
    outcome = job.run(payload(script, artifacts=artifacts))
    assert outcome.state == "success", outcome.text
    assert "\n1000\n" in outcome.text
    assert "CapEff:\t0000000000000000" in outcome.text
    assert "NoNewPrivs:\t1" in outcome.text


def test_a_job_that_passes_its_disk_limit_makes_137_and_the_next_attempt_gets_more(runner: Callable[..., Runner]) -> None:
    disk = 'ephemeral_storage_limit = "20Mi"\nephemeral_storage_limit_overwrite_max_allowed = "1Gi"'
    info = job_named("disk")
    fill = "head -c 60000000 /dev/zero >/tmp/full; echo filled; sleep 200"
    outcome = runner(disk).run(payload([fill], after=["echo never"], job_info=info))
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 137), outcome.text
    assert "passed its disk limit" in outcome.text
    again = runner(disk).run(payload(["true"], job_info=info, id=102))
    assert "disk raised to 30 MiB: an earlier attempt of this job passed 20 MiB" in again.text
    assert again.state == "success", again.text


def job_with_swapped_driver(lab: Lab, settings: Path, folder: Path, *, version: int, known: str) -> Runner:
    """Return a Runner whose driver is this checkout's until the pod is there, and one of another protocol after it."""
    newer = folder / "newer"
    shutil.copytree(CHECKOUT / "executor", newer / "executor", ignore=shutil.ignore_patterns("__pycache__"))
    (newer / "executor/agent.sh").write_text("exit 99\n")  # only the one in the pod counts
    control = newer / "executor/control.py"
    text = control.read_text().replace("PROTOCOL_VERSION = 1", f"PROTOCOL_VERSION = {version}")
    assert text != control.read_text()
    control.write_text(text.replace("frozenset({1})", f"frozenset({known})"))
    swap = folder / "driver"
    swap.write_text(
        f"#!/bin/sh\ncase $1 in config|prepare) PYTHONPATH={CHECKOUT} ;; *) PYTHONPATH={newer} ;; esac\n"
        f'export PYTHONPATH\nexec {sys.executable} -m executor "$@"\n'
    )
    swap.chmod(0o755)
    return Runner([*lab.inside, str(swap)], ["--config", str(settings)])


def test_a_driver_of_the_next_version_finishes_a_job(lab: Lab, settings_file: Callable[..., Path], tmp_path: Path) -> None:
    job = job_with_swapped_driver(lab, settings_file(), tmp_path, version=2, known="{1, 2}")
    outcome = job.run(payload(["seq 1 500", "exit 4"], after=["echo after"]))
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 4), outcome.text
    assert "\n499\n500\n" in outcome.text
    assert "\nafter\n" in outcome.text


def test_a_driver_that_is_two_versions_ahead_says_so(lab: Lab, settings_file: Callable[..., Path], tmp_path: Path) -> None:
    job = job_with_swapped_driver(lab, settings_file(), tmp_path, version=3, known="{2, 3}")
    outcome = job.run(payload(["echo never"]))
    assert outcome.reason == "runner_system_failure", outcome.text
    assert "repeat the job" in outcome.text


def test_an_attempt_leaves_a_document_of_what_it_was_given_and_used(runner: Callable[..., Runner], tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    documents.mkdir()
    outcome = runner(f'memory_limit = "256Mi"\n[telemetry]\nfolder = "{documents}"').run(payload(["echo hello"]))
    assert outcome.state == "success", outcome.text
    (path,) = documents.iterdir()
    told = json.loads(path.read_text())
    schema = json.loads((CHECKOUT / "docs/reference/telemetry.schema.json").read_text())
    jsonschema.validate(told, schema, cls=jsonschema.Draft202012Validator)
    assert told["outcome"] == "script_succeeded"
    assert told["asked"]["memory_limit_bytes"] == 256 << 20
    assert told["totals"]["memory_working_set_peak_bytes"] > 0
    assert (told["job"]["node"], told["job"]["pod"]) == ("node1", path.stem)


def test_three_attempts_share_the_budget_for_a_node(runner: Callable[..., Runner]) -> None:
    nowhere = '[kubernetes.node_selector]\n"no/such" = "node"\n[budgets]\nschedule_seconds = 10'
    outcome = runner(nowhere).run(payload(["echo never"], job_info=job_named("nowhere")))
    assert outcome.reason == "runner_system_failure", outcome.text
    assert outcome.stages == ["config", "prepare", "cleanup"] * 3
    assert "timed out waiting for pod to start (last phase: waiting for a node, 10 s)" in outcome.text
    assert "waiting: 0/1 nodes: 1 node(s) didn't match Pod's node affinity/selector" in outcome.text
    assert "an earlier attempt of this job has waited 10 s for a node: this one waits 2 s" in outcome.text
    assert "an earlier attempt of this job has waited 12 s for a node: this one waits 2 s" in outcome.text
