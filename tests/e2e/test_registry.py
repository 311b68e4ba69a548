"""Images from a real registry through a real kubelet and containerd: missing, private, untrusted, and named like errors."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.runner import Outcome, Runner, payload
from tests.labs.cluster.jobs import job_named
from tests.labs.cluster.lab import ClusterLab
from tests.labs.cluster.parts import NODE_ADDRESS
from tests.labs.farm.network import listener_inside
from tests.labs.registry import PASSWORD, Registry, make_certificate

NAMES = frozenset({"team/app", "private/app"})
ONCE = ["config", "prepare", "cleanup"]


@pytest.fixture(scope="module")
def registry(lab: ClusterLab) -> Iterator[Registry]:
    if lab.cluster is None:
        pytest.skip("a registry in the cluster's network needs a cluster of our own")
    archive = lab.cluster.home / "images" / "busybox.tar"
    with Registry(archive, listener=listener_inside(lab.cluster.init, address="127.0.0.1"), names=NAMES) as running:
        yield running


def pulled(runner: Callable[..., Runner], image: str, **changes: Any) -> Outcome:
    """Run a job whose image is pulled in any case."""
    described = {"name": image, "entrypoint": [""], "pull_policy": ["always"]}
    settings = 'allowed_pull_policies = ["always"]'
    return runner(settings).run(payload(["echo ran"], image=described, job_info=job_named(image), **changes))


def test_a_missing_image_is_the_jobs_failure_whatever_it_is_called(
    registry: Registry, runner: Callable[..., Runner]
) -> None:
    outcome = pulled(runner, f"{registry.address}/timeout/503:429")
    assert (outcome.reason, outcome.stages) == ("script_failure", ONCE), outcome.text


def test_an_image_named_like_an_error_is_pulled(registry: Registry, runner: Callable[..., Runner]) -> None:
    outcome = pulled(runner, f"{registry.address}/team/app:404")
    assert outcome.state == "success", outcome.text


def test_a_private_image_is_pulled_with_the_login_of_docker_auth_config(
    registry: Registry, runner: Callable[..., Runner]
) -> None:
    """The job's own token for the same registry is wrong: the variable counts first."""
    wrong = [{"type": "registry", "url": registry.address, "username": "gitlab-ci-token", "password": "wrong"}]
    config = {
        "key": "DOCKER_AUTH_CONFIG",
        "value": json.dumps(registry.login),
        "public": False,
        "masked": False,
        "file": False,
    }
    image = f"{registry.address}/private/app:503"
    outcome = pulled(runner, image, credentials=wrong, secret_variables=[config])
    assert outcome.state == "success", outcome.text
    assert PASSWORD not in outcome.text
    denied = pulled(runner, image, credentials=wrong)
    assert (denied.reason, denied.stages) == ("script_failure", ONCE), denied.text


def test_a_registry_that_the_node_does_not_trust_is_a_system_failure_at_once(
    lab: ClusterLab, registry: Registry, runner: Callable[..., Runner], tmp_path: Path
) -> None:
    assert lab.cluster is not None
    listener = listener_inside(lab.cluster.init, address=NODE_ADDRESS)
    archive = lab.cluster.home / "images" / "busybox.tar"
    with Registry(archive, listener=listener, names=NAMES, certificate=make_certificate(tmp_path)) as untrusted:
        outcome = pulled(runner, f"{untrusted.address}/team/app:1")
    assert outcome.reason == "runner_system_failure", outcome.text
    assert "x509" in outcome.text
    assert "the nodes do not trust this registry" in outcome.text
    assert registry.address not in outcome.text
