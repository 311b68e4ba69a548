"""What stands before the Runner's scripts in the helper: umask, owner, and git's trust, by stage and flag."""

import pytest

from executor.helper_prelude import DISABLE_UMASK, helper_prelude

JOB = {"CI_PROJECT_DIR": "/builds/grp/it's mine"}


def lines(stage: str, **variables: str) -> str:
    return helper_prelude(stage, JOB | variables, builds_dir="/builds").decode()


@pytest.mark.parametrize("stage", ["get_sources", "restore_cache", "upload_artifacts_on_success", "a_new_stage"])
def test_git_of_the_helper_works_on_files_of_the_jobs_user(stage: str) -> None:
    assert "GIT_CONFIG_KEY_0=safe.directory" in lines(stage)


def test_only_sources_are_given_to_the_jobs_user_and_their_path_is_quoted() -> None:
    assert "trap 'spack_farm_give" in lines("get_sources")
    assert "'/builds/grp/it'\"'\"'s mine'/.git" in lines("get_sources")
    assert "trap" not in lines("restore_cache")
    assert "trap" not in helper_prelude("get_sources", {}, builds_dir="/builds").decode(), "it is not known where they are"


def test_the_umask_is_the_images_own_only_if_the_job_asks_for_it() -> None:
    asked = {DISABLE_UMASK: "true"}
    assert "umask" not in lines("get_sources")
    assert "umask" not in lines("get_sources", **{DISABLE_UMASK: "false"})
    assert "umask 022\n" in lines("restore_cache", **asked)
    assert "/builds/.gitlab-build-uid-gid" in lines("get_sources", **asked)
    assert "/builds/.gitlab-build-uid-gid" not in lines("restore_cache", **asked)
