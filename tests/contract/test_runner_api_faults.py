"""Clause: what the API server refuses, loses or delays is booked as architecture, section 6, says; no stream loses a byte.

Each test breaks a fake cluster of its own. Requirements R4, R7, R18.
"""

import concurrent.futures
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.kube.server import FakeCluster
from tests.fakes.runner import Outcome
from tests.labs.backends.lab import ContractLab, running

PODS = "POST /api/v1/namespaces/default/pods$"
ONCE = ["config", "prepare", "cleanup"]
BUDGETS = "[budgets]\n"
CUTS_IN_CI = 20
JOBS_IN_CI = 4


def test_a_lost_answer_to_the_pods_creation_adopts_the_pod(lab: ContractLab, cluster: FakeCluster) -> None:
    """The driver repeats the call, and gets 409 for a pod of its own."""
    lost = cluster.faults.add(PODS, after=True)
    outcome = lab.run(["true"])
    assert outcome.state == "success", outcome.text
    assert lost.seen == 1
    assert cluster.calls.count("POST /api/v1/namespaces/default/pods") == 2
    assert len(cluster.created) == 1


@pytest.mark.parametrize(
    ("code", "reason", "message"),
    [
        (422, "Invalid", 'Pod "x" is invalid: spec.containers[0].image: Invalid value'),
        (403, "Forbidden", 'admission webhook "policy" denied the request: no'),
    ],
)
def test_a_pod_that_can_never_be_is_the_jobs_failure_and_final(
    lab: ContractLab, cluster: FakeCluster, code: int, reason: str, message: str
) -> None:
    cluster.faults.add(PODS, code=code, reason=reason, message=message, times=9)
    outcome = lab.run(["true"])
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 1), outcome.text
    assert outcome.stages == ONCE
    assert message in outcome.text


@pytest.mark.parametrize(
    ("code", "reason", "message"),
    [
        (422, "Invalid", 'Pod "x" is invalid: spec.containers[0].resources.limits: Invalid value'),
        (403, "Forbidden", 'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true (x)'),
        (
            403,
            "Forbidden",
            'pods "x" is forbidden: error looking up service account default/x: serviceaccount "x" not found',
        ),
    ],
)
def test_a_pod_that_the_operators_settings_forbid_is_a_system_failure(
    lab: ContractLab, cluster: FakeCluster, code: int, reason: str, message: str
) -> None:
    cluster.faults.add(PODS, code=code, reason=reason, message=message, times=9)
    outcome = lab.run(["true"])
    assert outcome.reason == "runner_system_failure", outcome.text
    assert outcome.stages == ONCE * 3
    assert message in outcome.text


CREDENTIALS = [{"type": "registry", "url": "registry.example", "username": "u", "password": "s3cret"}]
SECRETS = "/api/v1/namespaces/default/secrets"


def test_the_pull_secret_is_there_before_the_pod_and_a_fault_on_its_way_costs_nothing(
    lab: ContractLab, cluster: FakeCluster
) -> None:
    """A kubelet that pulls without it is denied, which would end the job for good."""
    cluster.faults.add(f"POST {SECRETS}$", code=500, reason="InternalError", message="later", times=1)
    cluster.faults.add(f"PATCH {SECRETS}/", code=503, reason="ServiceUnavailable", message="later", times=1)
    outcome = lab.run(["true"], credentials=CREDENTIALS)
    assert outcome.state == "success", outcome.text
    assert [made["kind"] for made in cluster.created] == ["Secret", "Pod"]
    (secret,) = cluster.store.list("secrets")
    assert secret["metadata"]["ownerReferences"][0]["uid"] == cluster.created[1]["metadata"]["uid"]


def test_a_pod_that_cannot_be_leaves_no_secret_behind(lab: ContractLab, cluster: FakeCluster) -> None:
    cluster.faults.add(PODS, code=422, reason="Invalid", message="spec.containers[0].image: Invalid value", times=9)
    outcome = lab.run(["true"], credentials=CREDENTIALS)
    assert outcome.reason == "script_failure", outcome.text
    assert cluster.store.list("secrets") == []


def test_a_secret_that_was_deleted_meanwhile_is_made_again(lab: ContractLab, cluster: FakeCluster) -> None:
    def delete() -> None:
        for secret in cluster.store.list("secrets"):
            cluster.store.remove("secrets", secret["metadata"]["name"])

    cluster.faults.add(PODS, after=False, code=503, message="later", action=delete)
    outcome = lab.run(["true"], credentials=CREDENTIALS)
    assert outcome.state == "success", outcome.text
    (secret,) = cluster.store.list("secrets")
    assert secret["metadata"]["ownerReferences"]


def test_a_role_of_an_earlier_version_costs_a_warning_only(lab: ContractLab, cluster: FakeCluster) -> None:
    words = 'secrets "x" is forbidden: User "x" cannot patch resource "secrets" in API group "" in the namespace "default"'
    cluster.faults.add(f"PATCH {SECRETS}/", code=403, reason="Forbidden", message=words, times=9)
    outcome = lab.run(["true"], credentials=CREDENTIALS)
    assert outcome.state == "success", outcome.text
    assert outcome.text.count("docs/reference/rbac.yaml") == 1


def test_a_role_that_does_not_suffice_is_a_system_failure(lab: ContractLab, cluster: FakeCluster) -> None:
    words = 'pods is forbidden: User "x" cannot create resource "pods" in API group "" in the namespace "default"'
    cluster.faults.add(PODS, code=403, reason="Forbidden", message=words, times=9)
    outcome = lab.run(["true"])
    assert outcome.reason == "runner_system_failure", outcome.text
    assert outcome.stages == ONCE * 3
    assert words in outcome.text
    assert "docs/reference/rbac.yaml" in outcome.text


@pytest.mark.parametrize(("code", "times"), [(429, 2), (500, 1), (503, 3), (504, 1)])
def test_what_passes_is_repeated(lab: ContractLab, cluster: FakeCluster, code: int, times: int) -> None:
    busy = cluster.faults.add(PODS, code=code, reason="TooManyRequests", message="later", times=times)
    outcome = lab.run(["true"])
    assert outcome.state == "success", outcome.text
    assert busy.seen == times


def test_an_api_server_that_stays_away_is_a_system_failure_in_three_attempts(lab: ContractLab, cluster: FakeCluster) -> None:
    cluster.faults.is_down = True
    outcome = lab.runner(f"{BUDGETS}api_seconds = 1").run(lab.job(["true"]))
    assert outcome.reason == "runner_system_failure", outcome.text
    assert [stage for stage in outcome.stages if stage == "prepare"] == ["prepare"] * 3
    assert "does not answer" in outcome.text


def test_quota_is_waited_for(lab: ContractLab, cluster: FakeCluster) -> None:
    full = 'pods "x" is forbidden: exceeded quota: team, requested: pods=1, used: pods=9, limited: pods=9'
    quota = cluster.faults.add(PODS, code=403, reason="Forbidden", message=full, times=1)
    outcome = lab.run(["true"])
    assert outcome.state == "success", outcome.text
    assert quota.seen == 1
    assert outcome.text.count("waiting for quota") == 1


def test_quota_that_never_comes_is_a_system_failure(lab: ContractLab, cluster: FakeCluster) -> None:
    full = 'pods "x" is forbidden: exceeded quota: team, requested: pods=1, used: pods=9, limited: pods=9'
    cluster.faults.add(PODS, code=403, reason="Forbidden", message=full, times=99)
    outcome = lab.runner(f"{BUDGETS}quota_seconds = 1").run(lab.job(["true"]))
    assert outcome.reason == "runner_system_failure", outcome.text
    assert outcome.stages == ONCE * 3
    assert outcome.text.count("no quota within 1 s, see budgets.quota_seconds: ") == 3
    assert full in outcome.text


def test_a_registry_that_does_not_answer_is_tried_again(lab: ContractLab, cluster: FakeCluster) -> None:
    trouble = "failed to do request: dial tcp 10.0.0.1:443: i/o timeout"
    cluster.images.add("registry.example/busy:1", pull_errors=[trouble] * 2)
    outcome = lab.run(["true"], image={"name": "registry.example/busy:1"})
    assert outcome.state == "success", outcome.text
    assert "waiting: image pull failed, trying again" in outcome.text


def test_a_registry_that_fails_in_several_ways_is_told_once_of_each(lab: ContractLab, cluster: FakeCluster) -> None:
    busy, gone = "unexpected status from HEAD request to https://r/v2/a/manifests/404: 503 Service Unavailable", "EOF"
    cluster.images.add("registry.example/denied:404", pull_errors=[busy, busy, gone, busy, gone])
    outcome = lab.run(["true"], image={"name": "registry.example/denied:404"})
    assert outcome.state == "success", outcome.text
    assert outcome.text.count("trying again: ") == 2, outcome.text
    assert outcome.text.count(busy) == 1


def test_a_registry_that_the_node_does_not_trust_is_told_at_once(lab: ContractLab, cluster: FakeCluster) -> None:
    fault = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    cluster.images.add("registry.example/team/app:503", pull_errors=[fault] * 99)
    outcome = lab.run(["true"], image={"name": "registry.example/team/app:503"})
    assert outcome.reason == "runner_system_failure", outcome.text
    assert "the nodes do not trust this registry" in outcome.text


def test_a_missing_image_of_any_name_is_the_jobs_failure_at_once(lab: ContractLab) -> None:
    outcome = lab.run(["true"], image={"name": "registry.example/timeout/503:429"})
    assert (outcome.reason, outcome.stages) == ("script_failure", ONCE), outcome.text


def test_a_missing_image_that_the_operator_has_chosen_is_not_the_jobs_failure(lab: ContractLab) -> None:
    outcome = lab.runner('image = "registry.example/default:1"').run(lab.job(["true"], image=None))
    assert outcome.reason == "runner_system_failure", outcome.text


DENIAL = "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope"


def test_a_denial_without_its_pull_secret_is_not_final(lab: ContractLab, cluster: FakeCluster) -> None:
    """The kubelet tries again once the secret is there."""

    def report() -> None:
        event = {"reason": "FailedToRetrieveImagePullSecret", "type": "Warning"}
        event["message"] = "Unable to retrieve some image pull secrets (team-login); attempting to pull may not succeed."
        name = cluster.created[-1]["metadata"]["name"]
        cluster.store.create("events", {"metadata": {"name": "e"}, "involvedObject": {"name": name}, **event})

    cluster.images.add("registry.example/private:1", pull_errors=[DENIAL] * 2)
    cluster.faults.add(PODS, after=True, action=report)
    outcome = lab.run(["true"], image={"name": "registry.example/private:1"})
    assert outcome.state == "success", outcome.text
    assert outcome.text.count("pull secrets that are not there: team-login") == 1, outcome.text


def test_a_denial_with_its_pull_secret_is_final(lab: ContractLab, cluster: FakeCluster) -> None:
    cluster.images.add("registry.example/private:1", pull_errors=[DENIAL] * 2)
    outcome = lab.run(["true"], image={"name": "registry.example/private:1"}, credentials=CREDENTIALS)
    assert (outcome.reason, outcome.stages) == ("script_failure", ONCE), outcome.text


def test_the_next_pull_policy_is_tried_with_another_pod(lab: ContractLab, cluster: FakeCluster) -> None:
    cluster.images.add("registry.example/app:1", pull_errors=["dial tcp 10.0.0.1:443: i/o timeout"] * 3)
    runner = lab.runner('pull_policy = ["always", "if-not-present"]')
    outcome = runner.run(lab.job(["echo ran"], image={"name": "registry.example/app:1"}, credentials=CREDENTIALS))
    assert outcome.state == "success", outcome.text
    pods = [made for made in cluster.created if made["kind"] == "Pod"]
    policies = [pod["spec"]["containers"][0]["imagePullPolicy"] for pod in pods]
    assert policies == ["Always", "IfNotPresent"]
    assert pods[0]["metadata"]["name"] != pods[1]["metadata"]["name"]
    assert "trying the next pull policy of container build" in outcome.text


def test_a_registry_that_never_answers_uses_up_its_budget_in_each_attempt(lab: ContractLab, cluster: FakeCluster) -> None:
    cluster.images.add("registry.example/dead:1", pull_errors=["dial tcp: i/o timeout"] * 10_000)
    runner = lab.runner(f"{BUDGETS}pull_seconds = 1\nstart_seconds = 1")
    outcome = runner.run(lab.job(["true"], image={"name": "registry.example/dead:1"}))
    assert outcome.reason == "runner_system_failure", outcome.text
    assert outcome.text.count("timed out waiting for pod to start (last phase: pulling images") == 3
    assert "Failed: Failed to pull image" in outcome.text


def test_a_cluster_without_room_is_told_once_in_words(lab: ContractLab, cluster: FakeCluster) -> None:
    cluster.kubelet.unschedulable = "0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available."
    runner = lab.runner('memory_request = "2Gi"\n' + BUDGETS + "schedule_seconds = 60")
    runner.when("waiting: 0/3 nodes", lambda: setattr(cluster.kubelet, "unschedulable", ""))
    outcome = runner.run(lab.job(["true"]))
    assert outcome.state == "success", outcome.text
    assert outcome.text.count("waiting: 0/3 nodes: 3 Insufficient memory (2.0 GiB asked)\n") == 1


def test_a_slow_first_process_is_waited_for(lab: ContractLab, cluster: FakeCluster) -> None:
    """A container runs before its first process has done anything: that is nobody's failure."""
    cluster.images.by_name["localhost/busybox:1"].start_delay_seconds = 1.5
    outcome = lab.run(["true"])
    assert outcome.state == "success", outcome.text


def test_the_runners_first_line_costs_no_command_in_the_pod(lab: ContractLab, cluster: FakeCluster) -> None:
    outcome = lab.run(["true"])
    asked = " ".join(word for command in cluster.commands for word in command)
    assert re.search(r"^Running on job-\d+-[0-9a-f]{16}\.\.\.$", outcome.text, re.MULTILINE), outcome.text
    assert "get_sources-" in asked
    assert "prepare_script-" not in asked


@pytest.mark.parametrize(
    ("changes", "top", "commands"),
    [
        ({}, "", 0),
        ({"after": ["exit 3"]}, "", 0),
        ({"artifacts": [{"name": "a", "paths": ["kept"]}], "after": ["true"]}, "", 0),
        ({"artifacts": [{"name": "a", "paths": ["kept"], "when": "on_failure"}]}, "", 1),
        ({"steps": [{"name": "release", "script": ["true"]}]}, "", 0),
        ({}, "keep_failed = true", 1),
    ],
    ids=["script", "after", "artifacts", "no-artifacts", "steps", "keep"],
)
def test_what_goes_with_the_pod_costs_no_command_in_it(
    lab: ContractLab, cluster: FakeCluster, changes: dict[str, Any], top: str, commands: int
) -> None:
    """File variables lie in the pod's own volumes, and the next call deletes it.

    Where the last stage that was to come did not, or where the pod may stay, the command has work to do.
    """
    outcome = lab.runner(top=top).run(lab.job(["echo a >kept"], **changes))
    asked = " ".join(word for command in cluster.commands for word in command)
    assert outcome.state == "success", outcome.text
    assert outcome.call("cleanup_file_variables").code == 0
    assert asked.count("cleanup_file_variables-") == commands


def test_a_job_that_ends_before_its_last_stage_has_its_file_variables_removed(
    lab: ContractLab, cluster: FakeCluster
) -> None:
    outcome = lab.run(["exit 3"], steps=[{"name": "release", "script": ["echo never"]}])
    ran = [command for command in cluster.commands if "run" in command]
    assert outcome.exit_code == 3, outcome.text
    folders = [command[command.index("run") + 2] for command in ran]
    assert [folder.partition("-")[0] for folder in folders] == ["get_sources", "build_script", "cleanup_file_variables"]
    assert [command[command.index("run") + 7] == "last" for command in ran] == [False, False, True], (
        "and the pod knows that it may go"
    )


def asked_for_facts(cluster: FakeCluster) -> list[list[str]]:
    return [words for words in cluster.commands if "wait_facts" in words]


def test_what_images_offer_costs_no_process_in_the_pod(lab: ContractLab, cluster: FakeCluster) -> None:
    outcome = lab.run(["true"])
    assert outcome.state == "success", outcome.text
    assert not asked_for_facts(cluster)


@pytest.mark.parametrize(("code", "reason"), [(403, "Forbidden"), (500, "InternalError")])
def test_where_logs_cannot_be_read_a_command_tells_what_images_offer(
    lab: ContractLab, cluster: FakeCluster, code: int, reason: str
) -> None:
    cluster.faults.add("GET .*/log$", code=code, reason=reason, times=99)
    outcome = lab.run(["true"])
    assert outcome.state == "success", outcome.text
    assert len(asked_for_facts(cluster)) == 1


def test_a_token_that_expires_is_resolved_again(lab: ContractLab, cluster: FakeCluster) -> None:
    def expire() -> None:
        cluster.tokens.clear()
        cluster.tokens.add("second-token")
        cluster.kubeconfig()
        cluster.cut_streams()

    runner = lab.runner()
    runner.when("\nbegun\n", expire)
    outcome = runner.run(lab.job(["echo begun; sleep 1; echo ended"], after=["echo after"]))
    assert outcome.state == "success", outcome.text
    assert "\nended\n" in outcome.text
    assert "\nafter\n" in outcome.text


def test_an_api_server_that_restarts_mid_script_costs_nothing(lab: ContractLab, cluster: FakeCluster) -> None:
    def restart() -> None:
        cluster.faults.is_down = True
        cluster.cut_streams()
        time.sleep(2)
        cluster.faults.is_down = False

    runner = lab.runner()
    runner.when("\n5\n", restart)
    outcome = runner.run(lab.job(["i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo $i; sleep 0.05; done"]))
    assert outcome.state == "success", outcome.text
    assert numbers(outcome) == list(range(1, 61))


def test_an_api_server_that_stays_away_mid_script_is_a_system_failure_once_its_budget_is_used_up(
    lab: ContractLab, cluster: FakeCluster
) -> None:
    def vanish() -> None:
        cluster.faults.is_down = True
        cluster.cut_streams()

    runner = lab.runner(f"{BUDGETS}api_seconds = 2")
    runner.when("\nbegun\n", vanish)
    job = lab.job(["echo begun; sleep 300"], after=["echo never"])
    outcome = runner.run(job)
    assert outcome.reason == "runner_system_failure", outcome.text
    assert "nothing was heard from the API server for" in outcome.text
    assert [outcome.call(stage).code for stage in ("build_script", "after_script", "cleanup")] == [2, 2, 2]
    cluster.faults.is_down = False
    lab.remove(job["id"])


def test_a_node_that_does_not_answer_is_a_system_failure_once_the_budget_is_used_up(
    lab: ContractLab, cluster: FakeCluster
) -> None:
    """The API server is there, and says that it does not reach the kubelet."""
    words = "error dialing backend: dial tcp 10.0.0.9:10250: i/o timeout"

    def vanish() -> None:
        cluster.faults.add("GET .*/exec$", code=500, reason="InternalError", message=words, times=10_000)
        cluster.cut_streams()

    runner = lab.runner(f"{BUDGETS}api_seconds = 2")
    runner.when("\nbegun\n", vanish)
    outcome = runner.run(lab.job(["echo begun; sleep 300"]))
    assert outcome.reason == "runner_system_failure", outcome.text
    assert "has not answered for" in outcome.text
    assert words in outcome.text
    assert [outcome.call(stage).code for stage in ("build_script", "cleanup")] == [2, 0]


def test_streams_that_are_cut_at_random_bytes_lose_and_double_nothing(lab: ContractLab, cluster: FakeCluster) -> None:
    """1,000 cuts: scripts/prove fake-stream-cuts. There are so many lines that most cuts hit output."""
    cuts = cluster.faults.cut_streams_at_random(seed=CUTS_IN_CI, largest=30_000, times=CUTS_IN_CI)
    outcome = lab.run(["seq 1 20000", "exit 9"])
    assert len(cuts) == CUTS_IN_CI
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 9), outcome.text[-2000:]
    assert numbers(outcome) == list(range(1, 20001))


def test_a_script_far_ahead_of_its_reader_waits(lab: ContractLab, tmp_path: Path) -> None:
    """256 MiB, or a manager that hangs for an hour fills the node's disk."""
    runner = lab.runner(environment={"SPACK_FARM_EXECUTOR_WARM": "no"})  # it is the reader itself that is stopped
    sizes: list[int] = []

    def written() -> int:
        return sum(log.stat().st_size for log in tmp_path.glob("cluster/pods/*/control/build/stages/build_script-*/log.*"))

    def stop() -> None:
        process = running(runner)
        process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 200
        while (len(sizes) < 2 or sizes[-1] < 256 << 20 or sizes[-1] != sizes[-2]) and time.monotonic() < deadline:
            sizes.append(written())
            time.sleep(1)
        process.kill()

    runner.when("\nbegun\n", stop)
    outcome = runner.run(lab.job(["echo begun; sleep 1; head -c 500000000 /dev/zero"]))
    assert outcome.reason == "runner_system_failure", outcome.text[-500:]
    assert 256 << 20 <= sizes[-1] <= 288 << 20


def test_many_jobs_at_once_lose_nothing(lab: ContractLab) -> None:
    """200 jobs: scripts/prove many-jobs."""
    with concurrent.futures.ThreadPoolExecutor(JOBS_IN_CI) as pool:
        outcomes = list(pool.map(lambda code: lab.run(["seq 1 3000", f"exit {code}"]), range(1, JOBS_IN_CI + 1)))
    assert [outcome.exit_code for outcome in outcomes] == list(range(1, JOBS_IN_CI + 1))
    assert all(numbers(outcome) == list(range(1, 3001)) for outcome in outcomes)


def test_a_home_that_cannot_be_written_to_is_replaced(lab: ContractLab, cluster: FakeCluster) -> None:
    """A user by number alone has `/`, or one that is not there."""
    cluster.images.add("localhost/homeless:1", home="/proc/nonexistent/home")
    outcome = lab.run(["echo mine >~/file; cat ~/file"], image={"name": "localhost/homeless:1"}, after=["cat ~/file"])
    assert outcome.state == "success", outcome.text
    assert outcome.text.count("\nmine\n") == 2, "it is the same for all stages"


def test_a_helper_older_than_the_runner_is_refused(lab: ContractLab, cluster: FakeCluster) -> None:
    cluster.images.add("localhost/old:1", runner_version="18.2.0")
    outcome = lab.runner(helper_image="localhost/old:1").run(lab.job(["true"]))
    assert outcome.reason == "runner_system_failure", outcome.text
    assert "18.2.0, older than the Runner's 19.4.0" in outcome.text


def test_caches_and_artifacts_reach_the_next_job(lab: ContractLab) -> None:
    keeps = {"cache": [{"key": "c", "paths": ["cached"]}], "artifacts": [{"name": "a", "paths": ["made", "too"]}]}
    first = lab.run(["echo 1 >cached; echo 2 >made; echo 3 >too"], **keeps)
    assert first.state == "success", first.text
    needs = {"cache": keeps["cache"], "dependencies": [{"artifacts_file": {"filename": "a"}}]}
    second = lab.run(["cat cached made too"], **needs)
    assert second.state == "success", second.text
    assert "\n1\n2\n3\n" in second.text


def numbers(outcome: Outcome) -> list[int]:
    """Return the numbers that the build script printed."""
    lines = outcome.call("build_script").stdout.decode().splitlines()
    return [int(line) for line in lines if line.isdigit()]


def test_each_verb_calls_no_more_of_the_api_than_it_needs(lab: ContractLab, cluster: FakeCluster) -> None:
    """config calls nothing; events are not asked for; a run that ends soon is one exec; cleanup a deletion."""
    outcome = lab.run(["true"])
    assert outcome.state == "success", outcome.text
    execs = sum(call.endswith("/exec") for call in cluster.calls)
    runs = sum(call.stage == "run" for call in outcome.calls)
    assert execs <= runs + 2  # prepare's own, and one more should the helper have been slow
    assert sum(call.startswith("DELETE") for call in cluster.calls) == 1
    assert not [call for call in cluster.calls if call.endswith("/events")]
    assert cluster.calls[0].startswith("GET /api/v1/namespaces/default/configmaps/memory-")
