"""`spack-farm sizing show|export|serve` as programs."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buildjob.spack.find import SpackInstallation
from sizing.size_table import Row, encode
from tests.labs.checkout import ROOT
from tests.labs.sizing import DAY, GIB, NOW, document, rfc3339, upload


def environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT)}


def sizing(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "sizing", *words]
    return subprocess.run(argv, env=environment(folder), capture_output=True, text=True, check=False)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "sizes.json"
    path.write_bytes(encode({"hdf5": Row(memory_bytes=GIB), "*": Row(cpu_millicores=500)}, policy="x", now=NOW))
    return path


def test_show_prints_what_a_spec_would_get_and_writes_a_page(tmp_path: Path) -> None:
    for day in range(1, 7):
        upload(document(ended=NOW - day * DAY), tmp_path / "m")
    sizing(tmp_path, "ingest", str(tmp_path / "m"))
    done = sizing(tmp_path, "show", "hdf5 +mpi", "--page", str(tmp_path / "p.html"), "--now", rfc3339(NOW))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("hdf5+mpi: memory 1")
    assert (tmp_path / "p.html").read_text().count("<circle") == 6
    assert (tmp_path / ".local/share/spack-farm/history.sqlite").exists()
    assert sizing(tmp_path, "show", "zlib").stdout.startswith("zlib: memory"), "all builds together say something"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "^x"), "names no package|not a part of a spec"),
        (("show", "x", "--page", "/nonexistent/p.html"), "--page /nonexistent/p.html: can't be written"),
        (("show", "x", "--policy", "guess"), "there is no policy 'guess'"),
        (("export", "/nonexistent"), "/nonexistent: can't be read"),
        (("export", "/etc/passwd"), "/etc/passwd: not a size table"),
        (("serve", "/nonexistent"), "/nonexistent: can't be read"),
    ],
)
def test_what_a_verb_cannot_do_is_one_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = sizing(tmp_path, *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert re.search(said, done.stderr)


@pytest.mark.spack
def test_spack_takes_the_exported_scope(table: Path, spack: SpackInstallation, tmp_path: Path) -> None:
    (tmp_path / "scope").mkdir()
    (tmp_path / "scope/ci.yaml").write_text(sizing(tmp_path, "export", str(table)).stdout)
    argv = [str(spack.root / "bin/spack"), "-C", str(tmp_path / "scope"), "config", "get", "ci"]
    done = subprocess.run(argv, env=environment(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "KUBERNETES_MEMORY_REQUEST: 1074M" in done.stdout.replace('"', "")


@pytest.fixture
def server(table: Path, tmp_path: Path) -> Iterator[str]:
    argv = [sys.executable, "-m", "sizing", "serve", str(table), "--port", "0"]
    process = subprocess.Popen(argv, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    yield process.stdout.readline().split()[-1]
    process.terminate()
    process.communicate(timeout=30)


def asked(server: str, spec: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"{server}/v1/allocation?spec={urllib.parse.quote(spec)}", timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_serve_answers_in_gantry_s_shape_and_takes_a_new_table(server: str, table: Path) -> None:
    status, answer = asked(server, "hdf5@1.14 +mpi~cxx build_system=cmake arch=linux-debian12-zen3%gcc@13.2.0")
    assert (status, answer["variables"]["KUBERNETES_MEMORY_REQUEST"]) == (200, "1074M")
    assert asked(server, "zlib")[1]["variables"]["KUBERNETES_CPU_REQUEST"] == "500m"
    assert asked(server, "^^")[0] == 400
    table.with_suffix(".new").write_bytes(encode({"hdf5": Row(memory_bytes=2 * GIB)}, policy="x", now=NOW))
    table.with_suffix(".new").replace(table)
    assert asked(server, "hdf5")[1]["variables"]["KUBERNETES_MEMORY_REQUEST"] == "2148M"
    table.with_suffix(".new").write_text("broken")
    table.with_suffix(".new").replace(table)
    assert asked(server, "hdf5")[1]["variables"]["KUBERNETES_MEMORY_REQUEST"] == "2148M", "the last table stays in use"
