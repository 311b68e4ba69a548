"""One row of the table of failures is one test here (architecture, section 6)."""

from typing import Any

import msgspec
import pytest

from executor.attempt import Attempt, Fate
from executor.counters import Counters
from executor.judge import judge_earlier_loss, judge_loss, judge_script
from executor.pod_status import Pod, read_pod
from executor.settings import Settings, load_settings
from executor.sizes import Size
from executor.stream_state import ScriptEnd
from executor.verdict import Booking

GIB = 1 << 30
ATTEMPT = Attempt(
    pod="job-1-a", namespace="n", uid="u", size=Size(memory_request_bytes=8 * GIB, memory_limit_bytes=12 * GIB)
)


def settings(cap: str = "24Gi", kill: str = "build") -> Settings:
    base = load_settings(None)
    kubernetes = msgspec.structs.replace(base.kubernetes, memory_limit_overwrite_max_allowed=cap)
    return msgspec.structs.replace(base, kubernetes=kubernetes, memory=msgspec.structs.replace(base.memory, kill=kill))


def test_a_kill_announces_the_next_rung_of_the_size_table() -> None:
    sized = msgspec.structs.replace(ATTEMPT, ladder_memory_bytes=[14 * GIB, 22 * GIB])
    verdict = judge_script(end(1, kills=1), stage="step_script", container="build", attempt=sized, settings=settings())
    assert "A retry of this job gets 14.0 GiB" in verdict.error
    lost = pod("Failed", exitCode=137, reason="OOMKilled")
    dead = judge_loss(lost, stage="step_script", container="build", attempt=sized, settings=settings())
    assert "A retry of this job gets 14.0 GiB" in dead.error


def end(code: int, kills: int = 0, *, whole: bool = True, signal: int = 0) -> ScriptEnd:
    after = Counters(memory_kills=3 + kills, peak_bytes=12 * GIB, limit_bytes=12 * GIB)
    before = Counters(memory_kills=3)
    return ScriptEnd(exit_code=code, signal=signal, before=before, after=after, working_set_peak_bytes=0, log_is_whole=whole)


def pod(phase: str = "Running", why: str = "", message: str = "", **container: Any) -> Pod:
    status: dict[str, Any] = {"phase": phase, "reason": why, "message": message}
    if container:
        name = container.pop("name", "build")
        status["containerStatuses"] = [{"name": name, "state": {"terminated": container}}]
    return read_pod({"metadata": {"name": "job-1-a", "uid": "u"}, "status": status})


@pytest.mark.parametrize("code", [1, 2, 42, 100, 137, 255])
def test_a_script_that_ends_with_n_is_booked_with_n(code: int) -> None:
    verdict = judge_script(end(code), stage="build_script", container="build", attempt=ATTEMPT, settings=settings())
    assert (verdict.booking, verdict.exit_code, verdict.error) == (Booking.BUILD_FAILURE, code, "")


@pytest.mark.parametrize(
    ("code", "signal", "kills", "words"),
    [
        (137, 9, 0, "the script killed its own container's processes"),
        (137, 0, 0, ""),  # `exit 137`, or that of a child
        (143, 15, 0, ""),
        (137, 9, 1, "killed for memory"),
    ],
)
def test_a_shell_that_is_killed_is_the_scripts_doing_unless_memory_was_short(
    code: int, signal: int, kills: int, words: str
) -> None:
    seen = end(code, kills, signal=signal)
    verdict = judge_script(seen, stage="build_script", container="build", attempt=ATTEMPT, settings=settings())
    assert (verdict.booking, verdict.exit_code) == (Booking.BUILD_FAILURE, code)
    assert words in verdict.error
    assert bool(verdict.error) == bool(words)
    assert (verdict.memory_killed_at_bytes is None) == (not kills)


@pytest.mark.parametrize(
    ("process", "code", "booking"),
    [(1, 137, Booking.SYSTEM_FAILURE), (7, 137, Booking.BUILD_FAILURE), (7, 0, Booking.BUILD_FAILURE)],
)
def test_a_container_that_is_killed_below_an_entrypoint_is_the_scripts_doing(
    process: int, code: int, booking: Booking
) -> None:
    """The kernel protects process 1 alone from the container's own signals."""
    attempt = msgspec.structs.replace(ATTEMPT, first_process=process)
    ended = pod(reason="Error", exitCode=code)
    verdict = judge_loss(ended, stage="build_script", container="build", attempt=attempt, settings=settings())
    assert verdict.booking is booking
    assert verdict.build_dead
    assert ("killed its own container's processes" in verdict.error) == (booking is Booking.BUILD_FAILURE)


def test_a_script_that_ends_with_0_has_succeeded_even_if_a_child_was_killed() -> None:
    verdict = judge_script(end(0, 1), stage="build_script", container="build", attempt=ATTEMPT, settings=settings())
    assert verdict.booking is Booking.SUCCESS
    assert "a process was killed for memory" in verdict.warning
    assert verdict.memory_killed_at_bytes is None


def test_a_child_killed_for_memory_and_a_failing_script_make_137() -> None:
    verdict = judge_script(end(2, 2), stage="build_script", container="build", attempt=ATTEMPT, settings=settings())
    assert (verdict.booking, verdict.exit_code, verdict.memory_killed_at_bytes) == (Booking.BUILD_FAILURE, 137, 12 * GIB)
    assert verdict.error == (
        "command terminated with exit code 137: 2 processes were killed for memory "
        "(limit 12.0 GiB, peak 12.0 GiB, request 8.0 GiB); "
        "the script itself ended with 2. A retry of this job gets 18.0 GiB (retry: exit_codes: [137]); "
        "or raise KUBERNETES_MEMORY_LIMIT"
    )


def test_the_policy_retry_is_a_system_failure_only_while_a_bigger_size_is_left() -> None:
    bigger = judge_script(
        end(2, 1), stage="build_script", container="build", attempt=ATTEMPT, settings=settings(kill="retry")
    )
    assert (bigger.booking, bigger.memory_killed_at_bytes) == (Booking.SYSTEM_FAILURE, 12 * GIB)
    last = judge_script(
        end(2, 1), stage="build_script", container="build", attempt=ATTEMPT, settings=settings("12Gi", "retry")
    )
    assert (last.booking, last.exit_code) == (Booking.BUILD_FAILURE, 137)


_RETRY = "A retry of this job gets 18.0 GiB (retry: exit_codes: [137])"


@pytest.mark.parametrize(
    ("limit_cap", "request_cap", "limit", "advice"),
    [
        ("24Gi", "", 12 * GIB, f"{_RETRY}; or raise KUBERNETES_MEMORY_LIMIT"),
        ("", "24Gi", 12 * GIB, _RETRY),  # without its own cap the variable is ignored
        (
            "12Gi",
            "",
            12 * GIB,
            "A job cannot have more: ask the operator to raise kubernetes.memory_limit_overwrite_max_allowed",
        ),
        ("", "", 12 * GIB, "Ask the operator for a larger kubernetes.memory_limit"),
        ("", "24Gi", None, "No limit is set, so the node itself ran out of memory: raise KUBERNETES_MEMORY_REQUEST"),
        (
            "24Gi",
            "",
            None,
            "No limit is set, so the node itself ran out of memory: ask the operator for a larger kubernetes.memory_request",
        ),
    ],
)  # fmt: skip
def test_what_to_do_after_a_memory_kill_is_what_helps(
    limit_cap: str, request_cap: str, limit: int | None, advice: str
) -> None:
    base = settings(limit_cap)
    kubernetes = msgspec.structs.replace(base.kubernetes, memory_request_overwrite_max_allowed=request_cap)
    attempt = msgspec.structs.replace(ATTEMPT, size=Size(memory_limit_bytes=limit))
    seen = ScriptEnd(
        exit_code=2,
        before=Counters(),
        after=Counters(memory_kills=1, limit_bytes=limit),
        working_set_peak_bytes=0,
        log_is_whole=True,
    )
    verdict = judge_script(
        seen,
        stage="build_script",
        container="build",
        attempt=attempt,
        settings=msgspec.structs.replace(base, kubernetes=kubernetes),
    )
    assert verdict.error.endswith(f"the script itself ended with 2. {advice}")
    assert "peak" not in verdict.error, "a peak that is not known is no 0 MiB"


def test_a_kill_far_below_the_limit_is_the_nodes() -> None:
    after = Counters(memory_kills=1, peak_bytes=2 * GIB, limit_bytes=12 * GIB)
    seen = ScriptEnd(exit_code=2, before=Counters(), after=after, working_set_peak_bytes=0, log_is_whole=True)
    verdict = judge_script(seen, stage="build_script", container="build", attempt=ATTEMPT, settings=settings())
    assert verdict.error.endswith(
        "The script stayed far below its limit, so the node itself ran out of memory: "
        "ask the operator for a larger kubernetes.memory_request"
    )


def test_a_peak_is_not_above_its_limit() -> None:
    after = Counters(memory_kills=1, peak_bytes=12 * GIB + 4096 * 300, limit_bytes=12 * GIB)
    seen = ScriptEnd(exit_code=2, before=Counters(), after=after, working_set_peak_bytes=0, log_is_whole=True)
    verdict = judge_script(seen, stage="build_script", container="build", attempt=ATTEMPT, settings=settings())
    assert "limit 12.0 GiB, peak 12.0 GiB" in verdict.error


def test_a_helper_killed_for_memory_is_a_system_failure_that_names_the_setting() -> None:
    verdict = judge_script(end(1, 1), stage="archive_cache", container="helper", attempt=ATTEMPT, settings=settings())
    assert verdict.booking is Booking.SYSTEM_FAILURE
    assert "kubernetes.helper_memory_limit" in verdict.error


def test_a_log_that_is_not_whole_is_told() -> None:
    verdict = judge_script(
        end(0, whole=False), stage="build_script", container="build", attempt=ATTEMPT, settings=settings()
    )
    assert "lost" in verdict.warning


def loss(found: Pod | None, *, container: str = "build", kill: str = "build") -> Any:
    return judge_loss(found, stage="build_script", container=container, attempt=ATTEMPT, settings=settings(kill=kill))


def test_a_pod_that_is_gone_is_a_system_failure() -> None:
    verdict = loss(None)
    assert verdict.booking is Booking.SYSTEM_FAILURE
    assert 'pods "job-1-a" not found' in verdict.error
    assert "node no longer exists" in verdict.error
    assert verdict.lost


@pytest.mark.parametrize(
    ("reason", "message", "words"),
    [
        ("Evicted", "The node was low on resource: memory.", "The node was low on resource"),
        ("Preempting", "Preempted in order to admit critical pod", "Preempted in order"),
        ("NodeShutdown", "", "Pod was terminated in response to imminent node shutdown"),
        ("Terminated", "Pod was terminated in response to imminent node shutdown.", "imminent node shutdown."),
        ("NodeLost", "Node x which was running pod is unresponsive", "unresponsive"),
        ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline", "deadline"),
        ("", "", "it was deleted"),
    ],
)
def test_a_pod_that_the_cluster_took_away_is_a_system_failure_with_its_cause(reason: str, message: str, words: str) -> None:
    verdict = loss(pod("Failed", reason, message, exitCode=137, reason="Error"))
    assert verdict.booking is Booking.SYSTEM_FAILURE
    assert 'pod "job-1-a" status is "Failed"' in verdict.error
    assert words in verdict.error
    assert verdict.lost


@pytest.mark.parametrize(
    "message",
    [
        "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi.",
        'Container build exceeded its local ephemeral storage limit "1Gi".',
        'Usage of EmptyDir volume "builds" exceeds the limit "1Gi".',
    ],
)
def test_a_pod_that_passed_its_own_disk_limit_is_the_jobs_failure(message: str) -> None:
    verdict = loss(pod("Failed", "Evicted", message))
    assert (verdict.booking, verdict.exit_code) == (Booking.BUILD_FAILURE, 137)
    assert "disk" in verdict.error
    assert verdict.lost


def test_a_build_container_killed_for_memory_in_a_living_pod_makes_137_and_leaves_the_helper() -> None:
    verdict = loss(pod(exitCode=137, reason="OOMKilled"))
    assert (verdict.booking, verdict.exit_code, verdict.lost) == (Booking.BUILD_FAILURE, 137, "")
    assert verdict.build_dead
    assert loss(pod(exitCode=137, reason="OOMKilled"), kill="retry").booking is Booking.SYSTEM_FAILURE


def test_a_build_container_that_ended_for_unknown_reasons_is_a_system_failure() -> None:
    verdict = loss(pod(exitCode=137, reason="Error"))
    assert verdict.booking is Booking.SYSTEM_FAILURE
    assert verdict.build_dead
    assert "Error, exit code 137" in verdict.error


def test_a_helper_that_ended_is_a_system_failure_for_every_later_stage() -> None:
    verdict = loss(pod(name="helper", exitCode=137, reason="OOMKilled"), container="helper")
    assert verdict.booking is Booking.SYSTEM_FAILURE
    assert "kubernetes.helper_memory_limit" in verdict.error
    assert verdict.lost


def test_later_stages_fail_at_once_by_what_is_gone() -> None:
    def earlier(attempt: Attempt, stage: str, container: str) -> Booking | None:
        verdict = judge_earlier_loss(attempt, stage=stage, container=container)
        return verdict.booking if verdict else None

    lost = msgspec.structs.replace(ATTEMPT, fate=Fate(lost="gone"))
    dead = msgspec.structs.replace(ATTEMPT, fate=Fate(build_dead="dead"))
    assert earlier(ATTEMPT, "after_script", "build") is None
    assert earlier(lost, "upload_artifacts_on_failure", "helper") is Booking.SYSTEM_FAILURE
    assert earlier(dead, "after_script", "build") is Booking.BUILD_FAILURE
    assert earlier(dead, "step_release", "build") is Booking.SYSTEM_FAILURE
    assert earlier(dead, "upload_artifacts_on_failure", "helper") is None


@pytest.mark.parametrize("reason", ["Evicted", "NodeLost"])
def test_what_is_kept_of_a_lost_pods_own_words_is_bounded(reason: str) -> None:
    words = "usage exceeds ephemeral storage " * 100_000
    lost = pod("Failed", reason, words)
    verdict = judge_loss(lost, stage="build_script", container="build", attempt=ATTEMPT, settings=settings())
    assert "usage exceeds ephemeral storage" in verdict.lost
    assert len(verdict.lost) < 1200
