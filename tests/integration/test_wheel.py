"""The distribution: built, installed and run as a user would."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from spack_farm.__main__ import FOLDERS
from tests.labs.checkout import ROOT


@pytest.mark.timeout(300)
def test_wheel_and_sdist_install_bare_and_whole() -> None:
    done = subprocess.run(
        [ROOT / "scripts/release-check", "--quick"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.stdout.splitlines()[-4:] == [
        f"{kind}, {extras}: good" for kind in ("wheel", "sdist") for extras in ("bare", "[all]")
    ]


def test_the_wheel_holds_what_it_needs_and_runs(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    outside = {str(path.relative_to(site)).split("/")[0] for path in site.iterdir()}
    assert set(FOLDERS) <= outside
    assert not outside & {"tests", "scripts", "examples", "docs"}
    assert all((site / part / "py.typed").exists() for part in FOLDERS)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(site)}
    run = [sys.executable, "-P", "-c", "from spack_farm.__main__ import main; import sys; sys.exit(main())"]
    done = subprocess.run([*run, "--version"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("spack-farm 0.1.0 ")
    command = ["build", "--command", "echo hello", "--name", "x", "--version", "1"]
    done = subprocess.run([*run, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert (tmp_path / "spack-farm-out" / "x-1" / "telemetry.json").exists()

    # another distribution that owns a folder of the same name, installed into the same place after ours
    (site / "buildjob" / "__init__.py").write_text('"""Somebody else\'s."""\n')
    done = subprocess.run([*run, "--version"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "another distribution shadows it" in done.stderr
