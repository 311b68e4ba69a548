"""Whose failure a refused pod is, on a real API server; and whose files the sources are, with a real Runner and git."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fakes.runner import Outcome, Runner, payload
from tests.labs.cluster.jobs import job_named
from tests.labs.cluster.lab import NAMESPACE, ClusterLab
from tests.labs.farm.farm import Farm, plain
from tests.labs.farm.repository import publish_examples

ONCE = ["config", "prepare", "cleanup"]
CAPS = 'memory_limit_overwrite_max_allowed = "8Gi"\nmemory_request_overwrite_max_allowed = "8Gi"'
LARGE = {"KUBERNETES_MEMORY_LIMIT": "4Gi", "KUBERNETES_MEMORY_REQUEST": "4Gi"}
LIMIT_RANGE = {"kind": "LimitRange", "spec": {"limits": [{"type": "Container", "max": {"memory": "1Gi"}}]}}
QUOTA = {"kind": "ResourceQuota", "spec": {"hard": {"requests.memory": "2Gi"}}}


def run(runner: Callable[..., Runner], settings: str = "", **changes: Any) -> Outcome:
    return runner(settings).run(payload(["true"], job_info=job_named("blame"), **changes))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ('service_account = "no-such"', "see kubernetes.service_account"),
        ('priority_class_name = "no-such"', "see kubernetes.priority_class_name"),
        ('runtime_class_name = "no-such"', "see kubernetes.runtime_class_name"),
    ],
)
def test_what_the_operator_has_set_is_not_the_jobs_failure(runner: Callable[..., Runner], settings: str, words: str) -> None:
    outcome = run(runner, settings)
    assert outcome.reason == "runner_system_failure", outcome.text
    assert words in outcome.text


@pytest.fixture
def limited(lab: ClusterLab, request: pytest.FixtureRequest) -> Iterator[None]:
    """Have an object of the test's in the namespace."""
    document = {"apiVersion": "v1", "metadata": {"name": "blame", "namespace": NAMESPACE}, **request.param}
    lab.kubectl("apply", "-f", "-", text=json.dumps(document))
    yield
    lab.kubectl("delete", document["kind"], "-n", NAMESPACE, "blame")


@pytest.mark.parametrize("limited", [LIMIT_RANGE, QUOTA], indirect=True, ids=["limit range", "quota"])
@pytest.mark.usefixtures("limited")
def test_a_size_that_the_namespace_does_not_allow_is_blamed_on_who_has_chosen_it(runner: Callable[..., Runner]) -> None:
    own = 'memory_limit = "{0}"\nmemory_request = "{0}"\nhelper_memory_limit = "64Mi"\nhelper_memory_request = "64Mi"\n'
    asked = run(runner, own.format("1Gi") + CAPS, variables=LARGE)
    assert (asked.reason, asked.stages) == ("script_failure", ONCE), asked.text
    given = run(runner, own.format("4Gi") + CAPS)
    assert given.reason == "runner_system_failure", given.text


@pytest.mark.alone
def test_pod_security_is_the_jobs_failure_only_for_its_own_user(lab: ClusterLab, runner: Callable[..., Runner]) -> None:
    label = "pod-security.kubernetes.io/enforce"
    lab.kubectl("label", "namespace", NAMESPACE, f"{label}=restricted")
    try:
        outcome = run(runner)
    finally:
        lab.kubectl("label", "namespace", NAMESPACE, f"{label}-")
    assert outcome.reason == "runner_system_failure", outcome.text
    assert "hardened = true" in outcome.text


SOURCES = ["git log -1 --format=%s", "stat -c 'mode %a owner %u %n' examples .git", "stat -c 'mode %a' \"$A_FILE\""]


@pytest.mark.parametrize("flag", ["false", "true"])
def test_git_works_for_another_user_whose_files_are_plain_if_the_job_asks_for_it(farm: Farm, flag: str) -> None:
    source = publish_examples(farm.folder / "repositories", farm.gitlab.url)
    source["variables"] |= {"FF_DISABLE_UMASK_FOR_KUBERNETES_EXECUTOR": flag}
    image = {"name": "localhost/spack-farm-helper:1", "executor_opts": {"kubernetes": {"user": "1000:1000"}}}
    file = {"key": "A_FILE", "value": "x", "public": False, "masked": False, "file": True}
    job = farm.gitlab.submit(payload(SOURCES, image=image, secret_variables=[file], **source))
    assert job.wait().state == "success", job.text
    text = plain(job.text)
    assert "\nThe examples of spack-farm\n" in text
    assert "owner 1000 .git\n" in text
    assert ("mode 755 owner 1000 examples\n" in text) is (flag == "true")
    assert ("mode 777 owner 0 examples\n" in text) is (flag == "false")


def test_a_job_clones_where_it_wants_to_in_its_builds_folder(farm: Farm) -> None:
    source = publish_examples(farm.folder / "repositories", farm.gitlab.url)
    source["variables"] |= {"GIT_CLONE_PATH": "$CI_BUILDS_DIR/elsewhere"}
    image = {"name": "localhost/spack-farm-helper:1"}
    job = farm.gitlab.submit(payload(["echo in $PWD", "git log -1 --format=%s"], image=image, **source))
    assert job.wait().state == "success", job.text
    assert "\nin /builds/elsewhere\n" in plain(job.text)
    assert " is ready on node node1\n" in plain(job.text)
