"""`spack-farm sizing replay` as a program."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.labs.checkout import ROOT
from tests.labs.sizing import DAY, GIB, NOW, document, killed, rfc3339, upload


def sizing(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "sizing", *words]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Twenty builds that need 10 GiB of 16, one an hour long each day, and one that was killed."""
    for day in range(1, 21):
        upload(document(ended=NOW - day * DAY, seconds=3600), tmp_path / "m")
    upload(killed(at_bytes=GIB, ended=NOW - 30 * DAY), tmp_path / "m")
    upload(document("zlib", ended=NOW - DAY, seconds=3600), tmp_path / "m", place="other")
    done = sizing(tmp_path, "ingest", str(tmp_path / "m"))
    assert done.returncode == 0, json.dumps(done.stderr)
    return tmp_path


def test_replay_says_what_each_policy_would_have_wasted(history: Path) -> None:
    done = sizing(history, "replay", "--now", rfc3339(NOW))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "20 builds, 214.7 GB·h used"
    rows = {line[:12].strip(): line[12:].split() for line in lines[2:]}
    assert sorted(rows) == ["as asked", "max_margin", "min_waste", "percentile"]
    assert rows["as asked"][:3] == ["128.8", "0.00%", "1"]
    assert all(float(row[0]) < 70 for name, row in rows.items() if name != "as asked")


def test_the_table_made_by_hand_is_what_was_asked_for(history: Path) -> None:
    (history / "requests.csv").write_text("match,memory_request\nhdf5,32Gi\n")
    done = sizing(history, "replay", "--now", rfc3339(NOW), "--prior", str(history / "requests.csv"))
    row = next(line for line in done.stdout.splitlines() if line.startswith("as asked"))
    assert row.split()[2:4] == ["472.4", "0.00%"]


def test_a_history_without_builds_is_one_line(tmp_path: Path) -> None:
    upload(document(), tmp_path / "m", place="other")
    sizing(tmp_path, "ingest", str(tmp_path / "m/telemetry/v1/other"))
    done = sizing(tmp_path, "replay")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("spack-farm sizing replay: nothing to replay: the history has no trusted builds")
