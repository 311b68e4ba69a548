"""The command line as a person calls it: exit codes, one clear error, documents that CDash's schemas take."""

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.cdash import CDash
from tests.labs.cdash_schemas import fault
from tests.labs.limits import small_disk

ROOT = Path(__file__).resolve().parents[2]
TO_CDASH = ("--url", "http://127.0.0.1:9", "--project", "x")
LOG = b"==> pkg: Executing phase: 'build'\na.c:3:2: error: bad\nb.c:4: warning: \x1b[1mhm\x1b[m\n" + b"\xff\n"


def ctest(*arguments: str | Path, cwd: Path | None = None, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ctest_xml", *map(str, arguments)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment, cwd=cwd, input=stdin
    )


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "spack-build-out.txt"
    path.write_bytes(LOG)
    return path


def test_a_log_goes_all_the_way_to_cdash(log: Path, tmp_path: Path) -> None:
    out, token = tmp_path / "out", tmp_path / "token"
    token.write_text("secret\n")
    converted = ctest("convert", log, "--out", out, "--site", "lab", "--build-name", "zlib", "--group", "Nightly")
    assert (converted.returncode, converted.stderr) == (0, "")
    assert "1 error, 1 warning" in converted.stdout
    documents = sorted(out.glob("*.xml"))
    assert [path.name for path in documents] == ["Build.xml", "Notes.xml", "Upload.xml"]
    assert ctest("check", *documents).returncode == 0
    with CDash(token="secret") as cdash:
        sent = ctest("submit", out, "--url", cdash.url, "--project", "Spack", "--token-file", token)
    assert (sent.returncode, sent.stderr) == (0, "")
    assert f"build: {cdash.url}/builds/4711" in sent.stdout
    assert sent.stdout.count("\n") == 6
    assert "secret" not in sent.stdout
    assert re.fullmatch(r"3 of 3 documents sent, [\d.]+ KiB", sent.stdout.splitlines()[-1])
    assert cdash.names() == ["Build.xml", "Notes.xml", "Upload.xml", "Done.xml"]
    assert [fault(file.body) for file in cdash.taken] == ["", "", "", ""]


def test_the_total_has_what_a_sender_that_died_had_claimed(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ctest("convert", log, "--out", out, "--site", "lab", "--build-name", "zlib")
    (out / "Build.xml").rename(out / "Build.xml.sending")
    with CDash() as cdash:
        sent = ctest("submit", out, "--url", cdash.url, "--project", "Spack", "--again")
    assert sent.stdout.splitlines()[-1].startswith("3 of 3 documents sent, ")


def test_several_logs_get_a_folder_each_and_gzip_is_unpacked(log: Path, tmp_path: Path) -> None:
    packed = tmp_path / "other.txt.gz"
    packed.write_bytes(gzip.compress(LOG))
    result = ctest("convert", log, packed, "--out", tmp_path / "out", "--rules", "ctest")
    assert result.returncode == 0
    found = sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("Build.xml"))
    assert found == [Path("other.txt/Build.xml"), Path("spack-build-out.txt/Build.xml")]
    assert not list((tmp_path / "out").rglob(".log.*"))


def test_what_the_limit_leaves_out_is_said(log: Path, tmp_path: Path) -> None:
    log.write_bytes(b"a.c:1: error: x\n" * 70)
    assert "70 errors (the first 50; --limit 0 takes all)" in ctest("convert", log, "--out", tmp_path / "out").stdout
    assert "70 errors, 0 warnings" in ctest("convert", log, "--out", tmp_path / "out", "--limit", "0").stdout


def test_the_summary_names_the_first_error_and_where_the_documents_are(log: Path, tmp_path: Path) -> None:
    log.write_bytes(b"bad.f90:3:13:\n\n    3 |  x = y\n      | 1\n\x1b[1;31mError:\x1b[0m Symbol 'y' at (1)\n")
    result = ctest("convert", log, cwd=tmp_path)
    assert result.stdout.splitlines() == [
        f"{log}: 1 error, 0 warnings",
        f"  first error: {log}:5: Error: Symbol 'y' at (1) (bad.f90:3)",
        "  wrote Build.xml, Notes.xml, Upload.xml to cdash",
    ]
    assert sorted(path.name for path in (tmp_path / "cdash").iterdir()) == ["Build.xml", "Notes.xml", "Upload.xml"]


def test_a_log_comes_from_standard_input_or_a_pipe(tmp_path: Path) -> None:
    result = ctest("convert", "-", "--out", tmp_path / "out", stdin="a.c:1:1: error: x\n")
    assert result.stdout.startswith(
        "standard input: 1 error, 0 warnings\n  first error: standard input:1: a.c:1:1: error: x\n"
    )
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = subprocess.Popen(["/bin/sh", "-c", f"echo 'a.c:1:1: error: x' > {pipe}"])
    assert "1 error" in ctest("convert", pipe, "--out", tmp_path / "out").stdout
    assert writer.wait(10) == 0


def test_check_prints_the_fault_and_exits_1(tmp_path: Path) -> None:
    bad = tmp_path / "Build.xml"
    bad.write_text("<Site><Build/></Site>")
    result = ctest("check", bad)
    assert result.returncode == 1
    assert f"{bad}: line 1: Site: the attribute BuildName is missing" in result.stdout


def test_what_is_left_in_the_folder_exits_1_and_says_what_to_do(log: Path, tmp_path: Path) -> None:
    ctest("convert", log, "--out", tmp_path / "out")
    with CDash(faults={"Build.xml": ["500 before"]}, may_ask=False) as cdash:
        result = ctest("submit", tmp_path / "out", "--url", f"{cdash.url}/submit.php?project=x", "--project", "Spack")
        assert result.returncode == 1
        assert (
            "Build.xml stays in the folder: CDash may have it; look at the build, then run this with --again"
            in result.stdout
        )
        assert ctest("submit", tmp_path / "out", "--url", cdash.url, "--project", "Spack", "--again").returncode == 0


def test_a_dry_run_sends_nothing(log: Path, tmp_path: Path) -> None:
    ctest("convert", log, "--out", tmp_path / "out")
    with CDash() as cdash:
        result = ctest("submit", tmp_path / "out", "--url", cdash.url, "--project", "Spack", "--dry-run")
    assert "Build.xml (ready)" in result.stdout
    assert cdash.requests == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["convert", "/nowhere/log.txt"], "/nowhere/log.txt is not a file; give"),
        (["check", "/nowhere/Build.xml"], "/nowhere/Build.xml: No such file or directory; give"),
        (["submit", "/nowhere", *TO_CDASH], "/nowhere is not a folder; give"),
        (["submit", "{tmp}", *TO_CDASH], "holds none of Update.xml"),
        (["submit", "{tmp}"], "required: --url, --project"),
        (["submit", "{tmp}", "--url", "cdash", "--project", "x"], "'cdash' is not the address of a CDash; give https://"),
        (["submit", "{tmp}", "--url", "http://cdash", "--project", ""], "the name is empty; give the project's name"),
        (["convert", "{tmp}/log", "--limit", "-1"], "is not a whole number from 0 on"),
        (["convert", "{tmp}/log", "--rules", "mine"], "invalid choice"),
        (["convert", "{tmp}/broken.gz"], "broken.gz ends within its gzip data; give the whole file"),
        ([], "required"),
        (["convert", "{tmp}/" + "n" * 300], "is not a file; give"),
        (["submit", "{tmp}/" + "n" * 300, *TO_CDASH], "is not a folder; give"),
        (["submit", "", *TO_CDASH], "the path is empty"),
    ],
)
def test_bad_input_exits_2_with_one_clear_error(arguments: list[str], words: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(LOG)
    (tmp_path / "broken.gz").write_bytes(gzip.compress(LOG * 100)[:50])
    result = ctest(*(argument.replace("{tmp}", str(tmp_path)) for argument in arguments), *_out(arguments, tmp_path))
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def _out(arguments: list[str], tmp_path: Path) -> list[str]:
    return ["--out", str(tmp_path / "out")] if arguments[:1] == ["convert"] else []


@pytest.mark.parametrize("out", ["/proc/x", "/dev/null/x", "{tmp}/log", "{tmp}/full/out"])
def test_a_folder_that_takes_no_documents_is_named(out: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(LOG * 1000)
    with small_disk(tmp_path / "full", megabytes=1) as disk:
        (disk / "filling").write_bytes(b"0" * (1 << 20))
        result = ctest("convert", tmp_path / "log", "--out", out.format(tmp=tmp_path))
    assert result.returncode == 2
    assert f"--out {out.format(tmp=tmp_path)}: [Errno " in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("verb", [[], ["convert"], ["check"], ["submit"]])
def test_help_has_an_example_and_the_exit_codes(verb: list[str]) -> None:
    result = ctest(*verb, "--help")
    assert result.returncode == 0
    assert "spack-farm ctest convert spack-build-out.txt" in result.stdout
    assert "exit codes: 0" in result.stdout
