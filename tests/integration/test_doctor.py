"""`spack-farm doctor`: what a build would reject is said before, and disks are judged by what a build writes to them."""

import os
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
