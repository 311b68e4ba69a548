"""`spack-farm sizing show|export|serve` as programs."""

import contextlib
import json
import os
import re
import socket
import struct
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
from sizing.history.history import open_history
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


def test_a_hash_alone_says_what_its_spec_gets(tmp_path: Path) -> None:
    made = document(ended=NOW - DAY)
    for day in range(1, 5):
        upload(document(ended=NOW - day * DAY), tmp_path / "m")
    upload(document("zlib", ended=NOW - DAY, spec={"hash": made["spec"]["hash"][:3] + "x"}), tmp_path / "m")
    sizing(tmp_path, "ingest", str(tmp_path / "m"))
    dag_hash = made["spec"]["hash"]
    whole = sizing(tmp_path, "show", f"/{dag_hash}", "--now", rfc3339(NOW)).stdout
    assert whole.startswith(f"/{dag_hash}: memory 1")
    assert "-> hdf5@1.14.5+mpi%gcc@13.2.0 target=x86_64 jobs=4" in whole
    for spec in (f"/{dag_hash[:7]}", f"hdf5/{dag_hash[:3]}"):
        assert sizing(tmp_path, "show", spec, "--now", rfc3339(NOW)).stdout == whole
    several = sizing(tmp_path, "show", f"/{dag_hash[:3]}")
    assert (several.returncode, several.stdout) == (2, "")
    assert f"/{dag_hash[:3]} is the beginning of several hashes: " in several.stderr
    assert sizing(tmp_path, "show", "/nothing").stdout.startswith("/nothing: nothing is known")


def test_show_counts_builds_that_it_does_not_list(tmp_path: Path) -> None:
    for number in range(60):
        upload(document(ended=NOW - number * 3600, job={"id": str(number)}), tmp_path / "m")
    for number in range(2):
        upload(document(ended=NOW - 9 * DAY - number, spec={"version": "1.0", "hash": "x"}), tmp_path / "m")
    sizing(tmp_path, "ingest", str(tmp_path / "m"))
    lines = sizing(tmp_path, "show", "hdf5@1.0", "--now", rfc3339(NOW)).stdout.splitlines()
    assert [line.split() for line in lines if line.startswith("   hdf5@1.0 ")] == [["hdf5@1.0", "2", "too", "few", "builds"]]
    assert lines[-1] == "… and 12 builds before"


@pytest.mark.parametrize("verb", ["show", "builds", "replay"])
def test_a_verb_that_reads_makes_no_history(tmp_path: Path, verb: str) -> None:
    words = ["x"] if verb == "show" else []
    done = sizing(tmp_path, verb, *words, "--history", str(tmp_path / "typo/h.sqlite"))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "there is no history" in done.stderr
    assert not (tmp_path / "typo").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system of its own")
def test_a_disk_that_is_full_costs_one_line_and_leaves_nothing_half_written(table: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(full)], check=True)
    try:
        (full / "page.html").write_text("the last one")
        with (full / "fill").open("wb", buffering=0) as fill, contextlib.suppress(OSError):
            while fill.write(b"x" * 4096):
                pass
        argv = [sys.executable, "-m", "sizing", "export", str(table)]
        with (full / "out").open("wb") as out:
            done = subprocess.run(
                argv, env=environment(tmp_path), stdout=out, stderr=subprocess.PIPE, text=True, check=False
            )
        assert (done.returncode, done.stderr) == (
            1, "spack-farm sizing export: standard output can't be written: No space left on device\n"
        )  # fmt: skip
        upload(document(), tmp_path / "m")
        sizing(tmp_path, "ingest", str(tmp_path / "m"))
        shown = sizing(tmp_path, "show", "hdf5", "--page", str(full / "page.html"))
        assert (shown.returncode, shown.stderr.count("\n")) == (2, 1), shown.stderr
        assert "page.html can't be written: No space left on device" in shown.stderr
        assert (full / "page.html").read_text() == "the last one"
        assert sorted(path.name for path in full.iterdir()) == ["fill", "out", "page.html"]
    finally:
        subprocess.run(["umount", str(full)], check=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "^x"), "names no package|not a part of a spec"),
        (("show", "x", "--page", "/nonexistent/p.html"), "--page /nonexistent/p.html can't be written"),
        (("show", "x", "--policy", "guess"), "there is no policy 'guess'"),
        (("export", "/nonexistent"), "/nonexistent: can't be read"),
        (("export", "/etc/passwd"), "/etc/passwd: not a size table"),
        (("serve", "/nonexistent"), "/nonexistent: can't be read"),
    ],
)
def test_what_a_verb_cannot_do_is_one_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    with open_history(str(tmp_path / ".local/share/spack-farm/history.sqlite")):
        pass
    done = sizing(tmp_path, *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert re.search(said, done.stderr)


@pytest.mark.spack
@pytest.mark.parametrize("rows", [None, {}, {"/abc": Row(memory_bytes=GIB)}], ids=["sizes", "none", "hashes"])
def test_spack_takes_the_exported_scope(
    table: Path, spack: SpackInstallation, tmp_path: Path, rows: dict[str, Row] | None
) -> None:
    if rows is not None:
        table.write_bytes(encode(rows, policy="x", now=NOW))
    (tmp_path / "scope").mkdir()
    (tmp_path / "scope/ci.yaml").write_text(sizing(tmp_path, "export", str(table)).stdout)
    argv = [str(spack.root / "bin/spack"), "-C", str(tmp_path / "scope"), "config", "get", "ci"]
    done = subprocess.run(argv, env=environment(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ("KUBERNETES_MEMORY_REQUEST: 1074M" in done.stdout.replace('"', "")) == (rows is None)


@pytest.fixture
def server(table: Path, tmp_path: Path) -> Iterator[str]:
    argv = [sys.executable, "-m", "sizing", "serve", str(table), "--port", "0"]
    with (tmp_path / "stderr").open("w") as errors:
        process = subprocess.Popen(argv, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=errors, text=True)
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


def raw(server: str, request: bytes) -> bytes:
    """Send bytes; return what comes back."""
    host, port = server.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_serve_answers_whatever_is_asked_and_says_nothing_of_clients_that_leave(server: str, tmp_path: Path) -> None:
    for target in (b"http://[", b"http://[x/v1/allocation?spec=hdf5", b"/v1/allocation?spec=%00", b"/v1/allocation"):
        assert raw(server, b"GET %s HTTP/1.0\r\n\r\n" % target).startswith(b"HTTP/1.0 400 "), target
    host, port = server.removeprefix("http://").split(":")
    for _ in range(5):
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # ends with a reset
            connection.sendall(b"GET /v1/allocation?spec=hdf5 HTTP/1.0\r\n\r\n" * 100)
    assert raw(server, b"GET /healthz HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200 ")
    assert (tmp_path / "stderr").read_text() == ""


def test_serve_listens_on_an_address_of_either_kind(table: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "sizing", "serve", str(table), "--port", "0", "--host", "::1"]
    with subprocess.Popen(
        argv, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        said = process.stdout.readline()
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert said.startswith("listening on http://[::1]:") or "can't be listened on" in errors, "a machine may have no IPv6"
