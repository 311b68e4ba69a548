"""The agent with the Spack and the installers that come after 1.1: the same outcomes, phases, logs and binaries."""

import base64
import os
import subprocess
from pathlib import Path

import pytest

from buildjob.errors import SpackError
from buildjob.paths import from_environment
from buildjob.spack.find import SpackInstallation, find
from tests.labs.checkout import ROOT
from tests.labs.limits import small_disk
from tests.labs.spack.keys import Key
from tests.labs.spack.lab import SpackLab, SpackStarts, assert_phases_are_the_run, kill_all, other_tree, read_telemetry
from tests.labs.spack.pipeline import PipelineProject
from tests.labs.waiting import wait_until

pytestmark = pytest.mark.spack
VERSION = "v1.2.0.dev0"


@pytest.fixture(scope="module")
def newer_spack() -> SpackInstallation:
    """Spack 1.2; without one the test is skipped, with the way to get it."""
    paths = from_environment(os.environ)
    try:
        return find(str(paths.cache / "spack" / VERSION / "spack"), os.environ, paths)
    except SpackError:
        pytest.skip(f"no Spack {VERSION}: scripts/get-spack --version {VERSION}")


@pytest.fixture(scope="module", params=["old", "new"])
def newer(
    newer_spack: SpackInstallation, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> SpackLab:
    """A laboratory with it, and with one of its installers."""
    made = SpackLab(tmp_path_factory.mktemp(f"newer-{request.param}"), newer_spack, installer=request.param)
    made.restore()
    return made


def test_what_is_published_stock_spack_installs(newer: SpackLab, key: Key, tmp_path: Path) -> None:
    newer.restore()  # others forget what it depends on
    newer.forget("hello-app")
    mirror, out = tmp_path / "mirror", tmp_path / "out"
    starts = SpackStarts(tmp_path, newer.environment["SPACK_PYTHON"])
    arguments = ("--out", out, "--mirror", mirror, "--signing-key-file", key.secret)
    done = newer.build("hello-app", *arguments, environment=starts.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert starts.scripts.count("install.py") == 1
    assert "pack.py" not in starts.scripts, "the Spack that has installed it packs it"
    assert "-o hello-app main.c" in done.stdout, "the build's own lines pass live"
    document = read_telemetry(out, "hello-app")
    assert document.outcome == "built"
    assert [phase.name for phase in document.phases] == ["spack-start", "stage", "build", "install", "spack-end"]
    assert_phases_are_the_run(document)
    (log,) = out.glob("hello-app-*/build.log")
    assert log.read_text() in done.stdout
    assert "'make'" in log.read_text(), "Spack's commands are in the log"

    trusted = {"SPACK_GNUPGHOME": str(tmp_path / "g")}
    assert newer.stock_spack("gpg", "trust", key.public, environment=trusted).returncode == 0
    scope = other_tree(tmp_path, mirror)
    installed = newer.stock_spack("install", "--cache-only", "hello-app", scopes=[scope], environment=trusted)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    (program,) = (tmp_path / "opt").glob("*/hello-app-1.0-*/bin/hello-app")
    assert subprocess.run([program], capture_output=True, check=True).stdout == b"Hello from libhello, hello-app\n"


def test_a_binary_comes_from_the_mirror(newer: SpackLab, tmp_path: Path) -> None:
    arguments = ("hello-app", "--mirror", tmp_path / "mirror", "--unsigned")
    newer.forget("hello-app", "libhello")
    assert newer.build(*arguments, "--out", tmp_path / "1").returncode == 0
    newer.forget("hello-app", "libhello")
    broken = newer.build("hello-broken", *arguments[1:], "--out", tmp_path / "2")
    assert broken.returncode == 1, broken.stdout + broken.stderr
    assert "libhello: Executing phase" not in broken.stdout, "its dependency was fetched"
    newer.forget("libhello")


def test_a_failing_package(newer: SpackLab, tmp_path: Path) -> None:
    done = newer.build("hello-broken", "--out", tmp_path)
    assert done.returncode == 1
    document = read_telemetry(tmp_path, "hello-broken")
    assert document.first_error
    assert (document.first_error.file, document.first_error.phase) == ("broken.c:9", "build")
    assert document.phases[-1].name == "build"


def test_a_full_disk(newer: SpackLab, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=24) as disk:
        scope = tmp_path / "scope"
        scope.mkdir()
        (scope / "config.yaml").write_text(f"config: {{install_tree: {{root: {disk}/opt}}}}\n")
        done = newer.build("-C", scope, "hello-filler", "--out", tmp_path / "out")
    assert done.returncode == 5, done.stdout
    assert read_telemetry(tmp_path / "out", "hello-filler").outcome == "disk_full"


def test_a_source_that_cannot_be_had(newer: SpackLab, tmp_path: Path) -> None:
    done = newer.build("hello-unfetchable", "--out", tmp_path)
    assert done.returncode == 4, done.stdout + done.stderr


def test_what_a_killed_build_left_does_not_stop_the_next(newer: SpackLab, tmp_path: Path) -> None:
    newer.forget("hello-gated")
    gate = tmp_path / "gate"
    with (tmp_path / "said").open("wb") as printed:
        argv = newer.agent_argv("hello-gated", "--out", tmp_path / "1")
        agent = subprocess.Popen(argv, stdout=printed, env=newer.environment | {"HELLO_GATE": str(gate)})
    try:
        wait_until((tmp_path / "gate.reached").exists)
    finally:
        kill_all(agent)
    gate.write_text("go")
    done = newer.build("hello-gated", "--out", tmp_path / "2", environment={"HELLO_GATE": str(gate)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_telemetry(tmp_path / "2", "hello-gated").outcome == "built"


@pytest.mark.timeout(600)
def test_the_jobs_of_a_generated_pipeline_end_as_under_spack_1_1(newer: SpackLab, key: Key, tmp_path: Path) -> None:
    broken, mirror = tmp_path / "broken", tmp_path / "mirror"
    broken.mkdir()
    project = PipelineProject(
        newer,
        tmp_path / "project",
        specs=["hello-broken", "hello-unfetchable"],
        destination={"url": mirror.as_uri(), "signed": True},
        ci={"broken-specs-url": broken.as_uri()},
    )
    project.environment |= {
        "SPACK_PIPELINE_TYPE": "spack_protected_branch",
        "SPACK_SIGNING_KEY": base64.b64encode(key.secret.read_bytes()).decode(),
    }
    project.generate()
    early = project.rebuild("hello-broken")
    assert early.returncode == 6, early.stdout + early.stderr
    assert "no binary available of compiler-wrapper@" in early.stderr
    done = {package: project.rebuild(package) for package in project.jobs}
    assert {package: each.returncode for package, each in done.items()} == {
        "compiler-wrapper": 0,
        "gcc-runtime": 0,
        "libhello": 0,
        "hello-broken": 1,
        "hello-unfetchable": 4,
    }, "\n".join(each.stdout + each.stderr for each in done.values())
    assert "2 packages installed from the mirrors" in done["libhello"].stdout
    assert "not checked" not in done["libhello"].stdout
    assert [path.name for path in broken.iterdir()] == [project.jobs["hello-broken"]["variables"]["SPACK_JOB_SPEC_DAG_HASH"]]
    again = project.rebuild("libhello")
    assert again.returncode == 0
    assert "no need to build it" in again.stdout


@pytest.mark.real
@pytest.mark.timeout(1200)  # on a new machine two minutes for what Spack derives from its recipes
def test_the_proof_of_all_versions_in_small(newer_spack: SpackInstallation, tmp_path: Path) -> None:
    """A real package under 1.1 and under the new installer; what both publish, stock Spack of both versions installs."""
    del newer_spack
    page = tmp_path / "page.md"
    argv = [str(ROOT / "scripts/prove"), "spack-versions", "--small", "--page", str(page)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode == 2:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "- bzip2: spack-start, stage, install, spack-end" in page.read_text()
    assert done.stdout.count("installed by stock Spack") == 4
