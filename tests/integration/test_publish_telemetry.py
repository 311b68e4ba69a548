"""The agent uploads its telemetry; a failed upload is never a failure of the build."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from buildjob.buildcache import layout
from tests.labs.checkout import ROOT
from tests.labs.s3.server import Server


def build(server: Server, command: str, mirror: str, out: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    arguments = ["--command", command, "--name", "tiny", "--version", "1", "--out", str(out)]
    arguments += ["--telemetry-mirror", mirror, "--interval", "0.1"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(out.parent), "SPACK_FARM_PUBLISH_PATH_STYLE": "true"}
    return subprocess.run(
        [sys.executable, str(ROOT / "spack_farm/__main__.py"), "build", *arguments],
        env=environment | server.environment | variables, cwd=out.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("protected", "place"), [("true", "protected"), ("false", "other")])
def test_telemetry_goes_where_the_credentials_allow(s3: Server, tmp_path: Path, protected: str, place: str) -> None:
    store = s3.store(f"s3://{s3.bucket()}/x")
    for command, code in (("true", 0), ("exit 3", 1)):
        done = build(s3, command, store.url, tmp_path / "out", CI_JOB_ID="7", CI_COMMIT_REF_PROTECTED=protected)
        assert done.returncode == code, done.stdout + done.stderr
        assert "was not uploaded" not in done.stdout + done.stderr
    keys = [seen.key for seen in store.list("")]
    assert len(keys) == 2, "a failed build is measured, too"
    for key in keys:
        assert key.startswith(f"{layout.TELEMETRY}{place}/")
    sent = {store.read(key).data for key in keys}
    assert sent == {path.read_bytes() for path in (tmp_path / "out").glob("*/telemetry.json")}


def test_a_failed_upload_is_one_warning(versitygw: Server, tmp_path: Path) -> None:
    done = build(versitygw, "true", "s3://no-such-bucket/x", tmp_path / "out")
    assert done.returncode == 0
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if "was not uploaded" in line]
    assert "make the bucket first" in line
    assert "Traceback" not in done.stdout + done.stderr


def test_a_folder_takes_telemetry_and_anything_else_is_rejected_before_the_build(versitygw: Server, tmp_path: Path) -> None:
    assert build(versitygw, "true", str(tmp_path / "m"), tmp_path / "out").returncode == 0
    assert len(list((tmp_path / "m").glob("telemetry/v1/other/*/tiny-1-*.json"))) == 1
    done = build(versitygw, "touch ran", "https://example.org/x", tmp_path / "out")
    assert done.returncode == 2
    assert "--telemetry-mirror https://example.org/x" in done.stdout + done.stderr
    assert not (tmp_path / "ran").exists()
