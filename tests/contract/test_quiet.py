"""Clause: with `--quiet`, long verbs show errors and their last line only."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.labs.build_cache import add_entry

ROOT = Path(__file__).resolve().parents[2]


def farm(*words: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "spack_farm", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120, env=environment)


def test_a_quiet_push_and_verification_say_what_they_did_in_one_line(tmp_path: Path) -> None:
    add_entry(tmp_path / "unsigned", "tool")
    pushed = farm("publish", "push", tmp_path / "unsigned", tmp_path / "m", "--unsigned", "-q")
    assert (pushed.returncode, pushed.stdout) == (0, "")
    assert re.fullmatch(r"spack-farm: uploaded 1 binary, [\d.]+ KiB, to file://.*/m\n", pushed.stderr)
    verified = farm("publish", "verify", tmp_path / "m", "--any-signer", "--quiet")
    assert (verified.returncode, verified.stdout) == (0, "")
    assert re.fullmatch(r"spack-farm: 1 of 1 binary good, 1 indexed, 0 faults, [\d.]+ KiB read\n", verified.stderr)
    (manifest,) = (tmp_path / "m").glob("v3/manifests/spec/tool/*.json")
    manifest.write_text("{}")
    broken = farm("publish", "verify", tmp_path / "m", "--any-signer", "--quiet")
    assert broken.returncode == 1
    assert f"v3/manifests/spec/tool/{manifest.name}: " in broken.stdout
    assert broken.stderr.startswith("spack-farm: 0 of 1 binary good, ")


def test_a_quiet_reading_and_a_rejected_one_say_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    done = farm("sizing", "ingest", tmp_path / "documents", "--history", tmp_path / "h", "-q")
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    missing = farm("publish", "verify", tmp_path / "none", "--any-signer", "-q")
    assert (missing.returncode, missing.stdout, missing.stderr.count("\n")) == (2, "", 1)
