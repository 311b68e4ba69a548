"""The Runner's build stages: in which container each runs, and what the job depends on.

Source: gitlab-runner common/build_stage.go, shells/abstract.go.
"""

# Stages that need git and gitlab-runner, not the job's image (`Predefined`); all others run in the build container.
HELPER_STAGES = frozenset({
    "prepare_script",
    "get_sources",
    "clear_worktree",
    "restore_cache",
    "download_artifacts",
    "archive_cache",
    "archive_cache_on_failure",
    "upload_artifacts_on_success",
    "upload_artifacts_on_failure",
    "cleanup_file_variables",
})  # fmt: skip


def container_of(stage: str) -> str:
    """Return the container in which a stage's script runs."""
    return "helper" if stage in HELPER_STAGES else "build"


def is_user_script(stage: str) -> bool:
    """Return whether the job's result depends on the stage's script: no helper's and not after_script, which may fail."""
    return stage not in HELPER_STAGES and stage != "after_script"


def is_build_script(stage: str) -> bool:
    """Return whether the stage is the job's `script:`, which an attempt's document is about."""
    return stage in {"build_script", "step_script"}


def only_deletes_files(stage: str) -> bool:
    """Return whether the stage only deletes what is deleted with the pod's volumes: without a later stage it is needless.

    Source: gitlab-runner shells/abstract.go, `writeCleanupScript`: file variables, and what job cleanup removes.
    """
    return stage == "cleanup_file_variables"
