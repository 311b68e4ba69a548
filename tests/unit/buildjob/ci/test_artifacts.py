"""What a job leaves in the folders that GitLab keeps."""

import gzip
from pathlib import Path

import msgspec
import pytest

from buildjob.ci import artifacts
from buildjob.ci.job import CIJob
from buildjob.spack.layout import files_of_stage


@pytest.fixture
def job(tmp_path: Path) -> CIJob:
    folders = {name: tmp_path / "jobs" / name for name in ("logs", "reproduction", "tests")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    return CIJob(
        dag_hash="a" * 32,
        name="x",
        job_name="",
        project=tmp_path,
        environment=tmp_path,
        artifacts=tmp_path / "jobs",
        logs=folders["logs"],
        reproduction=folders["reproduction"],
        tests=folders["tests"],
    )


def _kept(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): gzip.decompress(path.read_bytes()).decode()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_recipes_logs_of_a_failed_build_lie_where_spack_has_them(job: CIJob, tmp_path: Path) -> None:
    stage = tmp_path / "stage"
    for name in ("spack-src/config.log", "spack-src/sub/config.log", "spack-src/a.log", "spack-src/b.txt", "outside.log"):
        (stage / name).parent.mkdir(parents=True, exist_ok=True)
        (stage / name).write_text(f"{name} a-secret")
    (tmp_path / "secret").write_text("of another user")
    (stage / "spack-src/link.log").symlink_to(tmp_path / "secret")
    (stage / "spack-src/away").symlink_to(tmp_path)
    (stage / "spack-src/folder.log").mkdir()
    patterns = ["spack-src/config.log", "spack-src/*.log", "spack-src/*/config.log", "spack-src/away/secret", "no/such.log"]
    artifacts.save_logs(job, tmp_path, files_of_stage(stage, patterns), frozenset({"a-secret"}))
    assert _kept(job.logs) == {
        "a.log.gz": "spack-src/a.log [MASKED]",
        "config.log.gz": "spack-src/config.log [MASKED]",
        "spack-src/sub/config.log.gz": "spack-src/sub/config.log [MASKED]",
    }


@pytest.mark.parametrize(("outer", "inner"), [("logs", "tests"), ("tests", "logs"), ("reproduction", "logs")])
def test_a_folder_of_the_pipeline_may_lie_in_another(job: CIJob, tmp_path: Path, outer: str, inner: str) -> None:
    nested = msgspec.structs.replace(job, **{outer: tmp_path / "jobs" / "x", inner: tmp_path / "jobs" / "x" / "y"})
    for _ in range(2):
        artifacts.begin(nested)
    assert (tmp_path / "jobs/x/y").is_dir()


def test_a_stage_folder_that_is_gone_has_no_files(tmp_path: Path) -> None:
    assert not files_of_stage(tmp_path / "gone", ["config.log", "*"])


@pytest.mark.parametrize("pattern", ["**.log", "**/a.log", "[", "x//a.log", "", "a\0b"])
def test_no_pattern_of_a_recipe_ends_a_job(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.log").touch()
    assert {name for name, _ in files_of_stage(tmp_path, [pattern])} <= {"x/a.log"}
    assert [name for name, _ in files_of_stage(tmp_path, ["x/**.log"])] == ["x/a.log"]


def test_the_logs_of_tests_have_no_secret(job: CIJob) -> None:
    artifacts.save_tests(job, {"x-1.0-aaaaaaa-test-out.txt": "its a-secret"}, b"<x/>", "r.xml", frozenset({"a-secret"}))
    assert (job.tests / "r.xml").read_bytes() == b"<x/>"
    (job.tests / "r.xml").unlink()
    assert _kept(job.tests) == {"x-1.0-aaaaaaa-test-out.txt.gz": "its [MASKED]"}
