"""The thread on real Spack: built, measured, signed, and installed again by a Spack that knows nothing of us."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.labs.build_events import checked
from tests.labs.folder_server import served
from tests.labs.spack.keys import Key
from tests.labs.spack.lab import SpackLab, SpackStarts, assert_phases_are_the_run, cdash_faults, other_tree, read_telemetry

pytestmark = pytest.mark.spack


def folders_in(out: Path) -> list[Path]:
    """Return the run folders; the page of all builds lies beside them."""
    return [path for path in out.iterdir() if path.is_dir()]


def test_stock_spack_installs_what_was_published_and_checks_its_signature(lab: SpackLab, key: Key, tmp_path: Path) -> None:
    lab.forget("hello-app", "libhello", "gcc-runtime", "compiler-wrapper")
    mirror, out = tmp_path / "mirror", tmp_path / "out"
    done = lab.build("hello-app", "--out", out, "--mirror", mirror, "--signing-key-file", key.secret)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Hello from" not in done.stdout
    assert "-o hello-app main.c" in done.stdout, "the build's own lines pass live"

    trusted = {"SPACK_GNUPGHOME": str(tmp_path / "g")}
    assert lab.stock_spack("gpg", "trust", key.public, environment=trusted).returncode == 0
    scope = other_tree(tmp_path, mirror)
    installed = lab.stock_spack("install", "--cache-only", "hello-app", scopes=[scope], environment=trusted)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert "Good signature" in installed.stderr or lab.installer == "new", "the new installer hides it in the package's log"
    (program,) = (tmp_path / "opt").glob("*/hello-app-1.0-*/bin/hello-app")
    said = subprocess.run([program], capture_output=True, text=True, check=True)
    assert said.stdout == "Hello from libhello, hello-app\n"

    stranger = {"SPACK_GNUPGHOME": str(tmp_path / "h")}
    shutil.rmtree(tmp_path / "opt")
    refused = lab.stock_spack("install", "--cache-only", "hello-app", scopes=[scope], environment=stranger)
    assert refused.returncode == 1, "nobody but the signer is trusted"

    (manifest,) = mirror.glob("v3/manifests/spec/hello-app/*.json")
    text = manifest.read_text()
    manifest.write_text(re.sub(r'("contentLength":)\d', r"\g<1>9", text, count=1))
    tampered = lab.stock_spack("install", "--cache-only", "hello-app", scopes=[scope], environment=trusted)
    assert tampered.returncode == 1
    assert "BAD signature" in tampered.stderr or lab.installer == "new"


def test_each_package_has_a_run_a_log_and_telemetry_of_its_own(lab: SpackLab, tmp_path: Path) -> None:
    lab.forget("hello-app", "libhello")
    done = lab.build("hello-app", "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("libhello", "hello-app"):
        document = read_telemetry(tmp_path, name)
        assert document.complete
        assert document.outcome == "built"
        assert document.totals.wall_seconds > 0
        assert document.totals.cpu_seconds > 0
        assert document.spec.compiler.startswith("gcc@")
        (log,) = tmp_path.glob(f"{name}-*/build.log")
        assert f"==> {name}: Executing phase: 'build'" in log.read_text()
        assert log.read_text() in done.stdout, "the log holds the very bytes that passed"
        assert cdash_faults(tmp_path, name) == []
        (page,) = tmp_path.glob(f"{name}-*/report.html")
        assert name in page.read_text()
        assert [phase.name for phase in document.phases] == ["spack-start", "stage", "build", "install", "spack-end"]
        assert all(phase.memory_working_set_peak_bytes for phase in document.phases)
        assert_phases_are_the_run(document)
        (cdash,) = tmp_path.glob(f"{name}-*/cdash")
        bars = re.findall('command="spack phase: ([^"]+)"', (cdash / "Build.xml").read_text())
        assert bars == [phase.name for phase in document.phases]
        assert f"{name}.spack-start" not in (cdash / "Test.xml").read_text(), "Spack's own time is no test"


def test_a_failing_package_ends_with_1_and_its_dependents_are_not_tried(lab: SpackLab, tmp_path: Path) -> None:
    done = lab.build("hello-broken", "--out", tmp_path)
    assert done.returncode == 1
    assert read_telemetry(tmp_path, "hello-broken").outcome == "build_failed"
    assert "expected ',' or ';' before 'printf'" in done.stdout
    assert_phases_are_the_run(read_telemetry(tmp_path, "hello-broken"))
    error = read_telemetry(tmp_path, "hello-broken").first_error
    assert error
    assert (error.file, error.phase) == ("broken.c:9", "build")
    assert error.text == "broken.c:9:5: error: expected ',' or ';' before 'printf'"
    assert "first error: build.log" in done.stdout
    assert cdash_faults(tmp_path, "hello-broken") == []
    (build,) = tmp_path.glob("*/cdash/Build.xml")
    assert b"<SourceFile>broken.c</SourceFile>" in build.read_bytes()


def test_a_build_of_what_is_installed_starts_spack_once(lab: SpackLab, tmp_path: Path) -> None:
    starts = SpackStarts(tmp_path, lab.environment.get("SPACK_PYTHON", sys.executable))
    done = lab.build("libhello", "--out", tmp_path, environment=starts.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_telemetry(tmp_path, "libhello").outcome == "already_there"
    assert len(starts.lines) == 1, starts.lines


def test_what_is_on_the_mirror_with_a_good_signature_is_not_built_again(lab: SpackLab, key: Key, tmp_path: Path) -> None:
    arguments = ("libhello", "--mirror", tmp_path / "mirror", "--signing-key-file", key.secret)
    first = lab.build(*arguments, "--out", tmp_path / "1", "--json")
    assert first.returncode == 0
    (published,) = (each for each in checked(first.stdout) if each["event"] == "package_published")
    assert (published["package"]["name"], published["state"]) == ("libhello", "published")
    assert published["url"].startswith((tmp_path / "mirror").as_uri())
    lab.forget("hello-app", "libhello")
    again = lab.build(*arguments, "--out", tmp_path / "2")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "already in the build cache" in again.stdout
    assert read_telemetry(tmp_path / "2", "libhello").outcome == "already_there"
    assert "Executing phase" not in again.stdout


def test_on_an_unsigned_mirror_matching_checksums_suffice(lab: SpackLab, tmp_path: Path) -> None:
    arguments = ("libhello", "--mirror", tmp_path / "mirror", "--unsigned")
    assert lab.build(*arguments, "--out", tmp_path / "1").returncode == 0
    again = lab.build(*arguments, "--out", tmp_path / "2")
    assert "already in the build cache" in again.stdout, again.stdout
    (record,) = folders_in(tmp_path / "2")
    before = {path: path.read_bytes() for path in record.rglob("*") if path.is_file()}
    for more in (arguments, ("libhello",)):  # in the build cache already; installed already
        nothing = lab.build(*more, "--out", tmp_path / "2")
        assert f"its last run is in {record}" in nothing.stdout, nothing.stdout + nothing.stderr
    assert folders_in(tmp_path / "2") == [record], "a call that does nothing leaves no folder beside an earlier one"
    assert {path: path.read_bytes() for path in record.rglob("*") if path.is_file()} == before, "nor changes it"
    (blob, *_) = sorted((tmp_path / "mirror").glob("blobs/sha256/*/*"), key=lambda path: -path.stat().st_size)
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    third = lab.build(*arguments, "--out", tmp_path / "3")
    assert third.returncode == 0, third.stdout
    assert "already in the build cache" not in third.stdout, "a damaged blob is not there"


def test_without_publishing_the_unsigned_entry_stays_for_later(lab: SpackLab, tmp_path: Path) -> None:
    lab.forget("hello-app")
    done = lab.build("hello-app", "--no-publish", "--out", tmp_path, "--json")
    assert done.returncode == 0, done.stdout
    seen = [each for each in checked(done.stdout) if each.get("package", {}).get("name") == "hello-app"]
    phases = [each["phase"] for each in seen if each["event"] == "package_phase"]
    assert (phases[0], phases[-1]) == ("spack-start", "spack-end")
    assert "build" in phases
    kinds = [each["event"] for each in seen if each["event"] != "package_phase"]
    assert kinds == ["package_planned", "package_started", "package_published", "package_finished"]
    assert (seen[0]["action"], seen[0]["number"], seen[-1]["outcome"], seen[-1]["is_root"]) == (
        "build",
        seen[0]["of"],
        "built",
        True,
    )
    (manifest,) = tmp_path.glob("hello-app-*/unsigned/v3/manifests/spec/hello-app/*.json")
    assert manifest.read_bytes().startswith(b"{")
    published = read_telemetry(tmp_path, "hello-app").publish
    assert published
    assert published.state == "unpublished"


def test_a_dependency_comes_from_the_mirror_and_is_not_built(lab: SpackLab, key: Key, tmp_path: Path) -> None:
    mirror = ("--mirror", tmp_path / "mirror", "--signing-key-file", key.secret)
    assert lab.build("libhello", *mirror, "--out", tmp_path / "1").returncode == 0
    lab.forget("hello-app", "libhello")
    done = lab.build("hello-app", *mirror, "--out", tmp_path / "2")
    assert done.returncode == 0, done.stdout
    assert "libhello: Executing phase" not in done.stdout
    assert not list((tmp_path / "2").glob("libhello-*")), "what is not built has no run"
    assert read_telemetry(tmp_path / "2", "hello-app").outcome == "built"
    lab.forget("hello-app", "libhello")  # no other test's build cache vouches for what came from this one


def test_a_dependency_comes_from_a_mirror_over_the_net(lab: SpackLab, key: Key, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    sent = lab.build("libhello", "--mirror", mirror, "--signing-key-file", key.secret, "--out", tmp_path / "1")
    assert sent.returncode == 0, sent.stdout
    lab.forget("hello-app", "libhello")
    with served(mirror) as url:
        (tmp_path / "scope").mkdir()
        mirrors = {"mirrors": {"net": {"url": url, "signed": True, "source": False}}}
        (tmp_path / "scope" / "mirrors.yaml").write_text(json.dumps(mirrors))
        arguments = ("-C", tmp_path / "scope", "hello-app")
        distrusted = lab.build(*arguments, "--out", tmp_path / "2")
        assert "libhello: Executing phase" in distrusted.stdout, distrusted.stdout
        lab.forget("hello-app", "libhello")
        done = lab.build(*arguments, "--trust", key.public, "--out", tmp_path / "3")
    assert done.returncode == 0, done.stdout
    assert "from the build cache" in done.stdout
    assert "libhello: Executing phase" not in done.stdout
    lab.forget("hello-app", "libhello")  # as above


def test_a_concrete_spec_file_builds_the_same_package(lab: SpackLab, tmp_path: Path) -> None:
    lab.forget("hello-app")
    assert lab.build("hello-app", "--out", tmp_path / "1").returncode == 0
    lab.forget("hello-app")
    (spec,) = (tmp_path / "1").glob("hello-app-*/spec.json")
    done = lab.build(spec, "--out", tmp_path / "2")
    assert done.returncode == 0, done.stdout
    first, second = read_telemetry(tmp_path / "1", "hello-app"), read_telemetry(tmp_path / "2", "hello-app")
    assert first.spec.hash == second.spec.hash


@pytest.mark.parametrize("text", ["libhello %", "@", "/", "libhello@1.0:0.5", "+debug", "libhello patches=abc"])
def test_what_is_no_spec_is_a_bad_request(lab: SpackLab, text: str, tmp_path: Path) -> None:
    done = lab.build(text, "--out", tmp_path / "out")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_unknown_spec_is_a_bad_request_in_spacks_own_words(lab: SpackLab, tmp_path: Path) -> None:
    done = lab.build("no-such-package-anywhere", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "no-such-package-anywhere" in done.stderr
    assert not (tmp_path / "out").exists(), "refused before anything starts"
