import pytest

from executor.pod_agent import HELPER_STAGES, container_of, first_process, is_build_script, is_user_script

# The Runner's own table: gitlab-runner 19.4 common/build_stage.go, and `Predefined` in shells/abstract.go.
STAGES = {
    "prepare_script": "helper",
    "get_sources": "helper",
    "clear_worktree": "helper",
    "restore_cache": "helper",
    "download_artifacts": "helper",
    "step_script": "build",
    "build_script": "build",
    "step_release": "build",
    "after_script": "build",
    "archive_cache": "helper",
    "archive_cache_on_failure": "helper",
    "upload_artifacts_on_success": "helper",
    "upload_artifacts_on_failure": "helper",
    "cleanup_file_variables": "helper",
    "a_stage_of_a_later_runner": "build",
}


@pytest.mark.parametrize(("stage", "container"), STAGES.items())
def test_each_stage_has_its_container_and_unknown_ones_run_in_the_builds(stage: str, container: str) -> None:
    assert container_of(stage) == container


def test_no_helper_stage_is_unknown_to_the_runner() -> None:
    assert {stage for stage, container in STAGES.items() if container == "helper"} == HELPER_STAGES


def test_what_decides_the_jobs_fate_are_the_users_scripts_but_the_last() -> None:
    told = {stage for stage in STAGES if is_user_script(stage)}
    assert told == {"step_script", "build_script", "step_release", "a_stage_of_a_later_runner"}
    assert {stage for stage in STAGES if is_build_script(stage)} == {"step_script", "build_script"}


def test_the_programs_in_a_pod_fit_in_a_command_line_and_hold_no_comments() -> None:
    """Linux takes at most 128 KiB in one argument; etcd at most 1.5 MiB in an object."""
    words = first_process("build", orphan_after_seconds=900)
    assert max(map(len, words)) < 64 << 10
    assert not [line for word in words for line in word.splitlines() if line.lstrip().startswith("#")]
