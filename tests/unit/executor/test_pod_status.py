"""What a new pod's status means: who waits for what, what will never come, and whose fault that is."""

from typing import Any

import pytest

from executor.errors import Unavailable
from executor.pod_status import StartupStep, deletion_reason, progress, read_pod

RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
SCHEDULED = {"type": "PodScheduled", "status": "True"}


def pod(
    build: Any = None, helper: Any = RUNNING, *, conditions: Any = (SCHEDULED,), phase: str = "Pending", **metadata: Any
) -> Any:
    statuses = [{"name": name, "state": state} for name, state in (("build", build), ("helper", helper)) if state]
    document = {
        "metadata": {"name": "p", "uid": "u", "labels": None, **metadata},
        "status": {"phase": phase, "conditions": list(conditions), "containerStatuses": statuses},
    }
    return read_pod(document)


def waiting(reason: str, message: str = "") -> Any:
    return {"waiting": {"reason": reason, "message": message}}


def test_a_pod_is_ready_when_both_containers_run() -> None:
    assert progress(pod(RUNNING)).step is StartupStep.READY
    assert progress(pod(RUNNING, None)).step is StartupStep.ON_NODE, "the status does not tell whether it pulls"
    assert progress(pod(RUNNING, waiting("ContainerCreating"))).step is StartupStep.ON_NODE


def test_the_log_names_the_node_as_soon_as_there_is_one() -> None:
    document = {"spec": {"nodeName": "node-7"}, "status": {"phase": "Pending", "conditions": [SCHEDULED]}}
    assert progress(read_pod(document)).message == "pulling images and starting containers on node node-7"


@pytest.mark.parametrize(("named", "step"), [(True, StartupStep.REFUSED), (False, StartupStep.FAILED)])
def test_an_image_that_is_missing_is_the_failure_of_who_has_named_it(*, named: bool, step: StartupStep) -> None:
    state = progress(pod(waiting("ErrImagePull", "manifest unknown")), job_named_image=named)
    assert (state.step, state.pull_of) == (step, "build")


def test_a_registry_that_is_not_trusted_is_not_the_jobs_failure() -> None:
    state = progress(pod(waiting("ErrImagePull", "x509: certificate signed by unknown authority")))
    assert state.step is StartupStep.FAILED
    assert "do not trust" in state.message


def test_a_pull_and_its_back_off_have_one_message() -> None:
    report = "failed to resolve reference: unexpected status: 503 Service Unavailable"
    first = progress(pod(waiting("ErrImagePull", report)))
    second = progress(pod(waiting("ImagePullBackOff", f'Back-off pulling image "a:1": ErrImagePull: {report}')))
    assert first == second
    assert progress(pod(waiting("ImagePullBackOff", 'Back-off pulling image "a:1"'))).cause == ""


def test_what_the_scheduler_says_is_told_with_what_was_asked() -> None:
    message = "0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available: 3 No preemption victims."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    state = progress(pod(conditions=[condition]), size_text=" (12.0 GiB asked)")
    assert (state.step, state.message) == (
        StartupStep.SCHEDULING,
        "waiting: 0/3 nodes: 3 Insufficient memory (12.0 GiB asked)",
    )


def test_a_pod_that_nobody_has_looked_at_waits_for_the_scheduler() -> None:
    assert progress(read_pod({"metadata": {"name": "p"}, "status": {"phase": "Pending"}})).step is StartupStep.SCHEDULING


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
@pytest.mark.parametrize(
    "message",
    [
        'failed to resolve reference "r.example/a:1": r.example/a:1: not found',
        "manifest unknown",
        "pull access denied, repository does not exist or may require authorization",
        "401 Unauthorized",
        "no match for platform in manifest: not found",
    ],
)
def test_an_image_that_does_not_exist_or_is_denied_is_final_at_once(reason: str, message: str) -> None:
    assert progress(pod(waiting(reason, message))).step is StartupStep.REFUSED
    assert progress(pod(RUNNING, waiting(reason, message))).step is StartupStep.FAILED, (
        "the helper's image is the operator's"
    )


@pytest.mark.parametrize(
    "message",
    [
        "dial tcp 10.0.0.1:443: i/o timeout",
        "dial tcp: lookup r.example: no such host",
        "unexpected EOF",
        "503 Service Unavailable",
        "429 Too Many Requests",
        "net/http: TLS handshake timeout",
        "a wording that nobody knows",
        "",
    ],
)
def test_a_registry_that_does_not_answer_is_waited_for(message: str) -> None:
    assert progress(pod(waiting("ErrImagePull", message))).step is StartupStep.PULLING


@pytest.mark.parametrize("reason", ["InvalidImageName", "ErrImageNeverPull"])
def test_a_name_that_is_none_is_final(reason: str) -> None:
    state = progress(pod(waiting(reason, "couldn't parse image name")))
    assert state.step is StartupStep.REFUSED
    assert state.message.startswith("image pull failed")


@pytest.mark.parametrize("has_entrypoint", [False, True])
def test_an_entrypoint_that_is_not_there_is_the_jobs_failure(*, has_entrypoint: bool) -> None:
    message = 'failed to create task: exec: "/entry": stat /entry: no such file or directory'
    ended = {"terminated": {"reason": "StartError", "exitCode": 128, "message": message}}
    state = progress(pod(ended), has_entrypoint=has_entrypoint)
    assert state.step is StartupStep.REFUSED
    assert "the first program of container build cannot be started" in state.message


@pytest.mark.parametrize(("code", "reason"), [(3, "Error"), (0, "Completed"), (137, "OOMKilled")])
def test_an_entrypoint_that_ends_is_the_jobs_failure_at_once(code: int, reason: str) -> None:
    ended = {"terminated": {"reason": reason, "exitCode": code}}
    for running in ({}, RUNNING):
        state = progress(pod(ended, running), has_entrypoint=True)
        assert state.step is StartupStep.REFUSED
        assert f"entrypoint ended (exit code {code}" in state.message
        assert ("OOMKilled" in state.message) == (reason == "OOMKilled")
    assert progress(pod(ended)).step is StartupStep.FAILED, "without one, it was the driver's own first process"


@pytest.mark.parametrize(
    "message",
    [
        'OCI runtime create failed: runc create failed: exec: "sh": executable file not found in $PATH: unknown',
        'exec: "/entry": stat /entry: no such file or directory: unknown',
        'exec: "/entry": permission denied: unknown',
        "crun: executable file `sh` not found in $PATH: No such file or directory",
        "exec /bin/sh: no such file or directory",
    ],
)
@pytest.mark.parametrize("reason", ["RunContainerError", "CreateContainerError"])
def test_every_runtimes_words_for_a_program_that_is_not_there_are_known(reason: str, message: str) -> None:
    assert progress(pod(waiting(reason, message))).step is StartupStep.REFUSED
    assert progress(pod(RUNNING, waiting(reason, message))).step is StartupStep.FAILED, (
        "the helper's image is the operator's"
    )


@pytest.mark.parametrize(
    "message",
    [
        "failed to create containerd container: stat /var/lib/containerd/snapshots/7: no such file or directory",
        'error mounting "/dev/x" to rootfs at "/x": open /proc/self/fd/7: no such file or directory',
    ],
)
def test_a_nodes_own_missing_file_is_not_the_jobs_failure(message: str) -> None:
    ended = {"terminated": {"reason": "StartError", "exitCode": 128, "message": message}}
    assert progress(pod(ended)).step is StartupStep.FAILED
    assert progress(pod(waiting("CreateContainerError", message))).step is StartupStep.STARTING


RUNC = "OCI runtime create failed: runc create failed: unable to start container process: error during container init: "
IMAGES_OWN = [
    f'{RUNC}error mounting "/x" to rootfs at "/builds": mount /x:/builds (via /proc/self/fd/6): not a directory',
    f"{RUNC}mkdir /etc/passwd: not a directory",
    f'{RUNC}error mounting "/x" to rootfs at "/cache": too many levels of symbolic links',
    f'{RUNC}environment variable name can\'t be empty: "=x"',
    f"{RUNC}Cwd must be an absolute path",
    "mount callback failed on /x: no users found",
    "mount callback failed on /x: read /x/etc/passwd: is a directory",
    "unable to find user nosuch: no matching entries in passwd file",
    "unable to find group nosuch: no matching entries in group file",
    "uids and gids must be in range 0-2147483647",
]  # fmt: skip


@pytest.mark.parametrize("message", IMAGES_OWN)
def test_an_image_that_cannot_be_started_is_the_failure_of_who_has_named_it(message: str) -> None:
    ended = {"terminated": {"reason": "StartError", "exitCode": 128, "message": message}}
    for state in (ended, waiting("CreateContainerError", message), waiting("RunContainerError", message)):
        found = progress(pod(state))
        assert found.step is StartupStep.REFUSED
        assert f"container build cannot be started from its image: {message}" in found.message
        assert progress(pod(state), job_named_image=False).step is StartupStep.FAILED
        assert progress(pod(RUNNING, state)).step is StartupStep.FAILED, "the helper's image is the operator's"


def test_a_build_container_that_does_not_start_beside_the_helper_is_the_images_fault_if_that_lasts() -> None:
    state = progress(pod(waiting("CreateContainerError", "a reason of a later runtime")))
    assert state.step is StartupStep.STARTING
    assert state.lasting is not None
    assert state.lasting.step is StartupStep.REFUSED
    assert "cannot be started from its image: CreateContainerError: a reason of a later runtime" in state.lasting.message
    operators = progress(pod(waiting("CreateContainerError", "odd")), job_named_image=False).lasting
    assert operators is not None
    assert operators.step is StartupStep.FAILED


@pytest.mark.parametrize(
    "message",
    [
        "context deadline exceeded",
        'failed to reserve container name "x": name "x" is reserved for "y"',
        'connection error: desc = "transport: Error while dialing: dial unix /run/containerd.sock"',
        "fork/exec /usr/bin/runc: resource temporarily unavailable",
        "write /var/lib/containerd/x: no space left on device",
        "runc create failed: container init was OOM-killed (memory limit too low?)",
    ],
)
def test_what_a_busy_node_says_is_never_the_images_fault(message: str) -> None:
    assert progress(pod(waiting("CreateContainerError", message))).lasting is None
    assert progress(pod(waiting("CreateContainerError", "odd"), waiting("ContainerCreating"))).lasting is None
    assert progress(pod(RUNNING, waiting("CreateContainerError", "odd"))).lasting is None


def test_a_long_message_keeps_the_reason_at_its_end() -> None:
    ended = {"terminated": {"reason": "StartError", "exitCode": 128, "message": f"failed: {'x' * 900}: the reason"}}
    message = progress(pod(ended)).message
    assert "StartError, exit code 128 failed: xxx" in message
    assert message.endswith("xxx: the reason")
    assert len(message) < 700


def test_a_container_whose_configuration_is_wrong_is_a_system_failure() -> None:
    assert progress(pod(waiting("CreateContainerConfigError", "secret not there"))).step is StartupStep.FAILED


@pytest.mark.parametrize("reason", ["CreateContainerError", "RunContainerError"])
def test_a_container_that_cannot_be_made_is_tried_again(reason: str) -> None:
    state = progress(pod(RUNNING, waiting(reason, "context deadline exceeded")))
    assert state.step is StartupStep.STARTING
    assert f"container helper does not start, trying again: {reason}: context deadline exceeded" in state.message


@pytest.mark.parametrize("document", [None, "pod", [], {"metadata": "x"}, {"status": {"conditions": [7]}}])
def test_what_is_no_pod_is_as_if_there_were_no_answer(document: Any) -> None:
    with pytest.raises(Unavailable, match="an invalid pod"):
        read_pod(document)


def test_a_container_that_ends_before_the_job_begins_is_a_system_failure() -> None:
    state = progress(pod({"terminated": {"reason": "Error", "exitCode": 70}}))
    assert state.step is StartupStep.FAILED
    assert "exit code 70" in state.message


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_is_over_never_gets_ready(phase: str) -> None:
    assert progress(pod(RUNNING, phase=phase)).step is StartupStep.FAILED


def test_a_pod_that_is_told_to_go_says_why_and_how_long() -> None:
    assert deletion_reason(pod(RUNNING)) == ""
    disruption = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": "for a bigger one",
    }
    going = pod(
        RUNNING, conditions=[SCHEDULED, disruption], deletionTimestamp="2026-01-01T00:00:00Z", deletionGracePeriodSeconds=30
    )
    assert deletion_reason(going) == "PreemptionByScheduler: for a bigger one; it has 30 s left"
    assert progress(going).step is StartupStep.FAILED
    assert deletion_reason(pod(RUNNING, deletionTimestamp="2026-01-01T00:00:00Z")) == "it was deleted"


def test_nulls_are_absent() -> None:
    document = {"metadata": {"name": None}, "status": {"containerStatuses": None, "conditions": None, "message": None}}
    assert read_pod(document).status.conditions == []


@pytest.mark.parametrize(
    ("image_id", "digest"),
    [
        ("docker.io/library/debian@sha256:1f", "docker.io/library/debian@sha256:1f"),
        ("docker-pullable://debian@sha256:1f", "debian@sha256:1f"),
        ("sha256:1f", "sha256:1f"),
        ("", ""),
        (None, ""),
    ],
)
def test_the_digest_of_an_image_is_what_the_node_has_pulled(image_id: str | None, digest: str) -> None:
    document = {"status": {"containerStatuses": [{"name": "build", "imageID": image_id}]}}
    assert read_pod(document).image_digest("build") == digest
    assert read_pod(document).image_digest("helper") == ""
