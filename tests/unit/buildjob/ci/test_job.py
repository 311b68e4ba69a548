"""The variables of a job become one value, or are rejected by their names."""

from pathlib import Path

import pytest

from buildjob.ci.job import CIJob, key_of, read_job
from buildjob.errors import RequestError

HASH = "2dvny7rbjykn6r4z7xccz2ivo2d77fik"


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """A job as `spack ci generate` writes it."""
    environment = tmp_path / "jobs/concrete_environment"
    environment.mkdir(parents=True)
    (environment / "spack.yaml").write_text("spack: {}")
    return {
        "CI_PROJECT_DIR": str(tmp_path),
        "SPACK_ARTIFACTS_ROOT": "jobs",
        "SPACK_CONCRETE_ENV_DIR": "jobs/concrete_environment",
        "SPACK_JOB_SPEC_DAG_HASH": HASH,
        "SPACK_JOB_SPEC_PKG_NAME": "hello-app",
    }


def test_folders_lie_below_the_artifacts_where_the_pipeline_does_not_say(variables: dict[str, str], tmp_path: Path) -> None:
    job = read_job(variables)
    assert (job.logs, job.reproduction, job.tests) == tuple(
        tmp_path / "jobs" / name for name in ("logs", "reproduction", "tests")
    )
    assert job.environment == tmp_path / "jobs/concrete_environment"


@pytest.mark.parametrize(
    ("kind", "is_protected", "is_pull_request"),
    [
        ("spack_protected_branch", True, False),
        ("PROTECTED_BRANCH", True, False),  # what the pipeline's own variables say of it
        ("spack_pull_request", False, True),
        ("PULL_REQUEST", False, True),
        ("", False, False),
        ("None", False, False),
    ],
)
def test_a_pipeline_has_its_kind_in_both_spellings(
    variables: dict[str, str], kind: str, *, is_protected: bool, is_pull_request: bool
) -> None:
    job = read_job(variables | {"SPACK_PIPELINE_TYPE": kind})
    assert (job.is_protected, job.is_pull_request) == (is_protected, is_pull_request)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"SPACK_JOB_SPEC_DAG_HASH": ""}, "SPACK_JOB_SPEC_DAG_HASH is not set"),
        ({"SPACK_JOB_SPEC_DAG_HASH": "", "SPACK_ARTIFACTS_ROOT": ""}, "DAG_HASH and SPACK_ARTIFACTS_ROOT are not set"),
        ({"SPACK_CONCRETE_ENV_DIR": ""}, "SPACK_CONCRETE_ENV_DIR is not set"),
        ({"SPACK_JOB_SPEC_DAG_HASH": "2dvny7r"}, "give the 32 characters"),
        ({"SPACK_CONCRETE_ENV_DIR": "elsewhere"}, "there is no spack.yaml in it"),
        ({"SPACK_CONCRETE_ENV_DIR": "e" * 300}, "there is no spack.yaml in it"),
        ({"SPACK_CONCRETE_ENV_DIR": "circle"}, "SPACK_CONCRETE_ENV_DIR=circle: "),
        ({"SPACK_ENV": "circle/x"}, "SPACK_ENV=circle/x: "),
        ({"SPACK_ARTIFACTS_ROOT": "circle"}, "SPACK_ARTIFACTS_ROOT=circle: "),
        ({"SPACK_JOB_LOG_DIR": "circle"}, "SPACK_JOB_LOG_DIR=circle: "),
        ({"SPACK_JOB_LOG_DIR": "jobs/tests"}, "SPACK_JOB_TEST_DIR has the same folder"),
        ({"SPACK_JOB_LOG_DIR": "jobs/a", "SPACK_JOB_REPRO_DIR": "jobs/b/../a"}, "SPACK_JOB_REPRO_DIR has the same folder"),
        ({"SPACK_JOB_LOG_DIR": "."}, "SPACK_JOB_LOG_DIR"),
        ({"SPACK_JOB_LOG_DIR": "/"}, "SPACK_JOB_LOG_DIR"),
        ({"SPACK_JOB_LOG_DIR": "jobs"}, "SPACK_JOB_LOG_DIR"),
        ({"SPACK_JOB_TEST_DIR": "jobs/concrete_environment"}, "SPACK_JOB_TEST_DIR"),
        ({"SPACK_JOB_REPRO_DIR": "jobs/../.."}, "SPACK_JOB_REPRO_DIR"),
        ({"SPACK_REBUILD_EVERYTHING": "maybe"}, "give True or False"),
        ({"SPACK_PIPELINE_TYPE": "spack_copy_only"}, "copy-only"),
        ({"CI_PROJECT_DIR": ""}, "CI_PROJECT_DIR is not set"),
    ],
)
def test_what_cannot_work_is_rejected_by_name(
    variables: dict[str, str], tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(RequestError, match=message):
        read_job(variables | changes)


def test_the_active_environment_counts_first(variables: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/spack.yaml").write_text("spack: {}")
    assert read_job(variables | {"SPACK_ENV": str(tmp_path / "mine")}).environment == tmp_path / "mine"


def test_a_job_shows_no_token(variables: dict[str, str]) -> None:
    job = read_job(variables | {"SPACK_CDASH_AUTH_TOKEN": "hidden-token", "SPACK_SIGNING_KEY": "hidden-key"})
    assert "hidden" not in f"{job!r} {job}"
    assert job.signing_key is not None
    assert isinstance(job, CIJob)


def test_a_path_in_place_of_the_key_is_named(variables: dict[str, str]) -> None:
    path = "/builds/g/p.tmp/SPACK_SIGNING_KEY"
    job = read_job(variables | {"SPACK_SIGNING_KEY": path})
    with pytest.raises(
        RequestError, match=r'^SPACK_SIGNING_KEY: this is a path, .* --signing-key-file "\$SPACK_SIGNING_KEY"'
    ):
        key_of(job)
    assert key_of(read_job(variables)) is None
    for text in ("LS0tLS1CRUdJTiBQR1A=", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n"):
        key = key_of(read_job(variables | {"SPACK_SIGNING_KEY": text}))
        assert key is not None
        assert key.held == text.encode()
