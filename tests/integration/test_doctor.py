"""`spack-farm doctor`: what a build would reject is said before, and disks are judged by what a build writes to them."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fakes.cdash import CDash
from tests.labs.checkout import ROOT
from tests.labs.limits import small_disk
from tests.labs.s3.server import Server
from tests.labs.spack.keys import Key
from tests.labs.spack.lab import SpackLab


def doctor(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "spack_farm/__main__.py"), "doctor", *map(str, words)],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables},
        check=False,
    )


@pytest.mark.parametrize("option", ["--mirror", "--out", "--spack"])
def test_an_empty_value_is_a_bad_request(option: str) -> None:
    done = doctor(option, " ")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{option} is empty" in done.stderr


def test_variables_that_a_build_rejects_are_said(tmp_path: Path) -> None:
    done = doctor(
        "--out", tmp_path, SPACK_FARM_BUILD_MIROR="m", SPACK_FARM_PUBLISH_REGIONS="eu", SPACK_FARM_BIULD_OUT="o"
    )  # fmt: skip
    assert done.returncode == 1
    assert "FIX   the variable SPACK_FARM_BUILD_MIROR is unknown" in done.stdout
    assert "FIX   the variable SPACK_FARM_PUBLISH_REGIONS is unknown" in done.stdout
    assert "ok    the variable SPACK_FARM_BIULD_OUT is ignored (did you mean SPACK_FARM_BUILD_OUT?)" in done.stdout


@pytest.mark.parametrize("out", ["/proc/x", "/dev/null", "{}/file/x", "{}/loop"])
def test_an_output_folder_that_cannot_be_one_is_to_be_fixed(out: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    done = doctor("--out", out.format(tmp_path))
    assert done.returncode == 1
    assert f"FIX   --out {out.format(tmp_path)}: " in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.spack
def test_room_is_asked_of_the_places_that_a_build_fills_and_not_of_the_run_folders(lab: SpackLab, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=9) as disk:
        done = doctor("--out", disk / "out", "--spack", lab.spack.root, **lab.environment, TMPDIR=str(disk))
        assert not list(disk.iterdir())
    lines = done.stdout.splitlines()
    assert f"ok    run folders can be made in {disk}/out" in lines
    assert [line for line in lines if line.endswith(f"are free at {disk} (temporary files)")] == [
        f"FIX   9 MiB of 9 MiB are free at {disk} (temporary files)"
    ]
    assert any("(stage folder)" in line for line in lines)
    assert any("(install tree)" in line for line in lines)


@pytest.mark.parametrize(
    ("name", "mark"), [("tar", "FIX"), ("patch", "FIX"), ("gpg", "FIX"), ("git", "note"), ("make", "note")]
)
def test_each_missing_program_is_named_with_what_it_is_for(name: str, mark: str, tmp_path: Path) -> None:
    for each in ("tar", "patch", "make", "git", "unzip", "gcc", "gpg", "sh", "env"):
        found = shutil.which(each)
        if found and each != name:
            (tmp_path / each).symlink_to(found)
    done = doctor("--out", tmp_path / "out", PATH=str(tmp_path))
    (line,) = [line for line in done.stdout.splitlines() if f"{name} is not on PATH" in line]
    assert line.startswith(mark)
    assert "apt-get install" in done.stdout


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "note  build and publish with s3://: there are no credentials here"),
        ({"AWS_ACCESS_KEY_ID": "a"}, "FIX   AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY"),
        ({}, "note  spack-farm executor: no cluster is configured for this user"),
        ({"SPACK_FARM_ASKED_MEMORY_BYTES": "4Gi"}, "note  the variable SPACK_FARM_ASKED_MEMORY_BYTES='4Gi' is ignored"),
    ],
)
def test_settings_that_are_missing_or_cannot_be_read_are_named(variables: dict[str, str], said: str, tmp_path: Path) -> None:
    assert said in doctor("--out", tmp_path, **variables).stdout


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
        {"AWS_PROFILE": "p"},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1"},
    ],
)
def test_settings_that_are_there_are_not_missed(variables: dict[str, str], tmp_path: Path) -> None:
    printed = doctor("--out", tmp_path, **variables).stdout
    assert ("s3://" in printed) is not any(name.startswith("AWS_") for name in variables)
    assert ("no cluster" in printed) is ("KUBERNETES_SERVICE_HOST" not in variables)


def lines_of(done: subprocess.CompletedProcess[str], about: str) -> list[str]:
    """Return the lines about a target; the rest of this machine may lack something."""
    assert "Traceback" not in done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line[6:].startswith(about)]


def test_s3_is_read_written_to_and_left_as_it_was(s3: Server, tmp_path: Path) -> None:
    bucket = s3.bucket()
    mirror = f"s3://{bucket}/farm"
    done = doctor("--out", tmp_path, "--mirror", mirror, **s3.environment)
    first, second = lines_of(done, f"mirror {mirror}: ")
    assert first.startswith("ok")
    assert "it can be read; not a build cache yet" in first
    assert second == f"ok    mirror {mirror}: it can be written to, listed and deleted from; writes have conditions"
    again = doctor("--out", tmp_path, **s3.environment, SPACK_FARM_BUILD_MIRROR=mirror)
    assert lines_of(again, f"mirror {mirror}: ") == [first, second], "the variable of builds counts, and nothing was left"


def test_a_server_that_hangs_costs_five_seconds_and_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begun = time.monotonic()
        done = doctor(
            "--out", tmp_path, "--mirror", "s3://bucket/farm", "--cdash", address, AWS_ACCESS_KEY_ID="a",
            AWS_SECRET_ACCESS_KEY="b", AWS_ENDPOINT_URL=address, PATH="/nonexistent",
        )  # fmt: skip
        assert time.monotonic() - begun < 25  # 5 s, and the start on a busy machine
    assert done.returncode == 1
    assert len(lines_of(done, "mirror s3://bucket/farm: ")) == 1
    assert len(lines_of(done, f"CDash {address}: ")) == 1


@pytest.mark.parametrize(
    ("may_ask", "said"),
    [
        (True, "ok    CDash {url}: it has the project Spack, and takes the token"),
        (False, "note  CDash {url}: it answers, and does not show the project Spack to this token"),
    ],
)
def test_cdash_is_asked_for_the_project(*, may_ask: bool, said: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t\n")
    with CDash(may_ask=may_ask) as cdash:
        done = doctor("--out", tmp_path, "--cdash", cdash.url, "--cdash-token-file", tmp_path / "token")
        assert lines_of(done, "CDash ") == [said.format(url=cdash.url)]
        assert cdash.authorizations == ["Bearer t"]
        assert not cdash.taken


@pytest.mark.parametrize("content", ["", "two words", "two\nlines", None])
def test_a_token_file_that_holds_no_token_is_named(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)
    done = doctor("--out", tmp_path, "--cdash", "http://127.0.0.1:1", "--cdash-token-file", tmp_path / "token")
    (line,) = lines_of(done, "CDash: ")
    assert line.startswith(f"FIX   CDash: the token file {tmp_path}/token ")


def test_a_key_signs_or_the_reason_is_said(key: Key, tmp_path: Path) -> None:
    done = doctor("--out", tmp_path, "--signing-key-file", key.secret)
    assert any("signs, and" in line and line.startswith("ok") for line in done.stdout.splitlines()), done.stdout
    done = doctor("--out", tmp_path, SPACK_FARM_BUILD_SIGNING_KEY_FILE=str(key.public))
    assert done.returncode == 1
    assert any(line.startswith("FIX") and str(key.public) in line for line in done.stdout.splitlines()), done.stdout
