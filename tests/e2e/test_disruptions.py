"""What can only happen to a real cluster: connections cut below TLS, a control plane that restarts; R7, R11, R18."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.runner import Runner, payload
from tests.labs.checkout import ROOT
from tests.labs.cluster.cluster import Cluster
from tests.labs.cluster.lab import NAMESPACE, ClusterLab
from tests.labs.waiting import wait_until

NUMBERS = [str(number) for number in range(1, 201)]
ITS_LINE = "a line of the image"
COUNT = "i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo $i; sleep 0.03; done"


def own_cluster(lab: ClusterLab) -> Cluster:
    if lab.cluster is None:
        pytest.skip("the cluster is not ours to break")
    return lab.cluster


def only_pod(lab: ClusterLab) -> str:
    (pod,) = lab.pods()
    return str(pod["metadata"]["name"])


def build_output(outcome_calls: list[object]) -> list[str]:
    """Return the build script's own lines, without its echoed commands and the driver's line of figures."""
    call = next(call for call in outcome_calls if getattr(call, "script", "") == "build_script")
    lines = getattr(call, "stdout", b"").decode().splitlines()
    return [line for line in lines if not line.startswith(("$ ", "used ", "WARNING: "))]


def test_connections_that_are_cut_lose_and_double_nothing(
    lab: ClusterLab, runner: Callable[..., Runner], tmp_path: Path
) -> None:
    own_cluster(lab)
    kubeconfig = tmp_path / "cut.kubeconfig"
    kubeconfig.write_text(lab.kubeconfig.read_text().replace(":16443", ":17443"))
    argv = [*lab.inside, sys.executable, str(ROOT / "tests/labs/cluster/cutter.py"), "17443", "16443"]
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
        # Its environment makes bash read a file that prints a line, and end at unset variables.
        outcome = job.run(payload([COUNT, "exit 9"], image={"name": "localhost/hostile:1", "entrypoint": [""]}))
        over.set()
        cutter.kill()
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 9), outcome.text
    output = build_output(list(outcome.calls))
    assert output[0] == ITS_LINE
    assert [line for line in output if line != ITS_LINE] == NUMBERS


@pytest.mark.alone
@pytest.mark.parametrize("component", ["apiserver", "kubelet"])
def test_a_restart_of_the_control_plane_loses_nothing(
    lab: ClusterLab, runner: Callable[..., Runner], component: str
) -> None:
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


@pytest.mark.alone  # it measures a time
def test_later_stages_of_a_lost_pod_fail_within_a_second(lab: ClusterLab, runner: Callable[..., Runner]) -> None:
    job = runner()
    job.when("begun", lambda: lab.kubectl("delete", "pod", "-n", NAMESPACE, only_pod(lab), "--force", "--wait=false"))
    outcome = job.run(payload(["echo begun; sleep 60"], after=["echo never"]))
    later = [call for call in outcome.calls if call.script in {"after_script", "cleanup_file_variables"}]
    assert [call.code for call in later] == [2, 2], outcome.text
    assert min(call.seconds for call in later) < 1


@pytest.mark.alone  # it measures a time
def test_a_finished_pod_is_off_its_node_within_three_seconds(lab: ClusterLab, runner: Callable[..., Runner]) -> None:
    """Counted from the end of cleanup; the API server forgets a pod once the kubelet has ended all of it."""

    def seconds_after_a_job() -> float:
        outcome = runner().run(payload(["true"]))
        assert outcome.state == "success", outcome.text
        ended = time.monotonic()
        wait_until(lambda: not lab.pods())
        return time.monotonic() - ended

    assert min(seconds_after_a_job() for _ in range(3)) < 3
