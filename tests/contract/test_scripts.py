"""Promise of every script: `--help` describes it and does nothing else; an argument that it does not know is rejected."""

import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SHELL = sorted(path.name for path in SCRIPTS.iterdir() if path.is_file() and not path.suffix)


def called(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPTS / name, *arguments], capture_output=True, text=True, check=False, cwd="/", timeout=60)


@pytest.mark.parametrize("name", SHELL)
def test_help_prints_the_comment_at_the_head(name: str) -> None:
    done = called(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    head = (SCRIPTS / name).read_text().splitlines()[1].removeprefix("# ")
    assert done.stdout.splitlines()[0] == head


@pytest.mark.parametrize("name", ["demo", "docs", "get-s3", "get-spack", "lowest", "release-check", "system-packages"])
def test_an_unknown_argument_starts_nothing(name: str) -> None:
    done = called(name, "--nonsense")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--nonsense" in done.stderr
