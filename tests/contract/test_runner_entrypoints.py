"""Clause: an entrypoint runs only if the job asks for it, and its failure is the job's, at once; the pod agent is provided.

Each test has a fake cluster of its own. What real containers do with entrypoints: tests/e2e/test_images.py.
"""

import time

import pytest

from tests.fakes.kube.server import FakeCluster
from tests.fakes.runner import Outcome
from tests.labs.backends.lab import ONCE, ContractLab, codes

MAPS = "/api/v1/namespaces/default/configmaps"
HONOR = {"FF_KUBERNETES_HONOR_ENTRYPOINT": "true"}


def shell(program: str) -> list[str]:
    return ["/bin/sh", "-c", program, "entrypoint"]


def job(lab: ContractLab, entrypoint: list[str] | None, *, top: str = "") -> Outcome:
    """Run a job whose image has the entrypoint, and which asks for it."""
    image = {"name": "localhost/entry:1", "entrypoint": entrypoint}
    return lab.runner(top=top).run(lab.job(["echo ran $FROM"], image=image, variables=HONOR))


@pytest.mark.parametrize(("delay", "may_read_logs"), [(0, True), (3, True), (2, False)])
def test_an_entrypoint_that_fails_is_the_jobs_failure_at_once(
    lab: ContractLab, cluster: FakeCluster, delay: int, *, may_read_logs: bool
) -> None:
    if not may_read_logs:
        cluster.faults.add("GET .*/log$", code=403, reason="Forbidden", message="no", times=999)
    cluster.images.add("localhost/entry:1", entrypoint=shell(f"echo no database >&2; sleep {delay}; exit 3"))
    began = time.monotonic()
    outcome = job(lab, None)
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 1), outcome.text
    assert outcome.stages == ONCE
    assert "the build container's entrypoint ended (exit code 3) and did not start its arguments" in outcome.text
    assert ("\n  no database\n" in outcome.text) == may_read_logs
    assert time.monotonic() - began < 60, "not budgets.start_seconds"


def test_an_entrypoint_that_forgets_its_arguments_has_the_budget_for_starting(
    lab: ContractLab, cluster: FakeCluster
) -> None:
    cluster.images.add("localhost/entry:1")
    outcome = job(lab, shell("sleep 600"), top="[budgets]\nstart_seconds = 3\n")
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 1), outcome.text
    assert 'the entrypoint did not start its arguments: end it with `exec "$@"`' in outcome.text


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        ('echo speaks; echo louder >&2; FROM=entry exec "$@"', "the entrypoint has printed:\n  speaks\n  louder\n"),
        ('sleep 3; FROM=entry exec "$@"', ""),
        ('FROM=entry exec "$@" >/dev/null 2>&1', ""),
    ],
)
def test_an_entrypoint_that_starts_its_arguments_is_waited_for(
    lab: ContractLab, cluster: FakeCluster, program: str, printed: str
) -> None:
    cluster.images.add("localhost/entry:1", entrypoint=shell(program))
    outcome = job(lab, None)
    assert outcome.state == "success", outcome.text
    assert "\nran entry\n" in outcome.text
    assert printed in outcome.text
    assert ("has printed" in outcome.text) == bool(printed)


def test_a_pod_that_is_lost_while_its_entrypoint_runs_is_not_the_jobs_failure(
    lab: ContractLab, cluster: FakeCluster
) -> None:
    cluster.images.add("localhost/entry:1", entrypoint=shell('sleep 2; exec "$@"'))
    lose = cluster.faults.add("GET .*/log$", code=500, times=1)
    lose.action = lambda: cluster.kubelet.delete(cluster.pods()[0]["metadata"]["name"], grace_seconds=0)
    outcome = job(lab, None)
    assert "ended (exit code" not in outcome.text
    assert codes(outcome, "prepare") == [2, 0], outcome.text


def test_the_agents_config_map_is_created_once_and_used_by_every_job(lab: ContractLab, cluster: FakeCluster) -> None:
    for _ in range(2):
        assert lab.run(["true"]).state == "success"
    assert cluster.calls.count(f"POST {MAPS}") == 1
    (document,) = cluster.shared
    cluster.store.remove("configmaps", document["metadata"]["name"])
    assert lab.run(["true"]).state == "success", "whoever deletes it, it is made again"
    assert len(cluster.shared) == 2


@pytest.mark.parametrize(("code", "after"), [(500, False), (0, False), (0, True)])
def test_a_fault_while_the_config_map_is_created_is_retried(
    lab: ContractLab, cluster: FakeCluster, code: int, *, after: bool
) -> None:
    fault = cluster.faults.add(f"POST {MAPS}$", code=code, after=after)
    outcome = lab.run(["true"])
    assert fault.seen == 1
    assert outcome.state == "success", outcome.text


def test_a_config_map_with_another_program_is_refused(lab: ContractLab, cluster: FakeCluster) -> None:
    """Nothing but the driver's own program runs as the first process of a job's containers."""
    assert lab.run(["true"]).state == "success"
    (document,) = cluster.shared
    name = document["metadata"]["name"]
    cluster.store.change("configmaps", name, lambda found: found["binaryData"].update(agent="b3RoZXI="))
    outcome = lab.run(["true"])
    assert outcome.reason == "runner_system_failure", outcome.text
    assert f"config map default/{name} should hold the driver's program and holds something else: delete it" in outcome.text
