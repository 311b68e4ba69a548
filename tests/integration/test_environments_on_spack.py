"""Spack environments and concrete spec files as what is to be built: their own configuration holds, their lock decides."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.labs.checkout import ROOT
from tests.labs.spack.lab import SpackLab, read_telemetry
from tests.labs.spack.project import RECIPE, Project

pytestmark = pytest.mark.spack


@pytest.fixture(scope="module")
def concretized(lab: SpackLab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a lock, to be copied: concretizing is what these tests are not about."""
    folder = tmp_path_factory.mktemp("project")
    packages = folder / "spack_repo" / "mine" / "packages"
    for name, more in {"low_thing": "", "top_thing": 'depends_on("low-thing", type=("build", "link", "run"))'}.items():
        recipe = packages / name / "package.py"
        recipe.parent.mkdir(parents=True)
        recipe.write_text(RECIPE.format(name=name.title().replace("_", ""), more=more))
    (packages.parent / "repo.yaml").write_text("repo: {namespace: mine, api: v2.2}\n")
    project = Project(lab, folder)
    project.write()
    project.spack("-e", folder, "concretize")
    return folder


@pytest.fixture
def project(lab: SpackLab, concretized: Path, tmp_path: Path) -> Project:
    """A copy of the project in which nothing is installed."""
    made = Project(lab, shutil.copytree(concretized, tmp_path / "project"))
    lab.forget("top-thing", "low-thing")
    return made


def test_the_configuration_of_an_environment_holds_for_plan_build_and_publishing(project: Project, tmp_path: Path) -> None:
    """Its repository has the recipes, its mirror a dependency, its install tree takes what is built; paths are its own."""
    project.write(config={"install_tree": {"root": "./tree"}})
    project.spack("-e", project.folder, "install", "low-thing")
    project.spack("-e", project.folder, "buildcache", "push", "--unsigned", project.folder / "beside", "low-thing")
    shutil.rmtree(project.folder / "tree")
    shutil.rmtree(project.folder / ".spack-env")
    lock = (project.folder / "spack.lock").read_bytes()
    done = project.build(project.folder, "--out", tmp_path / "out", "--mirror", tmp_path / "mirror", "--unsigned")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "low-thing@1.0/" + project.hashes()["low-thing"][:7] + ": from the build cache" in done.stdout
    assert sorted(path.parent.name.split("-1.0")[0] for path in project.folder.glob("tree/*/*/made")) == [
        "low-thing",
        "top-thing",
    ]
    assert [path.name for path in tmp_path.glob("mirror/v3/manifests/spec/*")] == ["top-thing"]
    assert [path.name for path in (project.folder / ".spack-env").iterdir()] == ["transaction_lock"], "Spack reads under it"
    assert (project.folder / "spack.lock").read_bytes() == lock


def test_the_concretizer_does_not_run_where_there_is_a_lock(project: Project, tmp_path: Path) -> None:
    project.write(packages={"low-thing": {"require": ["@99"]}})
    done = project.build(project.folder, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_telemetry(tmp_path / "out", "low-thing").spec.version == "1.0"


def test_an_environment_active_in_the_shell_gives_its_configuration_to_specs(project: Project, tmp_path: Path) -> None:
    done = project.build("low-thing", "--out", tmp_path / "out", SPACK_ENV=str(project.folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_telemetry(tmp_path / "out", "low-thing").outcome == "built"
    other = project.build("low-thing", "--out", tmp_path / "other", SPACK_ENV=str(tmp_path))
    assert other.returncode == 2
    assert f"SPACK_ENV={tmp_path}" in other.stderr


def test_external_roots_are_logged_and_the_others_built(project: Project, tmp_path: Path) -> None:
    done = project.build(project.folder, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gcc@" in done.stdout
    assert "external (/usr), there is nothing to build" in done.stdout
    assert sorted(path.name.split("-1.0")[0] for path in (tmp_path / "out").glob("*-1.0*")) == ["low-thing", "top-thing"]


def test_a_hash_names_a_dependency_as_well_as_a_root(project: Project, tmp_path: Path) -> None:
    done = project.build(project.folder, "--hash", project.hashes()["low-thing"][:9], "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name.split("-1.0")[0] for path in (tmp_path / "out").glob("*-1.0*")] == ["low-thing"]


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one error line of a request that was refused."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error:" in line]
    return line


def test_an_environment_that_cannot_be_built_is_refused_with_what_to_do(project: Project, tmp_path: Path) -> None:
    out, lock = ("--out", tmp_path / "out"), project.folder / "spack.lock"
    assert "external (/usr)" in refusal(project.build(project.folder, "--hash", project.hashes()["gcc"], *out))
    assert "0 specs have a hash that begins with 'zzz'" in refusal(project.build(project.folder, "--hash", "zzz", *out))
    assert "no such environment 'absent'" in refusal(project.build("absent", "--hash", "zzz", *out))
    project.write(specs=["top-thing", "gcc", "low-thing"])
    assert "older than spack.yaml, it lacks low-thing; run 'spack -e" in refusal(project.build(project.folder, *out))
    lock.write_text("{}")
    assert "spack.lock can't be read: KeyError: 'roots'" in refusal(project.build(project.folder, *out))
    lock.unlink()
    assert "has no lock; run 'spack -e" in refusal(project.build(project.folder, *out))
    lock.touch()
    (project.folder / "spack.yaml").unlink()
    assert "there is no spack.yaml in it" in refusal(project.build(project.folder, *out))
    assert not (tmp_path / "out").exists()


def test_a_concrete_spec_file_is_built_wherever_it_lies(project: Project, tmp_path: Path) -> None:
    """Relative to the folder in which the agent is started, and in JSON or YAML."""
    active = str(project.folder)
    said = project.spack("-e", project.folder, "spec", "--json", "top-thing").stdout
    (tmp_path / "top.json").write_text(said[said.index("{") :])
    done = project.build("top.json", "--out", "out", cwd=tmp_path, SPACK_ENV=active)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_telemetry(tmp_path / "out", "top-thing").spec.hash == project.hashes()["top-thing"]
    (tmp_path / "top.yaml").write_text(said[said.index("{") :])  # JSON is YAML
    again = project.build("top.yaml", "--out", "again", cwd=tmp_path, SPACK_ENV=active)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "already installed" in again.stdout


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.json", b""),
        ("other.json", b'{"spec": 1}'),
        ("list.yaml", b"[1, 2]"),
        ("bytes.txt", b"\xff\x00"),
        ("key.asc", b"neither a mapping nor a list"),
        ("half.json", b'{"spec": {"_meta": {"version": 5}, "nodes": [{"name": "top-thing"}]}}'),
    ],
)
def test_a_file_that_is_no_concrete_spec_is_refused(lab: SpackLab, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    said = refusal(lab.build(tmp_path / name, "--out", tmp_path / "out"))
    assert f"{name}: not a concrete spec as 'spack spec --json' prints it" in said
    assert "indices" not in said, "words of Python, not of the file"


def test_a_word_that_is_no_spec_is_a_bad_request(lab: SpackLab, tmp_path: Path) -> None:
    assert "unexpected" in refusal(lab.build("hello-app@@", "--out", tmp_path / "out"))


def test_spack_finds_its_own_modules_although_ours_are_on_the_path(project: Project, tmp_path: Path) -> None:
    """`import spack` in `inside/` must never find `buildjob/spack`, whatever PYTHONPATH says."""
    checkout = f"{ROOT}:{ROOT / 'buildjob'}"
    done = project.build(project.folder, "--out", tmp_path / "out", "--no-publish", cwd=ROOT, PYTHONPATH=checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_telemetry(tmp_path / "out", "top-thing").outcome == "built"
