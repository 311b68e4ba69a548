"""Memory kills as the kernel makes them, and what GitLab is told: R9."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.runner import Runner, payload
from tests.labs.cluster.jobs import EATER, SMALL, job_named
from tests.labs.cluster.lab import NAMESPACE, ClusterLab


def test_a_child_that_the_kernel_kills_makes_137_and_the_next_attempt_gets_more(runner: Callable[..., Runner]) -> None:
    info = job_named("killed child")
    outcome = runner(SMALL).run(payload([f"{EATER} || exit 3"], job_info=info))
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 137), outcome.text
    assert "command terminated with exit code 137: a process was killed for memory (limit 64 MiB, peak" in outcome.text
    assert "the script itself ended with 3" in outcome.text
    assert "A retry of this job gets 96 MiB" in outcome.text

    again = runner(SMALL).run(payload(["true"], job_info=info, id=102))
    assert again.state == "success", again.text
    assert "memory raised to 96 MiB: an earlier attempt of this job was killed at 64 MiB" in again.text


def test_a_kill_by_the_kernel_that_the_script_survives_is_a_success_with_a_warning(runner: Callable[..., Runner]) -> None:
    outcome = runner(SMALL).run(payload([f"{EATER} || true"], job_info=job_named("survivor")))
    assert outcome.state == "success", outcome.text
    assert "WARNING: a process was killed for memory in this script" in outcome.text


def test_the_policy_retry_makes_the_kernels_kill_a_system_failure_while_a_bigger_size_is_left(
    runner: Callable[..., Runner],
) -> None:
    info = job_named("retry")
    retry = f'{SMALL.replace("128Mi", "96Mi")}\n[memory]\nkill = "retry"'
    first = runner(retry).run(payload([EATER], job_info=info))
    assert first.reason == "runner_system_failure", first.text
    assert "The next attempt gets 96 MiB" in first.text
    second = runner(retry).run(payload([EATER], job_info=info, id=102))
    assert (second.reason, second.exit_code) == ("script_failure", 137), second.text


def kill_first_process(lab: ClusterLab, pod: dict[str, object]) -> None:
    """Kill the first process of the build container from outside, as the kernel does where it kills whole containers."""
    assert lab.cluster is not None
    uid = str(pod["metadata"]["uid"])  # type: ignore[index]
    for procs in Path("/sys/fs/cgroup").glob(f"**/{lab.cluster.home.name}/**/pod{uid}/*/cgroup.procs"):
        for process in procs.read_text().split():
            status = Path(f"/proc/{process}/status").read_text()
            command = Path(f"/proc/{process}/cmdline").read_bytes()
            inner = next(line.split()[-1] for line in status.splitlines() if line.startswith("NSpid"))
            if inner == "1" and b"agent\0start\0/.spack-farm-agent/build" in command:
                os.kill(int(process), signal.SIGKILL)
                return


def test_a_dead_build_container_is_told_and_artifacts_are_still_uploaded(
    lab: ClusterLab, runner: Callable[..., Runner]
) -> None:
    if lab.cluster is None:
        pytest.skip("the cluster is not ours to break")
    job = runner(SMALL)
    job.when("\neaten\n", lambda: kill_first_process(lab, lab.pods()[0]))
    artifacts = [{"name": "a", "paths": ["kept"], "when": "always"}]
    script = ["echo precious >kept", f"{EATER} || true; echo eaten; sleep 60"]
    outcome = job.run(payload(script, after=["echo never"], artifacts=artifacts, job_info=job_named("dead")))
    assert (outcome.reason, outcome.exit_code) == ("script_failure", 137), outcome.text
    assert "the build container was killed for memory (limit 64 MiB)" in outcome.text
    assert "eaten" in outcome.text
    after = next(call for call in outcome.calls if call.script == "after_script")
    assert after.stdout.decode().count("\n") == 1
    assert next(call.code for call in outcome.calls if call.script == "upload_artifacts_on_failure") == 0


def test_a_job_above_its_cap_is_lowered_and_says_so(lab: ClusterLab, runner: Callable[..., Runner]) -> None:
    job = runner('memory_request_overwrite_max_allowed = "64Mi"\ncpu_request_overwrite_max_allowed = "100m"')
    seen: list[str] = []
    fields = "jsonpath={.items[0].spec.containers[0].resources.requests}"
    job.when("begun", lambda: seen.append(lab.kubectl("get", "pods", "-n", NAMESPACE, "-o", fields)))
    wishes = {"KUBERNETES_MEMORY_REQUEST": "1G", "KUBERNETES_CPU_REQUEST": "50m"}
    outcome = job.run(payload(["echo begun; sleep 2"], variables=wishes))
    assert outcome.state == "success", outcome.text
    assert '"MemoryRequest" 1G is higher than allowed and was lowered to 64Mi' in outcome.text
    assert '"CPURequest" overwritten with "50m"' in outcome.text
    assert seen == ['{"cpu":"50m","memory":"64Mi"}']
