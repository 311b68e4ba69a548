"""What goes wrong on real Spack: each case one clear message, its own outcome and its own exit code."""

import contextlib
import re
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.labs.html_reader import read_html
from tests.labs.limits import limited_cgroup, small_disk
from tests.labs.spack.keys import Key
from tests.labs.spack.lab import SpackLab, assert_phases_are_the_run, cdash_faults, kill_all, read_telemetry

pytestmark = pytest.mark.spack


def test_a_compiler_killed_for_memory_is_named_and_the_exit_code_is_137(lab: SpackLab, tmp_path: Path) -> None:
    with limited_cgroup(300 << 20) as enter:
        done = subprocess.run(
            [*enter, *lab.agent_argv("hello-hungry", "--jobs", "2", "--out", tmp_path, "--interval", "0.2")],
            capture_output=True,
            text=True,
            env=lab.environment,
            timeout=100,
            check=False,
        )
    assert done.returncode == 137, done.stdout + done.stderr
    document = read_telemetry(tmp_path, "hello-hungry")
    assert document.outcome == "memory_killed"
    (kill,) = document.memory_kills
    assert kill.process
    assert "cc1" in kill.process
    assert not kill.inferred, "gcc itself says which of its programs was killed"
    assert kill.limit_bytes == 300 << 20
    assert "Killed for memory" in done.stdout
    assert "300 MiB" in done.stdout, "the message names the limit"
    assert "Ask for at least 600 MiB of memory, twice the limit that it hit." in done.stdout
    assert "jobs" not in done.stdout, "one compiler was all: fewer jobs would not help"
    assert (document.totals.memory_working_set_peak_bytes or 0) <= 300 << 20
    assert_phases_are_the_run(document)
    (page,) = tmp_path.glob("hello-hungry-*/report.html")
    assert "Killed for memory" in page.read_text()
    assert cdash_faults(tmp_path, "hello-hungry") == []
    (build,) = tmp_path.glob("hello-hungry-*/cdash/Build.xml")
    assert b"Killed: out of memory" in build.read_bytes()


def test_a_build_that_ignores_term_is_ended_with_all_that_it_started(lab: SpackLab, tmp_path: Path) -> None:
    agent = subprocess.Popen(
        lab.agent_argv("hello-stubborn", "--out", tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=lab.environment,
    )
    assert agent.stdout
    for line in agent.stdout:
        if line.strip() == b"READY":
            break
    assert sleepers(lab)
    begun = time.monotonic()
    agent.send_signal(signal.SIGTERM)
    rest = agent.stdout.read()
    agent.stdout.close()
    assert agent.wait(40) == 128 + signal.SIGTERM, rest
    assert 9 < time.monotonic() - begun < 30
    document = read_telemetry(tmp_path, "hello-stubborn")
    assert document.complete
    assert document.outcome == "interrupted"
    assert b"outlived the build" in rest
    assert not sleepers(lab), "the daemon in a session of its own is gone too"


def sleepers(lab: SpackLab) -> list[psutil.Process]:
    """Return what the build has left running; another test may be at the same package: a worker has its own folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error):
            if "; while :; do" in " ".join(process.info["cmdline"] or []) and str(lab.folder) in str(process.environ()):
                found.append(process)
    return found


def test_a_timeout_ends_the_build_with_124(lab: SpackLab, tmp_path: Path) -> None:
    # the build ignores TERM, so this is the long way: 10 s of grace, then KILL
    done = lab.build("hello-stubborn", "--out", tmp_path, "--timeout", "6s")
    assert done.returncode == 124, done.stdout
    assert read_telemetry(tmp_path, "hello-stubborn").outcome == "timed_out"


def test_a_source_that_is_nowhere_is_a_failed_fetch(lab: SpackLab, tmp_path: Path) -> None:
    done = lab.build("hello-needs-unfetchable", "--out", tmp_path)
    assert done.returncode == 4, done.stdout
    document = read_telemetry(tmp_path, "hello-unfetchable")
    assert document.outcome == "fetch_failed"
    assert [phase.name for phase in document.phases] == ["spack-start", "stage"]
    (configure,) = tmp_path.glob("hello-unfetchable-*/cdash/Configure.xml")
    assert b"<ConfigureStatus>1<" in configure.read_bytes(), "on CDash it fails before the first step"
    assert cdash_faults(tmp_path, "hello-unfetchable") == []
    assert read_telemetry(tmp_path, "hello-needs-unfetchable").outcome == "dependency_failed"


def test_a_broken_dependency_is_told_apart_from_a_broken_root(lab: SpackLab, tmp_path: Path) -> None:
    done = lab.build("hello-needs-broken", "--out", tmp_path)
    assert done.returncode == 6, done.stdout
    assert read_telemetry(tmp_path, "hello-broken").outcome == "build_failed"
    (cause,) = read_telemetry(tmp_path, "hello-needs-broken").failed_dependencies
    assert (cause.name, cause.outcome) == ("hello-broken", "build_failed")


def test_the_page_of_what_a_failure_keeps_from_being_built_leads_to_the_root_of_the_chain(
    lab: SpackLab, tmp_path: Path
) -> None:
    done = lab.build("hello-far-from-broken", "--out", tmp_path)
    assert done.returncode == 6, done.stdout
    (folder,) = tmp_path.glob("hello-far-from-broken-*")
    (broken,) = tmp_path.glob("hello-broken-*")
    (cause,) = read_telemetry(tmp_path, "hello-far-from-broken").failed_dependencies
    assert (cause.name, cause.run_folder) == ("hello-broken", broken.name)
    assert cause.first_error == read_telemetry(tmp_path, "hello-broken").first_error
    page = read_html((folder / "report.html").read_text("utf-8"))
    text = page.one("body").text()
    assert "hello-broken@1.0" in text
    assert "it does not build (broken.c:9:5: error: expected" in text
    assert not re.search(r"measured|peak|sample", text, re.IGNORECASE)
    for link in page.all("a"):
        assert (folder / link.attributes["href"]).exists(), link.attributes
    assert (folder / f"../{broken.name}/report.html").samefile(broken / "report.html")
    assert f"report of hello-broken@1.0  {broken}/report.html" in done.stdout
    assert b"it does not build" in (folder / "cdash/Build.xml").read_bytes()
    assert cdash_faults(tmp_path, "hello-far-from-broken") == []


def test_independent_roots_go_on_after_a_failure_and_the_worst_code_wins(lab: SpackLab, tmp_path: Path) -> None:
    lab.forget("hello-app")
    done = lab.build("hello-broken", "hello-app", "--out", tmp_path)
    assert done.returncode == 1, done.stdout
    assert read_telemetry(tmp_path, "hello-app").outcome == "built"


def test_a_full_disk_is_named(lab: SpackLab, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=24) as disk:
        scope = tmp_path / "scope"
        scope.mkdir()
        (scope / "config.yaml").write_text(f"config: {{install_tree: {{root: {disk}/opt}}}}\n")
        done = lab.build("-C", scope, "hello-filler", "--out", tmp_path / "out")
    assert done.returncode == 5, done.stdout
    assert read_telemetry(tmp_path / "out", "hello-filler").outcome == "disk_full"


def test_package_code_finds_no_secret(lab: SpackLab, key: Key, tmp_path: Path) -> None:
    lab.forget("hello-hunter")
    planted = {
        "SPACK_SIGNING_KEY": "planted-signing-key",
        "AWS_SECRET_ACCESS_KEY": "planted-s3-secret",
        "AWS_ACCESS_KEY_ID": "planted-s3-id",
        "SPACK_CDASH_AUTH_TOKEN": "planted-cdash-token",
        "CI_JOB_TOKEN": "planted-job-token",
        "CI_REPOSITORY_URL": "https://gitlab-ci-token:planted-job-token@host/x.git",
        "DEPLOY_URL": "https://host/?auth=planted-cdash-token",
        "MY_PASSPHRASE": "planted-passphrase",
    }
    done = lab.build(
        "hello-hunter",
        "--out",
        tmp_path,
        "--mirror",
        tmp_path / "mirror",
        "--signing-key-file",
        key.secret,
        environment=planted,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "install HUNTER DONE" in done.stdout
    assert "HUNTER FOUND" not in done.stdout
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "package.py":  # the recipe itself looks for these words
            assert b"planted-" not in path.read_bytes(), path


def test_markup_and_odd_bytes_in_a_log_reach_no_document_as_such(lab: SpackLab, tmp_path: Path) -> None:
    # and a terminal that knows ASCII only, behind a proxy that nobody needs
    poor = {"LC_ALL": "C", "LANG": "C", "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    done = lab.build("hello-markup", "--out", tmp_path, environment=poor)
    assert done.returncode == 1
    error = read_telemetry(tmp_path, "hello-markup").first_error
    assert error
    assert error.text == 'x.c:1:2: error: <script>alert("first")</script> & "more"'
    (page,) = tmp_path.glob("hello-markup-*/report.html")
    assert "<script" not in page.read_text()
    assert "alert(&quot;first&quot;)" in page.read_text() or 'alert("first")' in page.read_text()
    assert cdash_faults(tmp_path, "hello-markup") == []


def test_a_spack_that_does_not_start_is_unusable(lab: SpackLab, tmp_path: Path) -> None:
    broken = tmp_path / "spack"
    (broken / "bin").mkdir(parents=True)
    (broken / "lib" / "spack" / "spack").mkdir(parents=True)
    (broken / "lib" / "spack" / "spack" / "__init__.py").write_text('__version__ = "1.1.0"\n')
    (broken / "bin" / "spack").write_text("#!/bin/sh\necho 'no interpreter here' >&2\nexit 3\n")
    (broken / "bin" / "spack").chmod(0o755)
    done = lab.build("hello-app", "--spack", broken, "--out", tmp_path / "out")
    assert done.returncode == 3
    assert "no interpreter here" in done.stderr
    (broken / "lib" / "spack" / "spack" / "__init__.py").write_text('__version__ = "0.23.1"\n')
    done = lab.build("hello-app", "--spack", broken, "--out", tmp_path / "out")
    assert done.returncode == 3
    assert "Spack 0.23.1" in done.stderr
    assert len((done.stdout + done.stderr).strip().splitlines()) <= 2


def test_a_kill_of_the_agent_leaves_the_curve(lab: SpackLab, tmp_path: Path) -> None:
    said, out, document = tmp_path / "said", tmp_path / "out", None
    with said.open("wb") as printed:
        agent = subprocess.Popen(lab.agent_argv("hello-stubborn", "--out", out), stdout=printed, env=lab.environment)
    deadline = time.monotonic() + 100
    try:
        while not (document and "install" in {phase.name for phase in document.phases}):
            assert time.monotonic() < deadline, said.read_text(errors="replace")
            if any(out.glob("*/telemetry.json")):
                document = read_telemetry(out, "hello-stubborn")  # every reading finds it whole
            time.sleep(0.05)
    finally:
        kill_all(agent)
    assert not document.complete
    assert document.phases[-1].name == "install"


def test_a_kill_while_publishing_loses_nothing_of_the_build(lab: SpackLab, tmp_path: Path) -> None:
    """The telemetry and the page are written before anything goes out."""
    lab.forget("hello-app")
    root, out = tmp_path / "slow", tmp_path / "out"
    (root / "bin").mkdir(parents=True)
    (root / "lib").symlink_to(lab.spack.root / "lib")
    program = root / "bin" / "spack"
    program.write_text(f'#!/bin/sh\ncase "$*" in *pack.py) exec sleep 1000 ;; esac\nexec {lab.spack.program} "$@"\n')
    program.chmod(0o755)
    with (tmp_path / "said").open("wb") as printed:
        argv = lab.agent_argv("hello-app", "--spack", root, "--no-publish", "--out", out)
        agent = subprocess.Popen(argv, stdout=printed, env=lab.environment)
    deadline = time.monotonic() + 100
    try:
        while not any(out.glob("*/report.html")):
            assert time.monotonic() < deadline, (tmp_path / "said").read_text(errors="replace")
            time.sleep(0.05)
    finally:
        kill_all(agent)
    (page,) = out.glob("*/report.html")
    document = read_telemetry(out, page.parent.name.rsplit("-", 2)[0])  # libhello's, if no test before has installed it
    assert (document.complete, document.outcome, document.publish) == (True, "built", None)
    assert document.totals.wall_seconds > 0
    assert "Built" in page.read_text()
