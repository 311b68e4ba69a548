# ruff: noqa: F403 (the contract's tests are what is run here)
"""The Runner's contract, word for word as it is tested on the fake cluster, on the real one."""

from collections.abc import Callable

import pytest

from tests.contract.test_runner_cancel import *
from tests.contract.test_runner_deaths import *
from tests.contract.test_runner_disruption import *
from tests.contract.test_runner_prepare import *
from tests.contract.test_runner_results import *
from tests.contract.test_runner_swap import *
from tests.fakes.runner import Outcome, Runner
from tests.labs.backends.lab import ContractLab, story_of
from tests.labs.cluster.lab import NAMESPACE, ClusterLab


@pytest.fixture
def outcome(request: pytest.FixtureRequest, lab: ClusterLab, runner: Callable[..., Runner]) -> Outcome:
    """Run the test's job."""

    def pods(job_id: int, field: str) -> list[str]:
        words = ["-l", f"spack-farm.io/job-id={job_id}", "-o", f"jsonpath={{.items[*].{field}}}"]
        return lab.kubectl("get", "pods", "-n", NAMESPACE, *words).split()

    def pod(job_id: int) -> str:
        (name,) = pods(job_id, "metadata.name")
        return name

    def phases(job_id: int) -> list[str]:
        return pods(job_id, "status.phase")

    def evict(job_id: int) -> None:
        name = pod(job_id)
        document = '{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "%s", "namespace": "%s"}}'
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
        lab.kubectl("create", "--raw", path, "-f", "-", text=document % (name, NAMESPACE))

    def remove(job_id: int) -> None:
        lab.kubectl("delete", "pod", "-n", NAMESPACE, pod(job_id), "--force", "--wait=false")

    story = story_of(request.node)
    assert story is not None
    return story(ContractLab(runner=runner, evict=evict, remove=remove, phases=phases))
