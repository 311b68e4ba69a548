"""Clause: architecture, section 5: credentials are resolved once an attempt; a 401, whenever it comes, renews them.

Tokens of exec plugins live for minutes, jobs for hours. Each test has a fake cluster whose tokens it withdraws.
"""

import itertools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.kube.server import FakeCluster
from tests.labs.backends.fake import pod_of
from tests.labs.backends.lab import ContractLab
from tests.labs.waiting import wait_until

WATCH = "GET /api/v1/namespaces/default/pods"


class Issuer:
    """Whoever gives the driver its tokens; a kubeconfig leads to it."""

    def __init__(self, cluster: FakeCluster, folder: Path, kind: str) -> None:
        self._cluster, self._kind = cluster, kind
        self._numbers = itertools.count(1)
        self._token = folder / "token"
        self.kubeconfig = folder / "kubeconfig"
        self.is_broken = folder / "broken"
        """A plugin fails while this file is there."""
        self.failures = folder / "failures"
        self._plain = json.loads(cluster.kubeconfig().read_text())
        self.rotate()

    def rotate(self) -> None:
        """Withdraw the present token, and give another from now on."""
        token = f"token-{next(self._numbers)}"
        told = {"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": {"token": token}}
        part = self._token.with_suffix(".part")
        part.write_text(json.dumps(told) if self._kind == "exec plugin" else token)
        part.replace(self._token)
        program = (
            f"[ ! -e {self.is_broken} ] || {{ echo failed >>{self.failures}; echo no such role >&2; exit 1; }}; "
            f"cat {self._token}"
        )
        plugin = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "sh",
            "args": ["-c", program],
            "interactiveMode": "Never",
        }
        user = {
            "exec plugin": {"exec": plugin}, "token file": {"tokenFile": str(self._token)}, "kubeconfig": {"token": token},
        }  # fmt: skip
        part = self.kubeconfig.with_suffix(".part")
        part.write_text(json.dumps(self._plain | {"users": [{"name": "driver", "user": user[self._kind]}]}))
        part.replace(self.kubeconfig)
        self._cluster.tokens = {token}


@pytest.fixture
def issuer_of(cluster: FakeCluster, tmp_path: Path) -> Callable[[str], Issuer]:
    """Return a function that makes an issuer of a kind."""
    folder = tmp_path / "issuer"
    folder.mkdir()
    return lambda kind: Issuer(cluster, folder, kind)


@pytest.mark.parametrize("kind", ["exec plugin", "token file", "kubeconfig"])
def test_an_exec_stream_is_picked_up_with_new_credentials_which_later_stages_have_at_once(
    lab: ContractLab, cluster: FakeCluster, issuer_of: Callable[[str], Issuer], kind: str
) -> None:
    issuer = issuer_of(kind)
    runner = lab.runner(kubeconfig=issuer.kubeconfig)

    def expire() -> None:
        issuer.rotate()
        cluster.cut_streams()

    runner.when("\nbegun\n", expire)
    outcome = runner.run(lab.job(["echo begun; sleep 1; echo ended"], after=["echo after"]))
    assert outcome.state == "success", outcome.text
    assert "\nended\n" in outcome.text
    assert "\nafter\n" in outcome.text
    assert 1 <= len(cluster.refused) <= 2, "the watch may have come at that very moment"


@pytest.mark.parametrize("kind", ["exec plugin", "token file"])
def test_a_long_watch_goes_on_with_new_credentials_and_sees_the_pod_go(
    lab: ContractLab, cluster: FakeCluster, issuer_of: Callable[[str], Issuer], tmp_path: Path, kind: str
) -> None:
    """The stream itself stands for hours and needs none, so that nothing else renews them."""
    issuer = issuer_of(kind)
    runner = lab.runner("pod_termination_grace_period_seconds = 90", kubeconfig=issuer.kubeconfig)
    job = lab.job([f"echo begun; until [ -e {tmp_path}/told ]; do sleep 0.1; done; echo ended"])

    def expire_and_evict() -> None:
        watches = cluster.calls.count(WATCH)
        wait_until(lambda: cluster.calls.count(WATCH) > watches)
        issuer.rotate()
        cluster.end_watches()
        wait_until(lambda: WATCH in cluster.refused)
        cluster.kubelet.evict(pod_of(cluster, job["id"]))

    runner.when("\nbegun\n", expire_and_evict)
    runner.when("WARNING: the pod is being deleted: EvictionByEvictionAPI", (tmp_path / "told").touch)
    outcome = runner.run(job)
    assert outcome.state == "success", outcome.text
    assert "\nended\n" in outcome.text
    assert cluster.refused.count(WATCH) == 1
    assert len(cluster.refused) == len(set(cluster.refused)), "what else asks at that moment is refused once, too, at most"


def test_a_cancel_reaches_the_script_although_the_token_has_expired(
    lab: ContractLab, cluster: FakeCluster, issuer_of: Callable[[str], Issuer]
) -> None:
    issuer = issuer_of("exec plugin")
    runner = lab.runner(kubeconfig=issuer.kubeconfig)

    def expire_and_cancel() -> None:
        issuer.rotate()
        runner.cancel()

    runner.when("\nbegun\n", expire_and_cancel)
    nap = f"sleep {os.getpid()}{time.time_ns() % 1000:03}"  # nobody else's
    after = [f"ps -ef 2>/dev/null | grep -c '[s]{nap[1:]}' || true"]
    outcome = runner.run(lab.job([f"echo begun; {nap}"], after=after))
    assert outcome.reason == "job_canceled", outcome.text
    assert "could not be sent" not in outcome.text
    assert outcome.call("after_script").stdout.endswith(b"\n0\n"), "the script was ended"
    assert cluster.refused


def test_a_token_that_expires_while_a_pod_waits_for_its_node_costs_nothing(
    lab: ContractLab, cluster: FakeCluster, issuer_of: Callable[[str], Issuer]
) -> None:
    issuer = issuer_of("exec plugin")
    cluster.kubelet.unschedulable = "0/3 nodes are available: 3 Insufficient memory."
    runner = lab.runner(kubeconfig=issuer.kubeconfig)

    def expire() -> None:
        issuer.rotate()
        cluster.end_watches()
        wait_until(lambda: cluster.refused)
        cluster.kubelet.unschedulable = ""

    runner.when("waiting: 0/3 nodes", expire)
    outcome = runner.run(lab.job(["true"]))
    assert outcome.state == "success", outcome.text
    assert outcome.stages.count("prepare") == 1


def test_a_plugin_that_fails_for_a_while_costs_nothing(
    lab: ContractLab, cluster: FakeCluster, issuer_of: Callable[[str], Issuer]
) -> None:
    issuer = issuer_of("exec plugin")
    runner = lab.runner(kubeconfig=issuer.kubeconfig)

    def expire() -> None:
        issuer.is_broken.touch()
        issuer.rotate()
        cluster.cut_streams()
        wait_until(issuer.failures.exists)
        issuer.is_broken.unlink()

    runner.when("\nbegun\n", expire)
    outcome = runner.run(lab.job(["echo begun; sleep 1; echo ended"]))
    assert outcome.state == "success", outcome.text
    assert "\nended\n" in outcome.text


def test_credentials_that_cannot_be_renewed_are_a_system_failure_that_says_why(
    lab: ContractLab, cluster: FakeCluster, issuer_of: Callable[[str], Issuer]
) -> None:
    issuer = issuer_of("exec plugin")
    runner = lab.runner("[budgets]\napi_seconds = 2", kubeconfig=issuer.kubeconfig)

    def expire() -> None:
        issuer.is_broken.touch()
        issuer.rotate()
        cluster.cut_streams()

    runner.when("\nbegun\n", expire)
    job = lab.job(["echo begun; sleep 60"])
    outcome = runner.run(job)
    assert outcome.reason == "runner_system_failure", outcome.text
    assert "the credentials are refused, and could not be renewed: no access to a cluster" in outcome.text
    assert "no such role" in outcome.text
    assert outcome.call("build_script").code == 2
    lab.remove(job["id"])
