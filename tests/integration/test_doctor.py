"""`spack-farm doctor`: what a build would reject is said before, and disks are judged by what a build writes to them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.labs.checkout import ROOT
from tests.labs.limits import small_disk
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
    assert "ok    the variable SPACK_FARM_BIULD_OUT is ignored; is SPACK_FARM_BUILD_OUT meant?" in done.stdout


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
