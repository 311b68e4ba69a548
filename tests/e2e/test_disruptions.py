"""What can happen to a job's pod, its node and the API, and what GitLab is told: architecture, section 6; R8–R11, R18."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.cluster.cluster import Cluster
from tests.e2e.conftest import CHECKOUT, NAMESPACE, Lab, wait_for
from tests.fakes.runner import Runner, payload

NUMBERS = [str(number) for number in range(1, 201)]
COUNT = "i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo $i; sleep 0.03; done"


def own_cluster(lab: Lab) -> Cluster:
    if lab.cluster is None:
        pytest.skip("the cluster is not ours to break")
    return lab.cluster


def only_pod(lab: Lab) -> str:
    (pod,) = lab.pods()
    return str(pod["metadata"]["name"])


def build_output(outcome_calls: list[object]) -> list[str]:
    """Return the build script's own lines, without its echoed commands and the driver's line of figures."""
    call = next(call for call in outcome_calls if getattr(call, "script", "") == "build_script")
    lines = getattr(call, "stdout", b"").decode().splitlines()
    return [line for line in lines if not line.startswith(("$ ", "used ", "WARNING: "))]


def test_connections_that_are_cut_lose_and_double_nothing(lab: Lab, runner: Callable[..., Runner], tmp_path: Path) -> None:
    own_cluster(lab)
    kubeconfig = tmp_path / "cut.kubeconfig"
    kubeconfig.write_text(lab.kubeconfig.read_text().replace(":16443", ":17443"))
    argv = [*lab.inside, sys.executable, str(CHECKOUT / "tests/fakes/cutter.py"), "17443", "16443"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as cutter:
        assert cutter.stdout is not None
        assert cutter.stdout.readline() == b"ready\n"
        over = threading.Event()

        def cut() -> None:
            for _ in range(50):
                if not over.wait(0.1):
                    cutter.send_signal(signal.SIGUSR1)

        job = runner(kubeconfig=kubeconfig)
        job.when("\n5\n", cut)
        outcome = job.run(payload([COUNT, "exit 9"]))
        over.set()
        cutter.kill()
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 9), outcome.text
    assert build_output(list(outcome.calls)) == NUMBERS


@pytest.mark.alone
@pytest.mark.parametrize("component", ["apiserver", "kubelet"])
def test_a_restart_of_the_control_plane_loses_nothing(lab: Lab, runner: Callable[..., Runner], component: str) -> None:
    cluster = own_cluster(lab)

    def restart() -> None:
        cluster.signal(component, signal.SIGKILL)
        time.sleep(2)
        cluster.start(component)

    job = runner()
    job.when("\n5\n", restart)
    outcome = job.run(payload([COUNT]))
    assert outcome.state == "success", outcome.text
    assert build_output(list(outcome.calls)) == NUMBERS


def test_an_evicted_pod_goes_on_for_its_grace_and_the_job_succeeds(lab: Lab, runner: Callable[..., Runner]) -> None:
    def evict() -> None:
        name = only_pod(lab)
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
        lab.kubectl("create", "--raw", path, "-f", "-", text=json.dumps(eviction))

    job = runner("pod_termination_grace_period_seconds = 60")
    job.when("begun", evict)
    outcome = job.run(payload(["echo begun; trap 'echo got TERM' TERM; sleep 6; echo ended"], after=["echo and after"]))
    assert outcome.state == "success", outcome.text
    assert "ended" in outcome.text
    assert "and after" in outcome.text
    assert "got TERM" not in build_output(list(outcome.calls))
    assert "WARNING: the pod goes: EvictionByEvictionAPI" in outcome.text
    assert "it has 60 s left" in outcome.text
    assert outcome.text.index("the pod goes") < outcome.text.index("\nended")


@pytest.mark.alone  # it measures a time
def test_a_pod_that_vanishes_is_a_system_failure_and_later_stages_fail_at_once(
    lab: Lab, runner: Callable[..., Runner]
) -> None:
    job = runner()
    job.when("begun", lambda: lab.kubectl("delete", "pod", "-n", NAMESPACE, only_pod(lab), "--force", "--wait=false"))
    outcome = job.run(payload(["echo begun; sleep 60"], after=["echo never"]))
    assert outcome.reason == "runner_system_failure", outcome.text
    assert f'pods "{"job-101"}' in outcome.text
    assert "not found" in outcome.text
    later = [call for call in outcome.calls if call.script in {"after_script", "cleanup_file_variables"}]
    assert [call.code for call in later] == [2, 2]
    assert min(call.seconds for call in later) < 1


def test_a_canceled_job_ends_its_script_and_runs_after_script(runner: Callable[..., Runner]) -> None:
    job = runner()
    job.when("begun", job.cancel)
    outcome = job.run(
        payload(["echo begun; sleep 61"], after=["echo after $CI_JOB_STATUS", "ps | grep -c '[s]leep 61' || true"])
    )
    assert outcome.reason == "job_canceled", outcome.text
    assert "after canceled" in outcome.text
    assert "\n0\n" in outcome.text
    build = next(call for call in outcome.calls if call.script == "build_script")
    assert build.code == 2
    assert build.seconds < 15


def test_a_script_that_ignores_term_is_killed(runner: Callable[..., Runner]) -> None:
    job = runner(top="cancel_seconds = 1")
    job.when("begun", job.cancel)
    outcome = job.run(payload(["trap '' TERM; echo begun; while :; do sleep 1; done"], after=["echo after"]))
    assert outcome.reason == "job_canceled", outcome.text
    assert "\nafter\n" in outcome.text


def test_a_timeout_is_not_a_success(runner: Callable[..., Runner]) -> None:
    job = runner()
    job.when("begun", job.time_out)
    outcome = job.run(payload(["echo begun; sleep 61"], after=["echo never"]))
    assert outcome.reason == "job_execution_timeout", outcome.text
    assert outcome.stages[-2:] == ["build_script", "cleanup"]


def test_a_driver_that_is_killed_is_a_system_failure(runner: Callable[..., Runner]) -> None:
    job = runner()

    def kill() -> None:
        assert job.process is not None
        job.process.kill()

    job.when("begun", kill)
    outcome = job.run(payload(["echo begun; sleep 61"]))
    assert outcome.reason == "runner_system_failure"


def manager(lab: Lab, settings: Path) -> subprocess.Popen[bytes]:
    """Start a Runner in a process of its own, which can be killed."""
    code = (
        "import sys; from tests.fakes.runner import Runner, payload\n"
        f"Runner({[*lab.inside, sys.executable, '-m', 'executor']!r}, ['--config', {str(settings)!r}], "
        f"environment={{'PYTHONPATH': {str(CHECKOUT)!r}}}).run(payload(['echo begun; sleep 300']))\n"
    )
    return subprocess.Popen([sys.executable, "-c", code], cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": str(CHECKOUT)})


def drivers(stage: str, settings: Path) -> list[int]:
    """Return the process ids of the drivers that run a stage with these settings."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode().split("\0")
        except OSError:
            continue
        if words[-2:-1] == [stage] and str(settings) in words:
            found.append(int(entry.parent.name))
    return found


def test_a_driver_whose_runner_is_gone_deletes_its_pod(lab: Lab, settings_file: Callable[..., Path]) -> None:
    settings = settings_file()
    with manager(lab, settings) as runner:
        wait_for(lambda: drivers("build_script", settings))
        time.sleep(1)
        runner.kill()
    wait_for(lambda: not lab.pods())
    wait_for(lambda: not drivers("build_script", settings))


def test_a_pod_that_no_driver_touches_ends_itself(lab: Lab, settings_file: Callable[..., Path]) -> None:
    settings = settings_file(kubernetes="[budgets]\napi_seconds = 4", top="orphan_after_seconds = 20")
    with manager(lab, settings) as runner:
        wait_for(lambda: drivers("build_script", settings))
        time.sleep(2)
        (driver,) = drivers("build_script", settings)
        os.kill(driver, signal.SIGSTOP)
        runner.kill()
        os.kill(driver, signal.SIGKILL)
    wait_for(lambda: lab.pods()[0]["status"]["phase"] in {"Failed", "Succeeded"})
    lab.kubectl("delete", "pod", "-n", NAMESPACE, only_pod(lab), "--wait=false")
