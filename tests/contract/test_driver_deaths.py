"""Clause: a signal at any point of a call, or a bug in it, is never booked as the job's failure and leaves no pod.

At chosen calls of the API, which the fake cluster can hold; what any cluster can show is in runner/test_deaths.py.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fakes.kube.server import FakeCluster
from tests.fakes.runner_process import runner_process
from tests.labs.backends.lab import ContractLab, codes, running
from tests.labs.waiting import is_alive, wait_until
from tests.labs.warm_processes import runtime_folder

CHECKOUT = Path(__file__).resolve().parents[2]
PODS = "/api/v1/namespaces/default/pods"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(
    "points",
    [
        [(f"POST {PODS}$", False), (f"POST {PODS}$", True)],
        [(f"GET {PODS}$", False), (f"GET {PODS}/[^/]+/log$", False)],
    ],
    ids=["making", "waiting"],
)
def test_a_prepare_that_ends_at_any_call_is_repeated(
    lab: ContractLab, cluster: FakeCluster, number: signal.Signals, points: list[tuple[str, bool]]
) -> None:
    """Before the pod is made, after it while nobody knows, while it starts, while its facts are asked: twice, then none."""
    runner = lab.runner()

    def end() -> None:
        process = running(runner)
        process.send_signal(number)
        process.wait(60)  # the answer comes too late

    cluster.images.by_name["localhost/busybox:1"].start_delay_seconds = 0.5
    faults = [cluster.faults.add(pattern, after=after, action=end) for pattern, after in points]
    outcome = runner.run(lab.job(["true"]))
    assert outcome.state == "success", outcome.text
    assert [fault.seen for fault in faults] == [1, 1]
    assert codes(outcome, "prepare") == [2 if number is signal.SIGTERM else -number] * 2 + [0]
    assert codes(outcome, "cleanup") == [0] * 3


def test_a_prepare_whose_runner_is_gone_while_it_waits_takes_its_pod_away(lab: ContractLab, cluster: FakeCluster) -> None:
    """It has nothing to print, so no broken pipe tells it."""
    cluster.kubelet.unschedulable = "0/3 nodes are available: 3 Insufficient memory."
    with runner_process(lab.runner(), lab.job(["echo never"]), when="waiting: 0/3 nodes") as (process, driver):
        process.kill()
        process.wait()
        cluster.end_watches()
        wait_until(lambda: not cluster.pods())
        wait_until(lambda: not is_alive(driver))


def test_a_prepare_whose_runner_is_gone_by_its_end_takes_its_pod_away(lab: ContractLab, cluster: FakeCluster) -> None:
    cluster.images.by_name["localhost/busybox:1"].start_delay_seconds = 2
    with runner_process(lab.runner(), lab.job(["echo never"]), when="Preparing pod ") as (process, driver):
        process.kill()
        process.wait()
        wait_until(lambda: not is_alive(driver))
        wait_until(lambda: not cluster.pods())


def test_a_pod_whose_cleanup_was_killed_ends_itself(lab: ContractLab, cluster: FakeCluster) -> None:
    runner = lab.runner("[budgets]\napi_seconds = 3", top="orphan_after_seconds = 15")
    cluster.faults.add(f"DELETE {PODS}/", action=lambda: running(runner).kill())
    # the call's work may see the broken connection before it sees that the call is gone, and ask again
    cluster.faults.add(f"DELETE {PODS}/", times=1_000)
    job = lab.job(["true"])
    outcome = runner.run(job)
    assert outcome.state == "success", outcome.text
    assert codes(outcome, "cleanup") == [-signal.SIGKILL]
    assert lab.phases(job["id"]) == ["Running"]
    wait_until(lambda: lab.phases(job["id"]) == ["Failed"])
    lab.remove(job["id"])


def test_term_in_cleanup_is_told_and_the_deletion_is_not_taken_for_done(lab: ContractLab, cluster: FakeCluster) -> None:
    runner = lab.runner()
    cluster.faults.add(f"DELETE {PODS}/", code=503, action=lambda: running(runner).terminate())
    job = lab.job(["true"])
    outcome = runner.run(job)
    assert outcome.state == "success", outcome.text
    assert codes(outcome, "cleanup") == [2]
    assert "WARNING: Cleanup script failed" in outcome.text
    lab.remove(job["id"])


def test_term_is_never_booked_as_the_jobs_failure_whenever_it_comes(lab: ContractLab, cluster: FakeCluster) -> None:
    """Python's own exit code for what escapes is 1."""
    for delay_seconds in (0.0, 0.1, 0.2, 0.4, 0.8):
        runner = lab.runner()

        def end(delay_seconds: float = delay_seconds) -> None:
            time.sleep(delay_seconds)
            running(runner).terminate()  # noqa: B023 (it has ended by the next round)

        runner.when("Using Custom executor", end)
        outcome = runner.run(lab.job(["true"]))
        assert {call.code for call in outcome.calls} <= {0, 2, -signal.SIGTERM}, outcome.text
        left = [pod for pod in cluster.pods() if "deletionTimestamp" not in pod["metadata"]]
        assert not left or codes(outcome, "cleanup") != [0], "only a cleanup that was ended itself may leave its pod"
        for pod in left:
            cluster.kubelet.delete(pod["metadata"]["name"], grace_seconds=0)


def test_a_lost_pod_costs_later_stages_no_command_in_it(lab: ContractLab, cluster: FakeCluster) -> None:
    """So they fail in the time that the driver needs to start, whatever the API server is doing."""
    runner, job = lab.runner(), lab.job(["echo begun; sleep 60"], after=["echo never"])
    runner.when("\nbegun\n", lambda: lab.remove(job["id"]))
    outcome = runner.run(job)
    assert outcome.reason == "runner_system_failure", outcome.text
    assert outcome.call("after_script").code == 2
    asked = " ".join(word for command in cluster.commands for word in command)
    assert "build_script-" in asked
    assert "after_script-" not in asked
    assert "cleanup_file_variables-" not in asked


def by_hand(folder: Path, verb: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Call the local backend's driver outside of any Runner."""
    settings = folder / "settings.toml"
    settings.write_text(f'backend = "local"\nbuilds_dir = "{folder}/builds"\ncache_dir = "{folder}/cache"\n')
    (folder / "response.json").write_text('{"id": 1, "services": [{"name": "x"}], "image": {"name": "x"}}')
    environment = {
        "PATH": os.environ["PATH"],
        "XDG_RUNTIME_DIR": str(runtime_folder()),
        "PYTHONPATH": str(CHECKOUT),
        "TMPDIR": str(folder),
        "JOB_RESPONSE_FILE": str(folder / "response.json"),
        "BUILD_EXIT_CODE_FILE": str(folder / "build_exit_code"),
        **variables,
    }
    argv = [sys.executable, "-m", "executor", verb, "--config", str(settings), *words]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.parametrize(("variables", "code"), [({}, 2), ({"SYSTEM_FAILURE_EXIT_CODE": "7"}, 7)])
def test_a_bug_is_a_system_failure_with_its_traceback(tmp_path: Path, variables: dict[str, str], code: int) -> None:
    (tmp_path / "attempt.json").write_text("no JSON")
    done = by_hand(tmp_path, "run", "/dev/null", "build_script", **variables)
    assert done.returncode == code
    assert "ERROR: unexpected, please report:\nTraceback" in done.stdout
    assert not (tmp_path / "build_exit_code").exists()


def test_a_build_failure_has_the_runners_own_code_and_a_fresh_exit_code_file(tmp_path: Path) -> None:
    (tmp_path / "build_exit_code").write_text("42\nstale")
    done = by_hand(tmp_path, "prepare", BUILD_FAILURE_EXIT_CODE="5")
    assert done.returncode == 5, done.stdout
    assert (tmp_path / "build_exit_code").read_text() == "5\n"


def test_a_runner_without_an_exit_code_file_gets_the_code_alone(tmp_path: Path) -> None:
    """Before 17.9 there was none."""
    assert by_hand(tmp_path, "prepare", BUILD_EXIT_CODE_FILE="").returncode == 1


@pytest.mark.parametrize("missing", ["TMPDIR", "JOB_RESPONSE_FILE"])
def test_a_call_outside_of_a_runner_is_a_system_failure_that_names_what_is_missing(tmp_path: Path, missing: str) -> None:
    done = by_hand(tmp_path, "prepare", **{missing: ""})
    assert done.returncode == 2
    assert f"{missing} is not set" in done.stdout


def test_a_wrong_command_line_is_a_system_failure(tmp_path: Path) -> None:
    assert by_hand(tmp_path, "run").returncode == 2
    assert by_hand(tmp_path, "perpare").returncode == 2


def test_cleanup_of_an_attempt_that_never_began_has_nothing_to_do(tmp_path: Path) -> None:
    done = by_hand(tmp_path, "cleanup")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
