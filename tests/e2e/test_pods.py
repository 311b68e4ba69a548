"""What a pod is like inside, and what its size does."""

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema

from tests.fakes.runner import Runner, payload
from tests.labs.checkout import ROOT
from tests.labs.cluster.jobs import job_named
from tests.labs.cluster.lab import NAMESPACE, ClusterLab
from tests.labs.waiting import wait_until


def test_a_hardened_job_is_neither_root_nor_has_it_any_capability(runner: Callable[..., Runner]) -> None:
    job = runner(top="hardened = true")
    artifacts = [{"name": "a", "paths": ["kept"], "when": "always"}]
    script = ["id -u", "grep CapEff /proc/self/status", "grep NoNewPrivs /proc/self/status", "echo x >kept"]
    script.append("echo home >~/mine; cat ~/mine")
    outcome = job.run(payload(script, artifacts=artifacts))
    assert outcome.state == "success", outcome.text
    assert "\n1000\n" in outcome.text
    assert "CapEff:\t0000000000000000" in outcome.text
    assert "NoNewPrivs:\t1" in outcome.text
    assert "\nhome\n" in outcome.text


def test_a_build_container_of_another_user_shares_its_files_with_the_helper(runner: Callable[..., Runner]) -> None:
    image = {"name": "localhost/busybox:1", "executor_opts": {"kubernetes": {"user": "1000:1000"}}}
    artifacts = [{"name": "a", "paths": ["kept"], "when": "always"}]
    secret = {"key": "A_FILE", "value": "content", "public": False, "masked": False, "file": True}
    script = ["id -u", "echo x >kept", 'cat "$A_FILE"']
    outcome = runner().run(payload(script, image=image, artifacts=artifacts, secret_variables=[secret], after=["cat kept"]))
    assert outcome.state == "success", outcome.text
    assert "\n1000\n" in outcome.text
    assert "content" in outcome.text
    assert outcome.call("after_script").stdout.endswith(b"x\n")


def test_a_job_that_passes_its_disk_limit_makes_137_and_the_next_attempt_gets_more(runner: Callable[..., Runner]) -> None:
    disk = 'ephemeral_storage_limit = "20Mi"\nephemeral_storage_limit_overwrite_max_allowed = "1Gi"'
    info = job_named("disk")
    fill = "head -c 60000000 /dev/zero >/tmp/full; echo filled; sleep 200"
    outcome = runner(disk).run(payload([fill], after=["echo never"], job_info=info))
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 137), outcome.text
    assert "exceeded its disk limit" in outcome.text
    again = runner(disk).run(payload(["true"], job_info=info, id=102))
    assert "disk raised to 30 MiB: an earlier attempt of this job exceeded 20 MiB" in again.text
    assert again.state == "success", again.text


def test_an_attempt_leaves_a_document_of_what_it_was_given_and_used(runner: Callable[..., Runner], tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    documents.mkdir()
    outcome = runner(f'memory_limit = "256Mi"\n[telemetry]\nfolder = "{documents}"').run(payload(["echo hello"]))
    assert outcome.state == "success", outcome.text
    (path,) = documents.iterdir()
    told = json.loads(path.read_text())
    schema = json.loads((ROOT / "docs/reference/telemetry.schema.json").read_text())
    jsonschema.validate(told, schema, cls=jsonschema.Draft202012Validator)
    assert told["outcome"] == "script_succeeded"
    assert told["asked"]["memory_limit_bytes"] == 256 << 20
    assert told["totals"]["memory_working_set_peak_bytes"] > 0
    assert (told["job"]["node"], told["job"]["pod"]) == ("node1", path.stem)


def test_quota_of_a_real_cluster_is_waited_for(lab: ClusterLab, runner: Callable[..., Runner]) -> None:
    lab.kubectl("create", "quota", "none", "--hard=pods=0", "-n", NAMESPACE)
    wait_until(lambda: lab.kubectl("get", "quota", "none", "-n", NAMESPACE, "-o", "jsonpath={.status.hard}"))
    job = runner()
    job.when("waiting for quota", lambda: lab.kubectl("delete", "quota", "none", "-n", NAMESPACE))
    outcome = job.run(payload(["true"]))
    lab.kubectl("delete", "quota", "none", "-n", NAMESPACE, "--ignore-not-found")
    assert outcome.state == "success", outcome.text
    assert outcome.text.count("waiting for quota") == 1


def test_a_registry_that_does_not_answer_is_tried_until_its_budget_is_used_up(runner: Callable[..., Runner]) -> None:
    budgets = "[budgets]\npull_seconds = 3\nstart_seconds = 3"
    image = {"name": "127.0.0.1:1/nothing:1", "pull_policy": ["always"]}
    outcome = runner(f'allowed_pull_policies = ["always"]\n{budgets}').run(payload(["true"], image=image))
    assert outcome.reason == "runner_system_failure", outcome.text
    assert "waiting: image pull failed, trying again" in outcome.text
    assert outcome.text.count("timed out waiting for pod to start (last phase: pulling images") == 3
