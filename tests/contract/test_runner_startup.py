"""Clause: R4: what a pod may take to start has a budget for each part, and the log says which part used up its own.

Each test spoils a fake cluster of its own. The accounting itself: tests/unit/executor/test_pod_startup.py.
"""

from tests.fakes.kube.server import FakeCluster
from tests.fakes.runner import Outcome
from tests.labs.backends.lab import ContractLab
from tests.labs.waiting import wait_until

EVENTS = "GET /api/v1/namespaces/default/events"
LARGE = "registry.example/large:1"


def run(lab: ContractLab, *, pull_seconds: int, start_seconds: int, image: str = "localhost/busybox:1") -> Outcome:
    budgets = f"[budgets]\npull_seconds = {pull_seconds}\nstart_seconds = {start_seconds}"
    return lab.runner(budgets).run(lab.job(["true"], image={"name": image}))


def test_a_pull_is_not_bounded_by_the_budget_for_starting(lab: ContractLab, cluster: FakeCluster) -> None:
    """Status says ContainerCreating all the while: that it pulls is known from the events, asked for when it matters."""
    cluster.images.add(LARGE, is_slow=True)
    runner = lab.runner("[budgets]\npull_seconds = 600\nstart_seconds = 3")

    def go_on_for_a_while() -> None:
        wait_until(lambda: cluster.calls.count(EVENTS) >= 3)
        runner.cancel()

    runner.when(f'waiting: Pulling image "{LARGE}" (container build)\n', go_on_for_a_while)
    outcome = runner.run(lab.job(["true"], image={"name": LARGE}))
    assert outcome.reason == "job_canceled", outcome.text
    assert outcome.stages == ["config", "prepare", "cleanup"]
    assert outcome.text.count("waiting: ") == 1, "it is told once"


def test_a_pull_that_does_not_end_uses_up_its_budget(lab: ContractLab, cluster: FakeCluster) -> None:
    cluster.images.add(LARGE, is_slow=True)
    outcome = run(lab, pull_seconds=1, start_seconds=600, image=LARGE)
    assert outcome.reason == "runner_system_failure", outcome.text
    words = "timed out waiting for pod to start (last phase: pulling images, 1 s, see budgets.pull_seconds): pod "
    assert outcome.text.count(words) == 3
    assert f'Pulling image "{LARGE}" (container build)' in outcome.text


def test_a_network_that_does_not_come_uses_up_the_budget_for_starting(lab: ContractLab, cluster: FakeCluster) -> None:
    cluster.kubelet.sandbox_trouble = "plugin type=bridge failed (add): no addresses left"
    outcome = run(lab, pull_seconds=600, start_seconds=1)
    assert outcome.reason == "runner_system_failure", outcome.text
    words = "timed out waiting for pod to start (last phase: starting containers, 1 s, see budgets.start_seconds): pod "
    assert outcome.text.count(words) == 3
    assert "FailedCreatePodSandBox: Failed to create pod sandbox: plugin type=bridge failed" in outcome.text


def test_a_container_that_cannot_be_made_at_first_is_waited_for(lab: ContractLab, cluster: FakeCluster) -> None:
    cluster.images.by_name["localhost/busybox:1"].create_errors = ["context deadline exceeded"] * 2
    outcome = lab.run(["true"])
    assert outcome.state == "success", outcome.text
    words = "container build does not start, trying again: CreateContainerError: context deadline exceeded"
    assert outcome.text.count(words) == 1


def test_a_container_that_can_never_be_made_uses_up_the_budget_for_starting(lab: ContractLab, cluster: FakeCluster) -> None:
    cluster.images.by_name["localhost/busybox:1"].create_errors = ["failed to mount"] * 10_000
    outcome = run(lab, pull_seconds=600, start_seconds=1)
    assert outcome.reason == "runner_system_failure", outcome.text
    assert outcome.text.count("(last phase: starting containers, 1 s, see budgets.start_seconds)") == 3
    assert "CreateContainerError: failed to mount" in outcome.text


def test_without_its_events_a_pod_has_both_budgets(lab: ContractLab, cluster: FakeCluster) -> None:
    cluster.images.add(LARGE, is_slow=True)
    cluster.faults.add(EVENTS, code=403, reason="Forbidden", message="cannot list", times=999)
    outcome = run(lab, pull_seconds=1, start_seconds=1, image=LARGE)
    assert outcome.reason == "runner_system_failure", outcome.text
    words = "images or starting containers, 2 s, see budgets.pull_seconds and budgets.start_seconds)"
    assert outcome.text.count(words) == 3
