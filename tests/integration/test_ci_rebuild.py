"""`spack-farm build --ci` runs the jobs of a pipeline that real `spack ci generate` has written, in its order."""

import base64
import contextlib
import gzip
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.cdash import CDash
from tests.labs.checkout import ROOT
from tests.labs.gitlab_schema import gitlab_schema_faults
from tests.labs.limits import limited_cgroup
from tests.labs.s3.server import Server, versitygw_program
from tests.labs.s3.server import versitygw as serve_versitygw
from tests.labs.spack.keys import Key
from tests.labs.spack.lab import SpackLab, SpackStarts, other_tree, read_telemetry
from tests.labs.spack.pipeline import PipelineProject
from tests.labs.waiting import wait_until

pytestmark = pytest.mark.timeout(600)  # the first test here runs a whole pipeline, on a machine that may be busy
PROTECTED = {"SPACK_PIPELINE_TYPE": "spack_protected_branch"}


@dataclass(frozen=True)
class Signed:
    """A project whose jobs have all run."""

    project: PipelineProject
    key: Key
    mirror: Path
    broken: Path
    done: dict[str, "subprocess.CompletedProcess[str]"]


def _output(done: "subprocess.CompletedProcess[str]") -> str:
    return done.stdout + done.stderr


def _run_all(project: PipelineProject, *options: str, **variables: str) -> dict[str, "subprocess.CompletedProcess[str]"]:
    return {package: project.rebuild(package, *options, **variables) for package in project.jobs}


@pytest.fixture(scope="module")
def signed(lab: SpackLab, tmp_path_factory: pytest.TempPathFactory) -> Signed:
    """A project on a protected branch with a signed mirror in a folder; all of its jobs have run."""
    folder = tmp_path_factory.mktemp("signed")
    key = Key(tmp_path_factory.mktemp("k"))
    (folder / "broken").mkdir()
    project = PipelineProject(
        lab,
        folder / "project",
        destination={"url": (folder / "mirror").as_uri(), "signed": True},
        ci={"broken-specs-url": (folder / "broken").as_uri()},
    )
    project.environment |= PROTECTED | {"SPACK_SIGNING_KEY": base64.b64encode(key.secret.read_bytes()).decode()}
    project.generate()
    return Signed(project, key, folder / "mirror", folder / "broken", _run_all(project))


def test_each_job_ends_as_its_package_does(signed: Signed) -> None:
    assert {package: done.returncode for package, done in signed.done.items()} == {
        "compiler-wrapper": 0,
        "gcc-runtime": 0,
        "libhello": 0,
        "hello-app": 0,
        "hello-broken": 1,
    }, "\n".join(map(_output, signed.done.values()))
    assert "3 packages installed from the mirrors" in signed.done["hello-app"].stdout
    assert "not checked" not in signed.done["hello-app"].stdout


def test_only_the_last_line_says_why_a_build_failed(signed: Signed) -> None:
    """Spack blames the lines that look like errors, also for a memory kill, and logs are sorted by its words."""
    done = signed.done["hello-broken"]
    assert " found in package log:" in done.stdout
    assert "found in build log:" not in done.stdout
    assert "build_failed (exit code 1): error found in build log: " in done.stderr


def test_only_the_package_that_does_not_build_is_registered_as_broken(signed: Signed) -> None:
    broken_hash = signed.project.jobs["hello-broken"]["variables"]["SPACK_JOB_SPEC_DAG_HASH"]
    assert [path.name for path in signed.broken.iterdir()] == [broken_hash]
    assert "registered as broken" in signed.done["hello-broken"].stdout


def test_stock_spack_installs_all_with_signatures_checked(signed: Signed, tmp_path: Path) -> None:
    done = _install(signed, signed.mirror, signed.key, tmp_path)
    assert done.returncode == 0, _output(done)


def test_a_notary_signs_again_what_the_jobs_have_signed(signed: Signed, tmp_path: Path) -> None:
    """Two keys: jobs have the intermediate one, users trust only the release key, which no job has ever seen."""
    release = Key(tmp_path / "k")
    argv = [sys.executable, str(ROOT / "spack_farm/__main__.py"), "publish", "notarize"]
    argv += [str(signed.mirror), str(tmp_path / "release"), "--trust", str(signed.key.public)]
    argv += ["--signing-key-file", str(release.secret)]
    notary = subprocess.run(argv, capture_output=True, text=True, env=signed.project.lab.environment, check=False)
    assert notary.returncode == 0, _output(notary)
    assert "4 binaries signed" in notary.stdout + notary.stderr
    (tmp_path / "before").mkdir()
    refused = _install(signed, signed.mirror, release, tmp_path / "before")
    assert refused.returncode != 0, "what only a job has signed is not trusted"
    (tmp_path / "after").mkdir()
    done = _install(signed, tmp_path / "release", release, tmp_path / "after")
    assert done.returncode == 0, _output(done)


def _install(signed: Signed, mirror: Path, key: Key, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Install hello-app with stock Spack from a signed mirror, trusting one key."""
    scope = other_tree(folder, mirror)
    home = {"SPACK_GNUPGHOME": str(folder / "gpg")}
    trusted = signed.project.lab.stock_spack("gpg", "trust", key.public, scopes=[scope], environment=home)
    assert trusted.returncode == 0, trusted.stderr
    spec = folder / "hello-app.json"
    text = signed.project.spack(
        "-e", signed.project.folder / "env", "spec", "--json", f"/{_hash(signed.project, 'hello-app')}"
    )
    spec.write_text(text.stdout)
    return signed.project.lab.stock_spack("install", "--cache-only", spec, scopes=[scope], environment=home)


def test_a_job_that_runs_again_builds_nothing(signed: Signed) -> None:
    done = signed.project.rebuild("hello-app")
    assert done.returncode == 0
    assert "no need to build it" in done.stdout
    assert "Executing phase" not in done.stdout


def test_the_artifacts_are_laid_out_as_spacks_own(signed: Signed) -> None:
    signed.project.rebuild("hello-broken")
    found = {
        str(path.relative_to(signed.project.artifacts)) for path in signed.project.artifacts.rglob("*") if path.is_file()
    }
    assert {f"reproduction/{name}" for name in ("hello-broken.json", "repro.json", "spack.lock", "spack.yaml")} <= found
    assert {f"reproduction/{name}" for name in ("install.sh", "test.sh", "spack_info.txt")} <= found
    log = gzip.decompress((signed.project.artifacts / "logs/spack-build-out.txt.gz").read_bytes())
    assert b"Executing phase: 'build'" in log
    assert not [name for name in found if "spack-build-env" in name]
    secret = signed.project.environment["SPACK_SIGNING_KEY"].encode()
    assert not [path for path in signed.project.artifacts.rglob("*") if path.is_file() and secret[:60] in path.read_bytes()]


def test_a_second_generate_prunes_all_that_was_built(signed: Signed) -> None:
    before = signed.project.pipeline
    entries = [(path, path.read_bytes()) for path in signed.broken.iterdir()]
    for path, _ in entries:  # Spack generates no pipeline that has a broken spec
        path.unlink()
    try:
        again = signed.project.generate()
        assert set(signed.project.jobs) <= {"hello-broken"}, again
    finally:
        signed.project.pipeline = before
        for path, content in entries:
            path.write_bytes(content)


def test_a_missing_dependency_is_no_broken_package(lab: SpackLab, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    project = PipelineProject(
        lab,
        tmp_path / "project",
        specs=["hello-app"],
        destination={"url": (tmp_path / "mirror").as_uri(), "signed": False},
        ci={"broken-specs-url": (tmp_path / "broken").as_uri()},
    )
    project.generate()
    done = project.rebuild("hello-app", **PROTECTED)
    assert done.returncode == 6, _output(done)
    assert "no binary available of compiler-wrapper@" in done.stderr
    assert not list((tmp_path / "broken").iterdir())
    (document,) = project.artifacts.glob("user_data/spack-farm/hello-app-*/telemetry.json")
    assert json.loads(document.read_text())["outcome"] == "dependency_failed"


def test_a_memory_kill_is_no_broken_package(lab: SpackLab, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    project = PipelineProject(
        lab,
        tmp_path / "project",
        specs=["hello-hungry"],
        destination={"url": (tmp_path / "mirror").as_uri(), "signed": False},
        ci={"broken-specs-url": (tmp_path / "broken").as_uri()},
    )
    project.generate()
    with limited_cgroup(300 << 20) as enter:
        done = project.rebuild("hello-hungry", "--tests", within=enter, **PROTECTED)
    assert done.returncode == 137, _output(done)
    assert "memory_killed (exit code 137): command terminated with exit code 137, out of memory" in done.stderr
    assert not list((tmp_path / "broken").iterdir())
    (document,) = project.artifacts.glob("user_data/spack-farm/hello-hungry-*/telemetry.json")
    (kill,) = json.loads(document.read_text())["memory_kills"]
    assert kill["limit_bytes"] == 300 << 20
    assert "Killed for memory" in (document.parent / "report.html").read_text()
    assert b"Executing phase" in gzip.decompress((project.artifacts / "logs/spack-build-out.txt.gz").read_bytes())


def test_a_mirror_that_is_lost_is_no_broken_package(lab: SpackLab, tmp_path: Path) -> None:
    """In the middle of a build its push fails; before one the job ends at once, whatever would have come from the mirror."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "s3").mkdir()
    gate = tmp_path / "gate"
    with ThreadPoolExecutor(1) as side, contextlib.ExitStack() as held:
        server = held.enter_context(serve_versitygw(versitygw_program(), tmp_path / "s3"))
        project = PipelineProject(
            lab,
            tmp_path / "project",
            specs=["hello-gated", "hello-app"],
            destination={"url": f"s3://{server.bucket()}/pr", "endpoint_url": server.url, "signed": False},
            ci={"broken-specs-url": (tmp_path / "broken").as_uri()},
        )
        project.environment |= PROTECTED | server.environment | {"HELLO_GATE": str(gate)}
        project.generate()
        running = side.submit(project.rebuild, "hello-gated")
        wait_until((tmp_path / "gate.reached").exists)
        held.close()
        gate.write_text("go")
        ends = {"in the middle": running.result()}
        ends |= {package: project.rebuild(package) for package in ("hello-gated", "hello-app")}
    codes = {name: done.returncode for name, done in ends.items()}
    assert codes == {"in the middle": 100, "hello-gated": 4, "hello-app": 4}, "\n".join(map(_output, ends.values()))
    for name in ("hello-gated", "hello-app"):
        assert "mirror 'buildcache-destination'" in ends[name].stderr
        assert "nothing listens there" in ends[name].stderr
        assert "try again later" in ends[name].stderr
        assert "Executing phase" not in ends[name].stdout
    found = [
        json.loads(path.read_text())
        for path in sorted(project.artifacts.glob("user_data/spack-farm/hello-*/telemetry.json"))
    ]
    assert [(each["spec"]["name"], each["outcome"]) for each in found] == [
        ("hello-app", "fetch_failed"),
        ("hello-gated", "publish_failed"),
        ("hello-gated", "fetch_failed"),
    ]
    assert not list((tmp_path / "broken").iterdir())


def test_what_no_push_can_reach_is_known_before_the_build(lab: SpackLab, versitygw: Server, tmp_path: Path) -> None:
    url = f"s3://{versitygw.bucket()}/pr"
    destination = {"url": url, "endpoint_url": versitygw.url, "signed": False}
    project = PipelineProject(lab, tmp_path / "project", specs=["hello-tested"], destination=destination)
    project.environment |= versitygw.environment
    project.generate()
    (manifest,) = project.artifacts.rglob("spack.yaml")
    written = manifest.read_text()
    (tmp_path / "file").touch()
    for place, secret, reason in (
        ("s3://never-made/pr", versitygw.secret_key, "there is no such bucket"),
        (url, "another-secret-key", "it does not accept the credentials: An error occurred (SignatureDoesNotMatch)"),
        ((tmp_path / "file").as_uri(), versitygw.secret_key, "it is not a folder"),
    ):
        manifest.write_text(written.replace(url, place))
        done = project.rebuild("hello-tested", AWS_SECRET_ACCESS_KEY=secret)
        assert done.returncode == 4, _output(done)
        assert f"mirror 'buildcache-destination' ({place}): " in done.stderr
        assert reason in done.stderr
        assert "Executing phase" not in done.stdout


def test_unsigned_mirrors_are_looked_at_before_a_build(lab: SpackLab, tmp_path: Path) -> None:
    """`spack ci rebuild` asks unsigned mirrors for a signature, finds none, and builds and overwrites every time."""
    destination = {"url": (tmp_path / "mirror").as_uri(), "signed": False}
    project = PipelineProject(
        lab, tmp_path / "project", specs=["hello-tested", "hello-unfetchable"], destination=destination
    )
    project.generate()
    first = project.rebuild("hello-tested", "--tests", "--no-fail-fast")
    assert first.returncode == 0, _output(first)
    assert "test test_speaks: passed" in first.stdout
    assert "test test_is_broken: failed" in first.stdout
    report = (project.artifacts / "tests/ci-test-results.xml").read_text()
    assert 'failures="1"' in report
    assert "before  &lt;broken&gt;" in report
    kept = [path.name.partition("-1.0-")[2][8:] or path.name for path in sorted(project.artifacts.glob("tests/*.gz"))]
    assert kept == ["test-out.txt.gz", "tested.txt.gz", "results.txt.gz"]
    tests = read_telemetry(project.artifacts / "user_data/spack-farm", "hello-tested").tests
    assert {test.name: test.status for test in tests} == {"test_speaks": "passed", "test_is_broken": "failed"}
    again = project.rebuild("hello-tested")
    assert again.returncode == 0
    assert "no need to build it" in again.stdout
    everything = project.rebuild(
        "hello-tested", "--tests", "--test-timeout", "3s", SPACK_REBUILD_EVERYTHING="True", HELLO_HANGS="1"
    )
    assert everything.returncode == 0, _output(everything)
    assert "published" in everything.stdout
    assert "stand-alone tests: not ended within 3 s, and stopped" in everything.stdout
    assert "test test_is_broken: passed" not in everything.stdout, "for Spack's reader what has no status has passed"
    unfetchable = project.rebuild("hello-unfetchable", **PROTECTED)
    assert unfetchable.returncode == 4, _output(unfetchable)


def test_a_job_with_s3_and_cdash(lab: SpackLab, moto: Server, tmp_path: Path) -> None:
    bucket = moto.bucket()
    destination = {
        "url": f"s3://{bucket}/pr",
        "endpoint_url": moto.url,
        "access_pair": {"id": "testing", "secret_variable": "FARM_MIRROR_CODE"},
        "signed": False,
    }
    with CDash(token="a-token-of-cdash") as cdash:
        project = PipelineProject(
            lab,
            tmp_path / "project",
            specs=["hello-tested"],
            destination=destination,
            cdash={"build-group": "Nightly", "url": cdash.url, "project": "demo", "site": "Farm"},
        )
        secrets = {"FARM_MIRROR_CODE": "testing-secret", "SPACK_CDASH_AUTH_TOKEN": "a-token-of-cdash"}
        others = {
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "CI_RUNNER_DESCRIPTION": "runner-1",
        }
        project.environment |= secrets | others
        project.generate()
        starts = SpackStarts(tmp_path, project.environment["SPACK_PYTHON"])
        done = project.rebuild("hello-tested", "--tests", "--no-fail-fast", **starts.environment)
        assert done.returncode == 0, _output(done)
        assert starts.scripts == ["rebuild.py", "install.py", "standalone_tests.py"]
        given = project.variables("hello-tested")
        assert {file.query["build"] for file in cdash.taken} == {given["SPACK_CDASH_BUILD_NAME"]}
        assert {file.query["stamp"] for file in cdash.taken} == {given["SPACK_CDASH_BUILD_STAMP"]}
        assert {file.query["site"] for file in cdash.taken} == {"Farm (runner-1)"}
        (results,) = (file.body for file in cdash.taken if file.name == "Test.xml")
        assert b"test_is_broken" in results
        for path in project.artifacts.rglob("*"):
            if path.is_file():
                assert not [value for value in secrets.values() if value.encode() in path.read_bytes()], path
        keys = [each["Key"] for each in moto.client().list_objects_v2(Bucket=bucket)["Contents"]]
        assert [key for key in keys if key.startswith("pr/v3/manifests/spec/hello-tested/")]
        assert [key for key in keys if key.startswith("pr/telemetry/v1/")]
        again = project.rebuild("hello-tested")
        assert again.returncode == 0
        assert "no need to build it" in again.stdout
        lost = project.rebuild("hello-tested", SPACK_REBUILD_EVERYTHING="True", FARM_MIRROR_CODE="")
        assert lost.returncode == 2
        assert "FARM_MIRROR_CODE" in lost.stderr


def test_the_example_pipeline_is_generated_and_runs(lab: SpackLab, tmp_path: Path) -> None:
    url = (tmp_path / "mirror").as_uri()
    project = PipelineProject(lab, tmp_path / "project", specs=["hello-app"], destination={"url": url})
    example = (ROOT / "examples/pipeline/environment/spack.yaml").read_text()
    (project.folder / "env/spack.yaml").write_text(example)
    key = Key(tmp_path / "k")
    secret = base64.b64encode(key.secret.read_bytes()).decode()
    project.environment |= PROTECTED | {"SPACK_SIGNING_KEY": secret}
    done = project.spack("-e", project.folder / "env", "mirror", "set", "--url", url, "buildcache-destination")
    assert done.returncode == 0, _output(done)
    project.generate()
    assert not gitlab_schema_faults(project.folder / "pipeline.yml")
    assert {tuple(job["script"]) for job in project.jobs.values()} == {("spack-farm build --ci --tests",)}
    assert all(137 in job["retry"]["exit_codes"] for job in project.jobs.values())
    # Spack adds its own list of reasons, and script_failure is one of them
    assert {reason for job in project.jobs.values() for reason in job["retry"]["when"]} == {
        "runner_system_failure", "stuck_or_timeout_failure",
    }  # fmt: skip
    assert project.jobs["hello-app"]["variables"]["CI_JOB_SIZE"] == "small"
    first = next(iter(project.jobs))
    done = project.rebuild(first, "--tests")
    assert done.returncode == 0, _output(done)
    assert "published to" in done.stdout


def test_a_failed_job_is_built_again_from_its_artifacts(signed: Signed, tmp_path: Path) -> None:
    project = signed.project
    done = project.rebuild("hello-broken")
    assert "spack-farm build --reproduce" in done.stdout
    place = str(project.artifacts)
    asked = project.lab.build("--reproduce", place, "--hash", _hash(project, "hello-broken"), "--out", tmp_path / "asked")
    assert asked.returncode == 2, "without a terminal nobody is asked"
    assert "--yes" in asked.stderr
    assert not (tmp_path / "asked").exists()
    again = project.lab.build(
        "--reproduce", place, "--hash", _hash(project, "hello-broken"), "--yes", "--out", tmp_path / "out"
    )
    assert again.returncode == 1, _output(again)
    (document,) = (tmp_path / "out").glob("hello-broken-*/telemetry.json")
    assert json.loads(document.read_text())["spec"]["hash"] == _hash(project, "hello-broken")


def _hash(project: PipelineProject, package: str) -> str:
    found: str = project.jobs[package]["variables"]["SPACK_JOB_SPEC_DAG_HASH"]
    return found
