"""What users may rely on at the command line: exit codes, help, completion, manual, and that our folders are ours."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from buildjob.outcome import BUG, EXIT_CODES
from spack_farm.__main__ import FOLDERS

ROOT = Path(__file__).resolve().parents[2]
VERBS = ("autoscaler", "build", "ctest", "delegate", "doctor", "executor", "pipelines", "publish", "report", "sizing")


def farm(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "spack_farm/__main__.py"), *words],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables},
        check=False,
    )


@pytest.mark.parametrize("verb", VERBS)
def test_each_help_has_an_example_and_the_exit_codes(verb: str) -> None:
    done = farm(verb, "--help")
    assert done.returncode == 0
    assert f"spack-farm {verb}" in done.stdout
    assert "example" in done.stdout
    assert "exit codes:" in done.stdout


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_a_closed_stream_changes_nothing_but_what_is_read_there(closed: str, tmp_path: Path) -> None:
    """Python has None for it, and what a build writes must not land in the next file that is opened."""
    words = f"build --command 'echo said; echo told >&2; exit 3' --name own --version 1 --out {tmp_path}"
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} {ROOT / 'spack_farm/__main__.py'} {words} {closed}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert ("Build failed" in done.stdout) == (not closed.startswith(">"))
    assert (tmp_path / "own-1" / "build.log").read_text() == "said\ntold\n"
    assert (tmp_path / "own-1" / "report.html").exists()


def test_the_help_of_build_documents_every_exit_code() -> None:
    told = {
        int(number)
        for number in re.findall(r"(?<![\w+])(\d+) [a-zA-Z]", farm("build", "--help").stdout.partition("exit codes:")[2])
    }
    assert set(EXIT_CODES.values()) | {BUG} <= told


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "no verb given"),
        (("bulid",), "unknown verb 'bulid'"),
        (("build", "--no-such-option"), "--no-such-option"),
        (("build",), "nothing to build"),
        (("completion", "tcsh"), "bash, zsh, fish"),
        (("publish", "push", "/no-such-folder", "m", "--unsigned"), "no such folder"),
        (("publish", "verify", "m"), "--any-signer"),
        (("publish", "index", "https://host/m"), "cannot publish to https://"),
        (("publish", "index", "s3://x"), "'x' can't be a bucket"),
        (("publish", "prune", "m", "--older-than", "soon"), "give a time such as"),
    ],
)
def test_bad_input_is_one_clear_error_and_exit_code_2(words: tuple[str, ...], complaint: str) -> None:
    done = farm(*words)
    assert done.returncode == 2
    assert complaint in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_without_a_spack_the_error_names_the_three_ways() -> None:
    done = farm("build", "zlib", PATH="/usr/bin:/bin")
    assert done.returncode == 3
    for way in ("--spack", "SPACK_ROOT", "scripts/get-spack"):
        assert way in done.stderr


def test_the_version_tells_what_a_bug_report_needs() -> None:
    said = farm("--version").stdout
    assert re.match(r"spack-farm \d+\.\d+\.\d+", said)
    for fact in ("Python 3.", "Spack", "cgroup"):
        assert fact in said


@pytest.mark.parametrize(
    "start",
    [["-m", "spack_farm"], [str(ROOT / "spack_farm/__main__.py")], ["-P", str(ROOT / "spack_farm/__main__.py")]],
    ids=["module", "file", "file in safe mode"],
)
def test_each_way_to_start_it_finds_its_own_packages_and_not_what_lies_in_the_folder(
    start: list[str], tmp_path: Path
) -> None:
    (tmp_path / "completion.py").write_text("raise RuntimeError('not ours')\n")
    here = ROOT if start[0] == "-m" else tmp_path
    done = subprocess.run(
        [sys.executable, *start, "completion", "bash"], cwd=here, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_messages_survive_a_terminal_that_knows_ascii_only() -> None:
    done = farm("build", "--command", "true", "--name", "ü", "--version", "1", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr


def test_a_stranger_named_like_one_of_our_folders_is_told_in_one_line(tmp_path: Path) -> None:
    folder = FOLDERS[1]  # the first one that is looked for after the dispatcher's own
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "__init__.py").write_text("# somebody else's\n")
    shutil.copytree(ROOT / "spack_farm", tmp_path / "spack_farm")
    done = subprocess.run(
        [sys.executable, "-m", "spack_farm", "--version"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "environment of its own" in done.stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(tmp_path / "spack_farm", elsewhere)
    done = subprocess.run(
        [sys.executable, "-c", "from spack_farm.__main__ import main; import sys; sys.exit(main())"],
        env={"PYTHONPATH": f"{tmp_path}:{elsewhere}"}, cwd=elsewhere, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"found {tmp_path}/{folder}/__init__.py" in done.stderr


@pytest.mark.parametrize("verb", ["paths", "completion", "man"])
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_the_dispatchers_own_verbs_have_a_help(verb: str, option: str) -> None:
    done = farm(verb, option)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: spack-farm {verb}")
    assert "exit codes:" in done.stdout


@pytest.mark.parametrize("verb", ["paths", "man"])
def test_an_argument_that_a_verb_does_not_take_is_rejected(verb: str) -> None:
    done = farm(verb, "more")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"spack-farm {verb}: it takes no argument, but 'more' is given" in done.stderr
