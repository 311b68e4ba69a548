import pytest

from executor.build_stage import HELPER_STAGES, container_of, is_build_script, is_user_script, only_deletes_files

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
    deciding = {stage for stage in STAGES if is_user_script(stage)}
    assert deciding == {"step_script", "build_script", "step_release", "a_stage_of_a_later_runner"}
    assert {stage for stage in STAGES if is_build_script(stage)} == {"step_script", "build_script"}


def test_only_the_cleanup_of_file_variables_can_be_left_to_the_deletion_of_the_pod() -> None:
    assert {stage for stage in STAGES if only_deletes_files(stage)} == {"cleanup_file_variables"}
